//! Times and durations for people: local wall time from pool time, short durations, and the words that `--since` takes.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use muster_model::PoolTime;

/// Where and when a person looks.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// The pool time now.
    pub(crate) now: PoolTime,
    /// The person's time zone.
    pub(crate) zone: TimeZone,
}

impl Viewer {
    /// A viewer in the time zone of this machine.
    pub(crate) fn here(now: PoolTime) -> Self {
        Self { now, zone: TimeZone::system() }
    }

    /// Local time; with the day unless it is today.
    pub(crate) fn time(&self, time: PoolTime) -> String {
        let Some(local) = self.zoned(time) else { return String::new() };
        let today = self.zoned(self.now).is_some_and(|now| now.date() == local.date());
        local.strftime(if today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
    }

    fn zoned(&self, time: PoolTime) -> Option<Zoned> {
        timestamp(time).map(|timestamp| timestamp.to_zoned(self.zone.clone()))
    }
}

fn timestamp(time: PoolTime) -> Option<Timestamp> {
    if time == PoolTime::NEVER { None } else { Timestamp::from_nanosecond(i128::from(time.0)).ok() }
}

/// RFC 3339 in UTC, for programs; none for never.
pub(crate) fn rfc3339(time: PoolTime) -> Option<String> {
    timestamp(time).map(|timestamp| timestamp.to_string())
}

/// A short duration: `0.4s`, `12.3s`, `5m07s`, `2h03m`, `3d04h`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A size with three digits: `512 B`, `1.50 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// From when on a person wants to see events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// From this sequence of the log on.
    Sequence(u64),
    /// From this time on.
    At(PoolTime),
}

/// Reads `5m`, `1200`, `2026-11-20T15:04:05Z`, `2026-11-20 15:04:05` or `15:04:05`.
pub(crate) fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Since::Sequence(sequence));
    }
    if let Ok(duration) = muster_model::quantity::parse_duration(text) {
        return Ok(Since::Ago(duration));
    }
    let moment = text.parse::<Timestamp>().ok().or_else(|| local_moment(text));
    let nanoseconds = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    let rule = "a duration like `5m`, a sequence number, or a time like `15:04:05` or `2026-11-20T15:04:05Z`";
    nanoseconds.map(|ns| Since::At(PoolTime(ns))).ok_or_else(|| format!("give {rule}"))
}

/// Reads a moment: `5m`, `2026-11-20T15:04:05Z`, `2026-11-20 15:04:05` or `15:04:05`.
pub(crate) fn parse_moment(text: &str) -> Result<Since, String> {
    match parse_since(text) {
        Ok(Since::Sequence(_)) | Err(_) => {
            Err("give a duration like `5m`, or a time like `15:04:05` or `2026-11-20T15:04:05Z`".into())
        }
        Ok(moment) => Ok(moment),
    }
}

/// Reads a bound of a period: a moment, or `-5m` for so long ago.
pub(crate) fn parse_bound(text: &str) -> Result<Since, String> {
    parse_moment(text.strip_prefix('-').unwrap_or(text))
}

fn local_moment(text: &str) -> Option<Timestamp> {
    let civil = text.parse::<jiff::civil::DateTime>().ok();
    let today = || Some(Zoned::now().date().to_datetime(text.parse().ok()?));
    civil.or_else(today)?.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp())
}

/// Reads a duration, for clap.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    muster_model::quantity::parse_duration(text).map_err(|error| error.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let table =
            [(400, "0.4s"), (12_300, "12.3s"), (307_000, "5m07s"), (7_380_000, "2h03m"), (273_600_000, "3d04h")];
        for (ms, text) in table {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn times_show_the_day_only_when_it_is_another() {
        let noon = parse_since("2026-11-20T12:00:00Z").expect("valid");
        let Since::At(noon) = noon else { panic!("a time") };
        let viewer = Viewer { now: noon, zone: TimeZone::UTC };
        assert_eq!(viewer.time(noon), "12:00:00");
        assert_eq!(viewer.time(noon - Duration::from_secs(86_400)), "2026-11-19 12:00:00");
        assert_eq!(viewer.time(PoolTime::NEVER), "");
        assert_eq!(rfc3339(noon).as_deref(), Some("2026-11-20T12:00:00Z"));
    }

    #[test]
    fn since_takes_durations_sequences_and_times() {
        assert_eq!(parse_since("5m"), Ok(Since::Ago(Duration::from_secs(300))));
        assert_eq!(parse_since("1200"), Ok(Since::Sequence(1200)));
        assert!(matches!(parse_since("15:04:05"), Ok(Since::At(_))));
        assert!(matches!(parse_since("2026-11-20 15:04:05"), Ok(Since::At(_))));
        assert!(parse_since("yesterday").is_err());
        assert_eq!(parse_moment("5m"), Ok(Since::Ago(Duration::from_secs(300))));
        assert_eq!(parse_bound("-1h"), Ok(Since::Ago(Duration::from_secs(3_600))));
        assert!(parse_moment("1200").is_err() && parse_moment("yesterday").is_err());
    }
}
