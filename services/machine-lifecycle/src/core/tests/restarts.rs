//! What another leader of machine-lifecycle does with each machine that it finds: docs/restarts.md is this table.
//!
//! Phase x agent (heard or not) x power (on or off) x operation (none, or begun by the leader before and without an outcome): each cell is
//! played for twenty minutes. What the table says is compared with the page; what may never be is asserted in each cell.

use std::fmt::Write;

use muster_model::{BootStep, PowerAction, PowerState};

use super::*;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{PowerActed, PowerLooked, PowerOrdering, SettingsChange};

const OTHERS: [&str; 4] = ["b", "c", "d", "e"];
const PHASES: [Phase; 8] = [
    Phase::Dirty,
    Phase::Reverting,
    Phase::Settling,
    Phase::Installing,
    Phase::Rebooting,
    Phase::Verifying,
    Phase::Ready,
    Phase::Offline,
];

/// A cell of the table.
#[derive(Debug, Clone, Copy)]
struct Cell {
    phase: Phase,
    heard: bool,
    /// The state of its power, where an operation is without an outcome.
    operation: Option<PowerState>,
}

/// What happened, each thing once, in order.
#[derive(Debug, Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.0.contains(&what) {
            self.0.push(what);
        }
    }
}

fn order(world: &mut World, task: PowerTask) {
    let ordering = PowerOrdering { selector: selector("a"), task, done: false, actor: "user:anna".into() };
    world.command(Command::Power(ordering)).unwrap();
}

fn acted(world: &mut World) {
    let position = world.machine("a").power.as_ref().unwrap().position;
    let acted = PowerActed { position, outcome: Some(PowerOutcome::Done), detail: String::new(), dump: None };
    world.facts(Input::PowerActed { machine: id("a"), acted });
}

/// Machine `a` in a phase, beside others that stay up.
fn world_in(phase: Phase) -> World {
    let mut world = World::powered(&["a", "b", "c", "d", "e"]);
    let attempts = SettingsChange { attempts_max: Some(1), ..SettingsChange::default() };
    match phase {
        Phase::Ready => {}
        Phase::Dirty => {
            order(&mut world, PowerTask::Power(PowerAction::Off));
            world.tick();
            acted(&mut world);
        }
        Phase::Reverting => order(&mut world, PowerTask::Revert),
        Phase::Settling => {
            order(&mut world, PowerTask::Revert);
            world.beat("a");
            world.tick();
            acted(&mut world);
        }
        Phase::Installing => drop(world.order("a", Some("k")).unwrap()),
        Phase::Rebooting | Phase::Verifying => {
            world.order("a", Some("k")).unwrap();
            world.goes_down("a");
        }
        Phase::Offline => {
            let change = Box::new(attempts);
            world.command(Command::SetSettings { selector: selector("a"), change }).unwrap();
            world.order("a", Some("k")).unwrap();
            world.progress("a", BootStep::Failed);
        }
    }
    if phase == Phase::Verifying {
        let hello = Hello { boot_id: "boot-2".into(), inventory: None, ..later_hello(&world, "a") };
        world.hello(hello);
    }
    assert_eq!(world.machine("a").phase, phase);
    world
}

/// Something is begun on it, which does not change its phase, and the leader dies.
fn begin(world: &mut World, phase: Phase) {
    // The quiet time after what brought it here.
    world.now = world.now + seconds(31);
    if phase == Phase::Reverting {
        world.beat("a");
    } else {
        order(world, PowerTask::Power(PowerAction::On));
    }
    OTHERS.iter().for_each(|name| world.beat(name));
    world.tick();
    assert!(world.machine("a").power.as_ref().is_some_and(|known| known.is_open()), "{phase}");
}

fn play(cell: Cell) -> String {
    let mut world = world_in(cell.phase);
    if cell.operation.is_some() {
        begin(&mut world, cell.phase);
    }
    let before = world.machine("a").power.as_ref().filter(|known| known.is_open()).map(|known| known.position);
    world.observe(Observation::LeadershipBegan);
    let mut seen = Seen::default();
    for _ in 0..1_200 {
        world.now = world.now + seconds(1);
        OTHERS.iter().for_each(|name| world.beat(name));
        if cell.heard {
            world.beat("a");
        }
        world.tick().iter().for_each(|fact| note_fact(&mut seen, fact));
        for effect in world.wanted() {
            note_effect(&mut world, &mut seen, cell, before, effect);
        }
    }
    if seen.0.is_empty() { "left alone".into() } else { seen.0.join(", ") }
}

fn note_fact(seen: &mut Seen, fact: &Fact) {
    match fact {
        Fact::HealthChanged { down: true } => seen.note("called down"),
        Fact::PowerBegun { task, .. } => seen.note(task.to_string()),
        Fact::PhaseChanged { to, .. } => seen.note(format!("-> {to}")),
        Fact::BootAttempted { .. } => seen.note("another attempt"),
        _ => {}
    }
}

fn note_effect(world: &mut World, seen: &mut Seen, cell: Cell, before: Option<Position>, effect: Effect) {
    match effect {
        Effect::Boot { .. } => seen.note("told again"),
        Effect::LookAtPower { machine, position, .. } if machine == id("a") => {
            let state = cell.operation.expect("nothing else is looked at");
            world.facts(Input::PowerLooked { machine, looked: PowerLooked { position, state } });
            let outcome = world.machine("a").power.as_ref().and_then(|known| known.outcome).expect("a look ends it");
            seen.note(format!("its power is looked at: {}", outcome.as_str()));
        }
        Effect::Switch { machine, switch } if machine == id("a") => {
            assert_ne!(Some(switch.position), before, "{cell:?}: what was begun before is never done again");
            assert!(!cell.heard || cell.phase != Phase::Ready, "{cell:?}: who lives and may run tests is not switched");
            acted(world);
        }
        Effect::Switch { .. }
        | Effect::KeepKernel { .. }
        | Effect::LookAtPower { .. }
        | Effect::SendDesired { .. }
        | Effect::Prepare { .. } => {}
    }
}

fn table() -> String {
    let mut text = String::from(
        "| phase | agent | operation, power | what another leader does within 20 minutes |\n|---|---|---|---|\n",
    );
    for phase in PHASES {
        for heard in [true, false] {
            for operation in [None, Some(PowerState::On), Some(PowerState::Off)] {
                let did = play(Cell { phase, heard, operation });
                let agent = if heard { "heard" } else { "not heard" };
                let what = operation.map_or_else(|| "none".to_owned(), |state| format!("open, {state}"));
                let _ = writeln!(text, "| {phase} | {agent} | {what} | {did} |");
            }
        }
    }
    text
}

#[test]
fn another_leader_does_what_the_page_says() {
    let table = table();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/restarts.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    assert!(page.contains(&table), "docs/restarts.md says otherwise; it is to have this table:\n{table}");
}
