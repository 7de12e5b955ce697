//! What the end of the program says.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use muster_sdk::Ending;

use crate::child::{End, Told};
use crate::settings::Settings;

/// Judges by exit code. A program that was stopped before its end and did not end as expected says nothing: that is a skip.
pub(crate) fn judge(settings: &Settings, end: &End) -> Ending {
    let expected = end.status.code() == Some(settings.expect_exit);
    let how = describe(end.status);
    let ending = match end.told {
        Some(Told::Timeout) => Ending::fail(&format!("it took longer than its timeout, and ended by {how}")),
        Some(Told::Stop) if !expected => Ending::skip(&format!("it was stopped before its end, and ended by {how}")),
        Some(Told::Stop) | None if expected => Ending::pass(),
        Some(Told::Stop) | None => {
            Ending::fail(&format!("it ended by {how}, expected exit code {}", settings.expect_exit))
        }
    };
    let text = format!("{}: {how} after {:.3} s", settings.program, end.elapsed.as_secs_f64());
    ending
        .text(&text)
        .total("exit_code", f64::from(exit_code(end.status)))
        .total("seconds", end.elapsed.as_secs_f64())
        .total("cpu_seconds", end.usage.user_seconds + end.usage.system_seconds)
        .total("cpu_user_seconds", end.usage.user_seconds)
        .total("cpu_system_seconds", end.usage.system_seconds)
        .total("memory_max_bytes", end.usage.memory_bytes)
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
