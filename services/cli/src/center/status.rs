//! The status line: the pool in one line, from what was heard last. Pure.

use std::time::Duration;

use muster_model::ProcessState;
use muster_proto::v1;

use crate::commands::jobs;
use crate::times::short;

/// Pulses that the line names.
const PULSES_NAMED_MAX: usize = 8;

/// Who gives the commands of job control.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not known yet, or not any more.
    #[default]
    Unknown,
    /// Nobody.
    Nobody,
    /// This center.
    Mine,
    /// Another, as `anna on desk-1`.
    Other(String),
}

/// What was heard last; none of what did not answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// How long the connection to NATS is lost.
    pub(crate) lost: Option<Duration>,
    pub(crate) machines: Option<Vec<v1::MachineStatus>>,
    pub(crate) jobs: Option<Vec<v1::JobRecord>>,
    /// Numbers of the pulses that are defined.
    pub(crate) pulses: Vec<u32>,
    pub(crate) standing: Standing,
    /// Services that do not answer.
    pub(crate) silent: Vec<&'static str>,
}

impl Status {
    /// One line.
    pub(crate) fn line(&self) -> String {
        if let Some(lost) = self.lost {
            return format!("NATS lost for {} | commands wait for it", short(Duration::from_secs(lost.as_secs())));
        }
        let mut parts = Vec::new();
        parts.extend(self.machines.as_deref().map(machines));
        parts.extend(self.jobs.as_deref().map(processes));
        parts.extend((!self.pulses.is_empty()).then(|| pulses(&self.pulses)));
        let alarms = self.alarms();
        if !alarms.is_empty() {
            parts.push(format!("alarms: {}", alarms.join(", ")));
        }
        parts.push(match &self.standing {
            Standing::Unknown => "master unknown".into(),
            Standing::Nobody => "nobody is master".into(),
            Standing::Mine => "you are master".into(),
            Standing::Other(who) => format!("read-only: {who} is master"),
        });
        parts.join(" | ")
    }

    /// What a person should look at.
    fn alarms(&self) -> Vec<String> {
        let mut alarms: Vec<String> = self.silent.iter().map(|service| format!("{service} does not answer")).collect();
        let machines = self.machines.as_deref().unwrap_or_default();
        let active = || machines.iter().filter(|machine| machine.record.as_ref().is_some_and(|record| record.active));
        for (health, word) in [(v1::Health::Down, "down"), (v1::Health::Silent, "silent")] {
            let count = active().filter(|machine| machine.health() == health).count();
            alarms.extend(
                (count > 0).then(|| format!("{count} {} {word}", if count == 1 { "machine" } else { "machines" })),
            );
        }
        let jobs = self.jobs.as_deref().unwrap_or_default();
        let stalled: u32 = jobs.iter().map(|job| job.stalled).sum();
        alarms.extend((stalled > 0).then(|| format!("{stalled} stalled")));
        for state in [ProcessState::Mia, ProcessState::Dead, ProcessState::Lost] {
            let count: u32 = jobs.iter().map(|job| jobs::in_state(job, state)).sum();
            alarms.extend((count > 0).then(|| format!("{count} {state}")));
        }
        alarms
    }
}

/// Machines that are up, of those that may take part.
fn machines(all: &[v1::MachineStatus]) -> String {
    let active = || all.iter().filter(|machine| machine.record.as_ref().is_some_and(|record| record.active));
    let up = active().filter(|machine| machine.health() == v1::Health::Up).count();
    format!("machines {up}/{} up", active().count())
}

/// Processes of live jobs that are not over.
fn processes(live: &[v1::JobRecord]) -> String {
    let counts = ProcessState::ALL.into_iter().filter(|state| !state.is_final()).map(|state| {
        let count: u32 = live.iter().map(|job| jobs::in_state(job, state)).sum();
        (count, state)
    });
    let told: Vec<String> =
        counts.filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    let what = if live.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", live.len()) };
    if told.is_empty() { what } else { format!("{what}: {}", told.join(", ")) }
}

/// The first pulses by number, and how many more there are.
fn pulses(numbers: &[u32]) -> String {
    let named: Vec<String> = numbers.iter().take(PULSES_NAMED_MAX).map(u32::to_string).collect();
    let more = numbers.len().saturating_sub(PULSES_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}{more}", if numbers.len() == 1 { "pulse" } else { "pulses" }, named.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(active: bool, health: v1::Health) -> v1::MachineStatus {
        let record = v1::MachineRecord { active, ..Default::default() };
        v1::MachineStatus { record: Some(record), health: health.into(), ..Default::default() }
    }

    fn status() -> Status {
        let up = || machine(true, v1::Health::Up);
        Status {
            machines: Some(vec![up(), up(), machine(true, v1::Health::Down), machine(false, v1::Health::Down)]),
            jobs: Some(vec![
                v1::JobRecord { by_state: vec![0, 1, 48, 2, 0, 7], stalled: 3, ..Default::default() },
                v1::JobRecord { by_state: vec![0, 0, 2], ..Default::default() },
            ]),
            standing: Standing::Mine,
            ..Default::default()
        }
    }

    #[test]
    fn the_line_says_what_there_is_and_what_is_wrong() {
        insta::assert_snapshot!(status().line(), @"machines 2/3 up | 2 jobs: 1 starting, 50 running, 2 mia | alarms: 1 machine down, 3 stalled, 2 mia | you are master");
        let quiet = Status { machines: Some(Vec::new()), jobs: Some(Vec::new()), ..Default::default() };
        insta::assert_snapshot!(quiet.line(), @"machines 0/0 up | 0 jobs | master unknown");
        let gated = Status { pulses: vec![3, 7], ..quiet.clone() };
        insta::assert_snapshot!(gated.line(), @"machines 0/0 up | 0 jobs | pulses 3,7 | master unknown");
        let all = Status { pulses: (0..=255).collect(), ..quiet };
        insta::assert_snapshot!(all.line(), @"machines 0/0 up | 0 jobs | pulses 0,1,2,3,4,5,6,7 and 248 more | master unknown");
    }

    #[test]
    fn what_does_not_answer_is_named_and_a_lost_bus_is_all_that_counts() {
        let other = Standing::Other("anna on desk-1".into());
        let silent = Status { silent: vec!["scheduler"], standing: other, ..Default::default() };
        insta::assert_snapshot!(silent.line(), @"alarms: scheduler does not answer | read-only: anna on desk-1 is master");
        let lost = Status { lost: Some(Duration::from_millis(12_700)), ..status() };
        insta::assert_snapshot!(lost.line(), @"NATS lost for 12.0s | commands wait for it");
    }
}
