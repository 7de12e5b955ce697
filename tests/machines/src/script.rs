//! The script: which faults happen to which machines, and when. Parsing, and what is due. No I/O.

use std::time::Duration;

use anyhow::{Context, ensure};
use muster_model::{MachineId, glob_matches};
use serde::Deserialize;

use crate::boot::BootFault;

/// Faults of one script.
const FAULTS_MAX: usize = 10_000;

/// Ordered boots that one fault makes go wrong.
const BOOTS_MAX: usize = 1_000;

/// All kinds, for people.
const KINDS: &str = "die, mia, stall, corrupt, silent, reboot, refuse, lose-report, slow, install-fails, wrong-kernel, wrong-build, \
    never-back, slow-boot and stale-boot";

/// What is not told lasts so long.
const FOR_DEFAULT: Duration = Duration::from_secs(10);

/// Everything that happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Vec<Fault>);

/// One fault. It happens once to each machine that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    machines: Vec<String>,
    /// From this moment on `after` is counted.
    since: Since,
    after: Duration,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// The start of the program.
    Start,
    /// The machine's first process of this job.
    Job(u32),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So many processes are killed by a signal.
    Die { processes: usize },
    /// So many processes answer no pings for a while.
    Mia { processes: usize, lasts: Duration },
    /// So many processes make no progress for a while, and answer their pings.
    Stall { processes: usize, lasts: Duration },
    /// So many processes find corrupt data: their verdict will be `fail`.
    Corrupt { processes: usize },
    /// Nothing is said or heard for a while.
    Silent { lasts: Duration },
    /// Everything on it ends, and it is back with another boot id after a while.
    Reboot { lasts: Duration },
    /// Starts are refused for a while.
    Refuse { lasts: Duration },
    /// So many batches of reports are lost on their way.
    LoseReports { batches: usize },
    /// Commands are answered late for a while.
    Slow { lasts: Duration, delay: Duration },
    /// So many ordered boots go wrong.
    Boot { fault: BootFault, boots: usize },
    /// Every ordered boot goes wrong with so many chances in a thousand.
    MayBoot { fault: BootFault, chances: u64 },
}

/// The file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    fault: Vec<FaultText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    /// Names or globs, with commas.
    machines: String,
    kind: String,
    after: Option<String>,
    job: Option<u32>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    processes: Option<usize>,
    batches: Option<usize>,
    boots: Option<usize>,
    chance: Option<f64>,
    delay: Option<String>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Says which fault is wrong, and how.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).context("read the script")?;
        ensure!(file.fault.len() <= FAULTS_MAX, "a script has at most {FAULTS_MAX} faults");
        let read = |(number, text): (usize, &FaultText)| fault(text).with_context(|| format!("fault {}", number + 1));
        Ok(Self(file.fault.iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// What is to happen to one machine.
    pub(crate) fn of(&self, machine: &MachineId) -> Waiting {
        let named = |fault: &&Fault| fault.machines.iter().any(|glob| glob_matches(glob, machine.as_str()));
        Waiting(self.0.iter().filter(named).cloned().collect())
    }
}

/// What has not happened to a machine yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<Fault>);

impl Waiting {
    /// Takes what is due at `now` since the start of the program. `began` tells when the machine's first process of a job began.
    pub(crate) fn due(&mut self, now: Duration, began: impl Fn(u32) -> Option<Duration>) -> Vec<Kind> {
        let moment = |fault: &Fault| match fault.since {
            Since::Start => Some(fault.after),
            Since::Job(job) => began(job).map(|began| began + fault.after),
        };
        let (due, waiting) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|fault| moment(fault).is_some_and(|moment| moment <= now));
        self.0 = waiting;
        due.into_iter().map(|fault: Fault| fault.kind).collect()
    }
}

