//! The course of an ordered boot: install, reboot, verify; forward by what agents say, back by what failed or took too long.
//!
//! Responsible for when a machine goes to the next phase or begins a further attempt, and for the verdict on each boot. Not for the
//! orders of people (`orders`), nor for what agents are told (`wanted`). A machine in such a phase is used by nobody.

use muster_ledger::Now;
use muster_model::{BootStep, BootVerdict, MachineId, Phase};

use super::draft::Draft;
use super::{flaky, power};
use crate::core::limits::VERIFY_WITHIN;
use crate::core::power::PowerTask;
use crate::core::rails::Rails;
use crate::core::{Boot, Fact, Hello, Machine, Observed, Running, Seen, direct};

/// What is due without a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// The kernel is installed.
    Installed,
    /// The agent could not do it.
    Failed(String),
    /// QEMU is to be started with its kernel, from outside.
    Start,
    /// It did not come this far in time.
    Late,
}

/// What is due on a machine; none for most of them, at most times. Nobody is late while this service is deaf itself.
pub(super) fn due(
    (id, machine): (&MachineId, &Machine),
    seen: Option<&Seen>,
    observed: &Observed,
    may_be_late: bool,
    now: Now,
) -> Option<Due> {
    let boot = machine.boot.as_ref().filter(|boot| boot.is_pending())?;
    let settings = &machine.settings;
    let limit = match machine.phase {
        Phase::Installing => settings.install_within,
        Phase::Rebooting => settings.drain + settings.boot_within,
        Phase::Verifying => VERIFY_WITHIN,
        Phase::Dirty | Phase::Reverting | Phase::Settling | Phase::Ready | Phase::Offline => return None,
    };
    let told = match settings.boots_directly() {
        true => observed.kernel_kept(id, boot.operation()),
        false => seen.and_then(|seen| seen.heartbeat.boot.as_ref()),
    };
    let told = told.filter(|progress| progress.operation == boot.operation());
    match told.map(|progress| (progress.step, machine.phase)) {
        Some((BootStep::Installed, Phase::Installing)) => return Some(Due::Installed),
        Some((BootStep::Failed, Phase::Installing | Phase::Rebooting)) => {
            return Some(Due::Failed(told.map_or_else(String::new, |progress| progress.detail.clone())));
        }
        Some(_) | None => {}
    }
    if let Some(why) = direct::failure(machine) {
        return Some(Due::Failed(why));
    }
    if may_be_late && direct::may_start(machine, seen, now.time) {
        return Some(Due::Start);
    }
    (may_be_late && (boot.since + limit).is_due(now.time)).then_some(Due::Late)
}

/// Does what is due. A machine that does not come back, or does not answer, is switched before its attempt is lost.
pub(super) fn advance(draft: &mut Draft<'_>, due: Due, rails: &mut Rails, is_heard: bool) {
    let from = draft.machine().phase;
    let hangs = from == Phase::Rebooting || (from == Phase::Installing && !is_heard);
    if due == Due::Late
        && hangs
        && let Some(task) = power::next_rung(draft.machine())
    {
        return escalate(draft, rails, task);
    }
    match (due, from) {
        (Due::Start, _) => start(draft, rails),
        (Due::Installed, _) => move_to(draft, Phase::Rebooting, "its kernel is installed"),
        (Due::Failed(why), Phase::Installing) => fail(draft, None, format!("it could not be installed: {why}")),
        (Due::Failed(why), _) => fail(draft, None, format!("it could not be rebooted: {why}")),
        (Due::Late, Phase::Rebooting) => {
            let within = draft.machine().settings.boot_within;
            fail(draft, Some(BootVerdict::StaleBoot), format!("no new boot was seen within {within:?}"));
        }
        (Due::Late, Phase::Verifying) => fail(draft, None, "its agent does not say which kernel runs".into()),
        (Due::Late, _) => {
            let within = draft.machine().settings.install_within;
            fail(draft, None, format!("its kernel was not installed within {within:?}"));
        }
    }
}

/// QEMU is started with the ordered kernel, or as ever where it is the stock kernel. What the rails do not allow yet waits for the next tick.
fn start(draft: &mut Draft<'_>, rails: &mut Rails) {
    let machine = draft.machine();
    let target = machine.boot.as_ref().map_or_else(String::new, |boot| boot.target().to_owned());
    match machine.settings.lacks_for_boot() {
        Some(why) => fail(draft, None, format!("it could not be started: {why}")),
        None => drop(power::begin(draft, rails, direct::START, &format!("it is booted into {target}"))),
    }
}

/// What is under way is waited for; what the rails do not allow yet is tried again at the next tick.
fn escalate(draft: &mut Draft<'_>, rails: &mut Rails, task: PowerTask) {
    if draft.machine().power.as_ref().is_some_and(|known| known.is_open() && !known.asked) {
        return;
    }
    let reason = match draft.machine().phase {
        Phase::Installing => "it does not answer, and is to be installed",
        _ => "it did not come back from its reboot",
    };
    if power::begin(draft, rails, task, reason) {
        move_to(draft, Phase::Rebooting, &format!("{reason}: {task}"));
    }
}

