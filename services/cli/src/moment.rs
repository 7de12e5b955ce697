//! A moment to come, as people write it: `fri 18:00`, `18:00`, `tomorrow 9:00`, `2026-12-04 18:00`. What could mean two moments is refused.

use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

const RULE: &str = "write `18:00`, `tomorrow 9:00`, `fri 18:00`, `2026-12-04 18:00` or `2026-12-04T18:00:00Z`";

/// A moment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &Zoned::now())
    }
}

fn read(text: &str, now: &Zoned) -> Result<Moment, String> {
    let found = match text.trim().parse::<Timestamp>() {
        Ok(moment) => moment,
        Err(_) => local(&text.trim().to_lowercase(), now)?,
    };
    if found <= now.timestamp() {
        return Err(format!("`{text}` has passed; {RULE}"));
    }
    Ok(Moment(found))
}

fn local(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let dated = || text.split_once('t').filter(|(day, _)| day.parse::<Date>().is_ok());
    let (day, time) = match text.split_once(' ').or_else(dated) {
        Some((day, time)) if time.contains(':') => (Some(day), time),
        _ if text.contains(':') => (None, text),
        _ => return Err(format!("`{text}` says no time of the day; {RULE}")),
    };
    let time = hour(time)?;
    let date = match day {
        None if time > now.time() => now.date(),
        None => return Err(format!("{time} has passed today: write `tomorrow {}`", time.strftime("%H:%M"))),
        Some(day) => date(day, time, now)?,
    };
    let moment = TimeZone::to_ambiguous_zoned(now.time_zone(), date.to_datetime(time)).unambiguous();
    let moment = moment.map_err(|_| format!("{date} {time} is there twice or never: the clocks are changed then"))?;
    Ok(moment.timestamp())
}

fn hour(text: &str) -> Result<Time, String> {
    let text = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    text.parse().map_err(|_| format!("`{text}` is no time of the day; {RULE}"))
}

fn date(day: &str, time: Time, now: &Zoned) -> Result<Date, String> {
    let today = now.date();
    let after = |days: i64| today.checked_add(Span::new().days(days)).map_err(|error| error.to_string());
    match day {
        "today" => return Ok(today),
        "tomorrow" => return after(1),
        _ => {}
    }
    if let Some(wanted) = weekday(day) {
        let days = i64::from(today.weekday().until(wanted));
        if days == 0 && time <= now.time() {
            return Err(format!("today is {day}, and {time} has passed: write the date"));
        }
        return after(days);
    }
    day.parse().map_err(|_| format!("`{day}` is no day; {RULE}"))
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    days.into_iter().find(|(name, _)| text.len() >= 3 && name.starts_with(text)).map(|(_, day)| day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<String, String> {
        // A Wednesday, noon in Vienna; the clocks go back on 2026-10-25 at three. Not by its name: that needs files of the system.
        let vienna = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a rule");
        let noon: jiff::civil::DateTime = "2026-10-21T12:00:00".parse().expect("a time");
        let now = noon.to_zoned(vienna).expect("it is once");
        read(text, &now).map(|moment| moment.0.to_zoned(now.time_zone().clone()).strftime("%a %F %R").to_string())
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, moment) in [
            ("18:00", "Wed 2026-10-21 18:00"),
            ("tomorrow 9:00", "Thu 2026-10-22 09:00"),
            ("fri 18:00", "Fri 2026-10-23 18:00"),
            ("Wed 18:00", "Wed 2026-10-21 18:00"),
            ("tuesday 07:30", "Tue 2026-10-27 07:30"),
            ("2026-11-02 08:00", "Mon 2026-11-02 08:00"),
            ("2026-11-02T08:00", "Mon 2026-11-02 08:00"),
            ("2026-10-22T10:00:00Z", "Thu 2026-10-22 12:00"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(moment), "{text}");
        }
    }

    #[test]
    fn what_has_passed_or_could_mean_two_moments_is_refused() {
        for (text, why) in [
            ("11:00", "tomorrow 11:00"),
            ("wed 11:00", "write the date"),
            ("fri", "no time of the day"),
            ("sun 02:30", "clocks are changed"),
            ("2026-10-20 18:00", "has passed"),
            ("someday 18:00", "no day"),
            ("fri 25:00", "no time of the day"),
        ] {
            let error = at(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
