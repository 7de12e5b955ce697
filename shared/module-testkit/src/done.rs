//! A run that is over.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use muster_module_protocol::{Corruption, ModuleMessage, Outcome, Status, decode_line};

/// How a run ended, and all that was said until then.
#[derive(Debug, Clone)]
pub struct Done {
    /// Exit code; none of one that ended by a signal.
    pub code: Option<i32>,
    /// Whether the test could be done.
    pub status: Status,
    /// What it says of the product.
    pub result: Outcome,
    /// Why.
    pub reason: String,
    /// Totals of the final report.
    pub totals: BTreeMap<String, f64>,
    /// Text of the final report.
    pub text: String,
    /// All that was said, done last.
    pub messages: Vec<ModuleMessage>,
    /// Its stderr.
    pub log: String,
}

impl Done {
    /// Runs a program by hand until it ends.
    ///
    /// # Panics
    /// When it can not be run, or says anything else than messages and done last.
    #[must_use]
    pub fn run(command: &mut Command) -> Self {
        Self::of(&command.output().expect("run the program"))
    }

    /// Reads what a program said that ran by hand.
    ///
    /// # Panics
    /// When it is anything else than messages and done last.
    #[must_use]
    pub fn of(output: &Output) -> Self {
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let messages = lines.map(|line| decode_line(line).expect("a message").expect("a known type")).collect();
        Self::said(output.status.code(), messages, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The end of what was said.
    ///
    /// # Panics
    /// When the last of it is not done.
    #[must_use]
    pub fn said(code: Option<i32>, messages: Vec<ModuleMessage>, log: String) -> Self {
        let Some(ModuleMessage::Done { status, result, reason, r#final: totals, text }) = messages.last().cloned()
        else {
            panic!("it did not say done, but last {:?}: {log}", messages.last());
        };
        Self { code, status, result, reason, totals, text, messages, log }
    }

    /// A total that is a count.
    ///
    /// # Panics
    /// When it is absent, or no count.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let value = self.totals[name];
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} {value}");
        format!("{value}").parse().expect("a count")
    }

    /// The first report of wrong data.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn corruption(&self) -> &Corruption {
        let found = self.messages.iter().find_map(|message| match message {
            ModuleMessage::Corruption(corruption) => Some(corruption),
            _ => None,
        });
        found.expect("a corruption")
    }

    /// The text of the first event of this name.
    #[must_use]
    pub fn event(&self, wanted: &str) -> Option<&str> {
        self.messages.iter().find_map(|message| match message {
            ModuleMessage::Event { name, text } if name == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    /// Counters and gauges of the last metric.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn last_metric(&self) -> (&BTreeMap<String, f64>, &BTreeMap<String, f64>) {
        let found = self.messages.iter().rev().find_map(|message| match message {
            ModuleMessage::Metric { counters, gauges, .. } => Some((counters, gauges)),
            _ => None,
        });
        found.expect("a metric")
    }

    /// In which order files were kept and wrong data reported: the ends of the names, and `the report`.
    #[must_use]
    pub fn kept(&self) -> Vec<&str> {
        let kept = self.messages.iter().filter_map(|message| match message {
            ModuleMessage::Artifact { name, .. } => Some(name.rsplit('-').next().unwrap_or_default()),
            ModuleMessage::Corruption(_) => Some("the report"),
            _ => None,
        });
        kept.collect()
    }
}