/// Takes the words of a hello into account. With a pending boot nothing else makes a machine ready.
pub(super) fn greeted(draft: &mut Draft<'_>, hello: &Hello, new_boot: bool, was_announced: bool) {
    let machine = draft.machine();
    let Some(boot) = &machine.boot else { return };
    let other_boot = hello.boot_id != boot.from_boot_id;
    let judged = boot.judge(&running(hello));
    match machine.phase {
        Phase::Ready if new_boot && was_announced && boot.kernel.is_some() => came_back_announced(draft, judged),
        Phase::Ready if new_boot && boot.kernel.is_some() => came_back(draft, hello, judged),
        // It was switched, or taken back to a snapshot: it may be in another kernel now.
        Phase::Dirty | Phase::Settling if !boot.is_pending() && boot.kernel.is_some() => {
            came_back(draft, hello, judged)
        }
        Phase::Rebooting if other_boot => {
            move_to(draft, Phase::Verifying, "it is back in another boot");
            verify(draft, judged);
        }
        Phase::Verifying if other_boot => verify(draft, judged),
        // It came when nobody waited any more.
        Phase::Dirty | Phase::Offline if boot.is_pending() && other_boot => {
            if let Some((BootVerdict::Verified, _)) = judged {
                verify(draft, judged);
            }
        }
        Phase::Dirty
        | Phase::Reverting
        | Phase::Settling
        | Phase::Installing
        | Phase::Rebooting
        | Phase::Verifying
        | Phase::Ready
        | Phase::Offline => {}
    }
}

fn running(hello: &Hello) -> Running<'_> {
    let kernel = hello.inventory.as_ref().map(|found| (found.kernel_release.as_str(), found.kernel_build_id.as_str()));
    Running { command_line: &hello.command_line, kernel }
}

fn verify(draft: &mut Draft<'_>, judged: Option<(BootVerdict, String)>) {
    match judged {
        None => {}
        Some((BootVerdict::Verified, reason)) => {
            draft.push(Fact::BootJudged { verdict: BootVerdict::Verified, reason });
            flaky::become_ready(draft, "the ordered kernel runs");
        }
        Some((verdict, reason)) => fail(draft, Some(verdict), reason),
    }
}

/// A machine with a proven kernel booted without an order: into the same kernel, which is as well, or back into another one.
fn came_back(draft: &mut Draft<'_>, hello: &Hello, judged: Option<(BootVerdict, String)>) {
    if matches!(judged, Some((BootVerdict::Verified, _))) {
        return;
    }
    let release = hello.inventory.as_ref().map_or("another kernel", |found| found.kernel_release.as_str());
    fail(draft, Some(BootVerdict::CrashedBack), format!("it booted by itself, and came back in {release}"));
}

/// The same, as a test had announced: where it came back in another kernel it is taken into the ordered one again, and nobody is to blame.
fn came_back_announced(draft: &mut Draft<'_>, judged: Option<(BootVerdict, String)>) {
    if matches!(judged, Some((BootVerdict::Verified, _))) {
        return;
    }
    let attempt = draft.machine().boot.as_ref().map_or(1, |boot| boot.attempt) + 1;
    let reason = "a test had announced that it goes away, and it came back in another kernel".to_owned();
    draft.push(Fact::BootAttempted { attempt, reason: reason.clone(), announced: true });
    start_over(draft, &reason);
}

/// An attempt failed: a further one begins, or the machine is given up.
fn fail(draft: &mut Draft<'_>, verdict: Option<BootVerdict>, reason: String) {
    if let Some(verdict) = verdict {
        draft.push(Fact::BootJudged { verdict, reason: reason.clone() });
    }
    let machine = draft.machine();
    let (attempt, counted) = machine.boot.as_ref().map_or((1, 1), |boot| (boot.attempt, boot.attempts()));
    let attempts_max = machine.settings.attempts_max;
    if verdict == Some(BootVerdict::WrongBuild) {
        return give_up(draft, reason);
    }
    if counted >= attempts_max {
        return give_up(draft, format!("{reason} ({counted} of {attempts_max} attempts)"));
    }
    draft.push(Fact::BootAttempted { attempt: attempt + 1, reason: reason.clone(), announced: false });
    start_over(draft, &reason);
}

/// Goes to the phase in which an attempt begins, from wherever the machine is.
pub(super) fn start_over(draft: &mut Draft<'_>, reason: &str) {
    let first = draft.machine().boot.as_ref().map_or(Phase::Rebooting, first_phase);
    if draft.machine().phase == Phase::Offline {
        move_to(draft, Phase::Dirty, reason);
    }
    if draft.machine().phase == Phase::Dirty {
        move_to(draft, Phase::Settling, reason);
    }
    if draft.machine().phase == Phase::Settling && first == Phase::Rebooting {
        move_to(draft, Phase::Installing, reason);
    }
    move_to(draft, first, reason);
}

/// The phase in which an attempt begins.
pub(super) fn first_phase(boot: &Boot) -> Phase {
    if boot.kernel.is_some() { Phase::Installing } else { Phase::Rebooting }
}

/// No further attempt: nothing is started on it until a person orders something else, or it comes after all.
pub(super) fn give_up(draft: &mut Draft<'_>, reason: String) {
    if draft.machine().phase == Phase::Ready {
        move_to(draft, Phase::Dirty, &reason);
    }
    move_to(draft, Phase::Offline, &reason);
}

/// Changes the phase, if it is another one.
pub(super) fn move_to(draft: &mut Draft<'_>, to: Phase, reason: &str) {
    let from = draft.machine().phase;
    if from != to {
        draft.push(Fact::PhaseChanged { from, to, reason: reason.to_owned() });
    }
}
