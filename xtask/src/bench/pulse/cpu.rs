//! CPU time of gated processes, by thread: the test's own, which is the one that pulses block, and the SDK's others, which answer
//! pings.

use std::time::Duration;

/// CPU time of some processes, to the nanosecond.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Threads {
    /// Of the threads that are gated.
    pub(super) gated: Duration,
    /// How often these ran.
    pub(super) gated_runs: u64,
    /// Of all others.
    pub(super) others: Duration,
}

impl Threads {
    /// Of processes that live.
    pub(super) fn of(pids: &[u32]) -> Self {
        let mut spent = Self::default();
        for pid in pids {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let schedule = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let Some((time, runs)) = parse(&schedule) else { continue };
                if task.file_name().to_str() == Some(&*pid.to_string()) {
                    spent.gated += time;
                    spent.gated_runs += runs;
                } else {
                    spent.others += time;
                }
            }
        }
        spent
    }

    /// What was spent since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            gated: self.gated.saturating_sub(earlier.gated),
            gated_runs: self.gated_runs.saturating_sub(earlier.gated_runs),
            others: self.others.saturating_sub(earlier.others),
        }
    }
}

/// Time on a CPU, and how often it was given one: fields 1 and 3 of `schedstat`.
fn parse(schedule: &str) -> Option<(Duration, u64)> {
    let mut fields = schedule.split_whitespace().map(str::parse::<u64>);
    let (time, _, runs) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    Some((Duration::from_nanos(time), runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_runs_of_a_thread_are_read() {
        assert_eq!(parse("1500 20 3\n"), Some((Duration::from_nanos(1_500), 3)));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_process_that_works_spends_time_on_its_own_thread_or_others() {
        let own = [std::process::id()];
        let before = Threads::of(&own);
        let begin = std::time::Instant::now();
        let spent = loop {
            let spent = Threads::of(&own).since(before);
            if !(spent.gated + spent.others).is_zero() || begin.elapsed() > Duration::from_secs(20) {
                break spent;
            }
        };
        assert!(!(spent.gated + spent.others).is_zero(), "{spent:?}");
    }
}
