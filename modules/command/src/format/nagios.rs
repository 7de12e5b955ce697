//! Plugins of Nagios and its kin: exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; `text | label=value unit;warn;crit;min;max`.

use super::names::metric_name;
use super::{Parser, Said, Sample, Values, Verdict, Warnings, ended_by};

/// Most values of a plugin.
const VALUES_MAX: usize = 64;

/// What was said so far.
#[derive(Debug)]
pub(super) struct Nagios {
    warnings: Warnings,
    /// The first line, for people.
    text: Option<String>,
    values: Values,
    /// From a `|` in a later line on, all is values.
    is_values: bool,
}

impl Nagios {
    pub(super) fn new(warnings: Warnings) -> Self {
        Self { warnings, text: None, values: Vec::new(), is_values: false }
    }
}

impl Parser for Nagios {
    fn line(&mut self, line: &str) -> Option<Sample> {
        let (text, values) = match line.split_once('|') {
            Some((text, values)) => (text, Some(values)),
            None if self.is_values => ("", Some(line)),
            None => (line, None),
        };
        self.is_values |= values.is_some() && self.text.is_some();
        if self.text.is_none() {
            self.text = Some(text.trim().to_owned());
        }
        let free = VALUES_MAX - self.values.len();
        self.values.extend(values.into_iter().flat_map(performance).take(free));
        None
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let text = self.text.clone().unwrap_or_default();
        let said = match (code, self.warnings) {
            (Some(0), _) | (Some(1), Warnings::Pass) => Said::Pass,
            (Some(1 | 2), _) => Said::Fail(text.clone()),
            (Some(3), _) => Said::Error(format!("the plugin does not know: {text}")),
            _ => Said::Error(format!("no plugin ends by {}: {text}", ended_by(code))),
        };
        Verdict { said, totals: self.values.clone(), text }
    }
}

/// The values of `'a b'=1.5s;2;3 c=4%`, each in the unit that its name ends in.
fn performance(text: &str) -> Values {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((label, after)) = label(rest) else { break };
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let value = after[..end].split(';').next().unwrap_or_default();
        values.extend(measured(label, value));
        rest = after[end..].trim_start();
    }
    values
}

/// A label, in quotes or not, and what follows its `=`.
fn label(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('\'') {
        Some(quoted) => quoted.split_once("'="),
        None => text.split_once('='),
    }
}

fn measured(label: &str, value: &str) -> Option<(String, f64)> {
    let end = value.find(|character: char| !matches!(character, '0'..='9' | '.' | '-' | '+')).unwrap_or(value.len());
    let number: f64 = value[..end].replace(',', ".").parse().ok()?;
    let (suffix, factor) = match &value[end..] {
        "s" => ("_seconds", 1.0),
        "ms" => ("_seconds", 1e-3),
        "us" => ("_seconds", 1e-6),
        "%" => ("_percent", 1.0),
        "B" => ("_bytes", 1.0),
        "KB" => ("_bytes", 1024.0),
        "MB" => ("_bytes", 1024.0 * 1024.0),
        "GB" => ("_bytes", 1024.0 * 1024.0 * 1024.0),
        "TB" => ("_bytes", 1024.0 * 1024.0 * 1024.0 * 1024.0),
        "c" => ("_count", 1.0),
        _ => ("", 1.0),
    };
    number.is_finite().then(|| (metric_name(label) + suffix, number * factor))
}
