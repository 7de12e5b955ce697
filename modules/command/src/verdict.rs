//! What the end of the program says.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use muster_sdk::Ending;

use crate::child::{End, Told};
use crate::format::{Format, Said, Verdict};
use crate::settings::Settings;

/// Judges by exit code, or by what the output says. A program that was stopped before its end and did not end as expected says
/// nothing, unless it found a failure before: that is a skip.
pub(crate) fn judge(settings: &Settings, end: End) -> Ending {
    let how = describe(end.status);
    let (said, totals, text) = match end.verdict {
        Some(Verdict { said, totals, text }) => (said, totals, text),
        None => (by_exit(settings, end.status), Vec::new(), String::new()),
    };
    let ending = match (end.told, said) {
        (Some(Told::Timeout), _) => Ending::fail(&format!("it took longer than its timeout, and ended by {how}")),
        (_, Said::Pass) => Ending::pass(),
        (Some(Told::Stop), Said::Fail(reason)) if settings.format != Format::Exit && end.status.code().is_some() => {
            Ending::fail(&reason)
        }
        (Some(Told::Stop), _) => Ending::skip(&format!("it was stopped before its end, and ended by {how}")),
        (None, Said::Fail(reason)) => Ending::fail(&reason),
        (None, Said::Error(reason)) => Ending::error(&reason),
        (None, Said::Skip(reason)) => Ending::skip(&reason),
    };
    let seconds = end.elapsed.as_secs_f64();
    let text = if text.is_empty() { text } else { format!("; {text}") };
    let ending = totals.iter().fold(ending, |ending, (name, value)| ending.total(name, *value));
    ending
        .text(&format!("{}: {how} after {seconds:.3} s{text}", settings.program))
        .total("exit_code", f64::from(exit_code(end.status)))
        .total("seconds", seconds)
        .total("cpu_seconds", end.usage.user_seconds + end.usage.system_seconds)
        .total("cpu_user_seconds", end.usage.user_seconds)
        .total("cpu_system_seconds", end.usage.system_seconds)
        .total("memory_max_bytes", end.usage.memory_bytes)
}

fn by_exit(settings: &Settings, status: ExitStatus) -> Said {
    if status.code() == Some(settings.expect_exit) {
        return Said::Pass;
    }
    Said::Fail(format!("it ended by {}, expected exit code {}", describe(status), settings.expect_exit))
}

/// As shells number it: 128 and the signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}{}", if status.core_dumped() { " (core dumped)" } else { "" }),
        (None, None) => format!("{status}"),
    }
}
