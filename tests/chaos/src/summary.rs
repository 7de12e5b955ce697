//! What a run says to people: its figures, and each violation with the command that replays it and what happened around it.

use std::fmt;
use std::time::Duration;

use crate::facts::{Answer, Facts};
use crate::history::around;
use crate::oracle::Violation;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Its first phase.
    pub duration: Duration,
    /// Faults that were done.
    pub faults: usize,
    /// Parts that ended by themselves, as one does that can not reach the bus at its start, and were started again.
    pub supervised: u32,
    /// Bytes that went through the proxies.
    pub passed_bytes: u64,
    /// What happened when.
    pub lines: Vec<(Duration, String)>,
    /// Everything that was gathered.
    pub facts: Facts,
    /// What must not be.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// The command that gives the same faults and commands again.
    #[must_use]
    pub fn replay(&self) -> String {
        let (seconds, seed, machines) = (self.duration.as_secs(), self.seed, self.facts.machines_expected);
        format!("cargo xtask chaos --seconds {seconds} --seed {seed} --machines {machines}")
    }

    fn answered(&self, as_told: impl Fn(&Answer) -> bool) -> usize {
        self.facts.given.iter().filter(|given| as_told(&given.answer)).count()
    }

    /// Each violation with what happened around it.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = String::new();
        for violation in &self.violations {
            let history = around(&self.lines, violation.at).join("\n");
            told += &format!("VIOLATION, seed {}: {violation}\nreplay: {}\n{history}\n\n", self.seed, self.replay());
        }
        told
    }

    /// The greatest size of each part: memory and descriptors over all of its lives.
    fn sizes(&self) -> String {
        let mut parts: std::collections::BTreeMap<&str, (u64, usize, usize)> = std::collections::BTreeMap::new();
        for life in &self.facts.lives {
            let part = parts.entry(&life.part).or_default();
            part.2 += 1;
            for size in &life.sizes {
                part.0 = part.0.max(size.resident >> 20);
                part.1 = part.1.max(size.descriptors);
            }
        }
        let told = parts.iter().map(|(part, (mib, descriptors, lives))| {
            format!("  {part}: {lives} lives, at most {mib} MiB and {descriptors} descriptors\n")
        });
        told.collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acknowledged = self.answered(|answer| matches!(answer, Answer::Acknowledged { .. }));
        let refused = self.answered(|answer| matches!(answer, Answer::Refused(_)));
        let unknown = self.answered(|answer| matches!(answer, Answer::Unknown));
        let messages: usize = self.facts.logs.iter().map(|log| log.messages.len()).sum();
        let entries = self.facts.logs.iter().flat_map(|log| &log.messages).map(|message| message.entries.len());
        writeln!(
            f,
            "seed {}: {} faults in {:?}; {} commands: {acknowledged} acknowledged, {refused} refused, {unknown} unknown",
            self.seed,
            self.faults,
            self.duration,
            self.facts.given.len(),
        )?;
        writeln!(
            f,
            "  {} decisions in {messages} messages of three logs; {} processes started; {} samples, {} final reports; {} MiB through the \
             proxies; {} parts ended by themselves; {} violations",
            entries.sum::<usize>(),
            self.facts.started.len(),
            self.facts.acknowledged.samples,
            self.facts.acknowledged.finals,
            self.passed_bytes >> 20,
            self.supervised,
            self.violations.len(),
        )?;
        f.write_str(&self.sizes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::made_up::good;

    #[test]
    fn a_violation_is_told_with_its_seed_its_replay_and_what_was_near_it() {
        let second = Duration::from_secs;
        let lines = vec![(second(10), "node-1 stands still".into()), (second(90), "much later".into())];
        let outcome = Outcome {
            seed: 77,
            duration: second(300),
            faults: 1,
            supervised: 0,
            passed_bytes: 0,
            lines,
            facts: good(),
            violations: vec![Violation::at("it ran twice", second(12))],
        };
        let told = outcome.told();
        assert!(told.contains("VIOLATION, seed 77: at 12.00 s: it ran twice"), "{told}");
        assert!(told.contains("cargo xtask chaos --seconds 300 --seed 77 --machines 2"), "{told}");
        assert!(told.contains("node-1 stands still") && !told.contains("much later"), "{told}");
        assert!(outcome.to_string().contains("1 commands: 1 acknowledged, 0 refused, 0 unknown"), "{outcome}");
    }
}