fn fault(text: &FaultText) -> anyhow::Result<Fault> {
    let duration = |name: &str, text: &Option<String>, otherwise: Duration| match text {
        None => Ok(otherwise),
        Some(text) => muster_model::quantity::parse_duration(text)
            .map_err(|error| anyhow::anyhow!("`{name}`: {}; write `5s` or `200ms`", error.reason)),
    };
    let lasts = duration("for", &text.lasts, FOR_DEFAULT)?;
    let processes = text.processes.unwrap_or(usize::MAX);
    let boots = text.boots.unwrap_or(1).min(BOOTS_MAX);
    let chances = chances(text)?;
    let boot = |fault| match chances {
        Some(chances) => Kind::MayBoot { fault, chances },
        None => Kind::Boot { fault, boots },
    };
    let kind = match text.kind.as_str() {
        "die" => Kind::Die { processes },
        "mia" => Kind::Mia { processes, lasts },
        "stall" => Kind::Stall { processes, lasts },
        "corrupt" => Kind::Corrupt { processes },
        "silent" => Kind::Silent { lasts },
        "reboot" => Kind::Reboot { lasts: duration("for", &text.lasts, Duration::ZERO)? },
        "refuse" => Kind::Refuse { lasts },
        "lose-report" => Kind::LoseReports { batches: text.batches.unwrap_or(1) },
        "slow" => Kind::Slow { lasts, delay: duration("delay", &text.delay, Duration::from_secs(1))? },
        "install-fails" => boot(BootFault::InstallFails),
        "wrong-kernel" => boot(BootFault::WrongKernel),
        "wrong-build" => boot(BootFault::WrongBuild),
        "never-back" => boot(BootFault::NeverBack),
        "slow-boot" => boot(BootFault::Slow(lasts)),
        "stale-boot" => boot(BootFault::Stale),
        other => anyhow::bail!("`{other}` is no kind; there are {KINDS}"),
    };
    let machines = text.machines.split(',').map(|name| name.trim().to_owned()).collect();
    let since = text.job.map_or(Since::Start, Since::Job);
    Ok(Fault { machines, since, after: duration("after", &text.after, Duration::ZERO)?, kind })
}

/// Chances in a thousand, where a fault has some: only for boots that are ordered, and instead of their number.
fn chances(text: &FaultText) -> anyhow::Result<Option<u64>> {
    let Some(chance) = text.chance else { return Ok(None) };
    ensure!((0.0..=1.0).contains(&chance), "`chance` is {chance}; write a share from 0 to 1");
    let by_chance = ["wrong-kernel", "wrong-build", "never-back", "slow-boot", "stale-boot"];
    ensure!(by_chance.contains(&text.kind.as_str()), "`chance` is for {}", by_chance.join(", "));
    ensure!(text.boots.is_none(), "a fault has `boots` or a `chance`");
    Ok(Some((chance * 1_000.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> MachineId {
        MachineId::new(name).expect("valid")
    }

    #[test]
    fn faults_are_due_once_by_the_clock_or_by_the_start_of_a_job() {
        let text = "
            [[fault]]
            machines = \"sim-1*, other\"
            kind = \"die\"
            processes = 2
            after = \"5s\"
            [[fault]]
            machines = \"*\"
            kind = \"silent\"
            job = 3
            after = \"1s\"
            for = \"20s\"";
        let script = Script::parse(text).expect("valid");
        let second = Duration::from_secs;
        let mut waiting = script.of(&machine("sim-12"));
        assert_eq!(waiting.due(second(4), |_| None), []);
        assert_eq!(waiting.due(second(5), |_| None), [Kind::Die { processes: 2 }]);
        assert_eq!(waiting.due(second(9), |job| (job == 3).then_some(second(9))), []);
        assert_eq!(waiting.due(second(10), |_| Some(second(9))), [Kind::Silent { lasts: second(20) }]);
        assert_eq!(waiting.due(second(99), |_| Some(second(9))), []);
        assert_eq!(script.of(&machine("sim-2")).due(second(99), |_| None), []);
    }

    #[test]
    fn a_wrong_script_is_told_with_the_fault() {
        for (text, word) in [
            ("[[fault]]\nmachines = \"*\"\nkind = \"burn\"", "reboot"),
            ("[[fault]]\nmachines = \"*\"\nkind = \"mia\"\nfor = \"soon\"", "200ms"),
            ("[[fault]]\nmachines = \"*\"\nkind = \"mia\"\nwhen = 1", "when"),
            ("[[fault]]\nkind = \"mia\"", "machines"),
            ("[[fault]]\nmachines = \"*\"\nkind = \"stale-boot\"\nchance = 30", "from 0 to 1"),
            ("[[fault]]\nmachines = \"*\"\nkind = \"mia\"\nchance = 0.3", "never-back"),
        ] {
            let error = format!("{:#}", Script::parse(text).expect_err("wrong"));
            assert!(error.contains(word), "{word} in {error}");
        }
    }
}
