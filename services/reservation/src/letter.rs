//! What a notice says, in words for people and as a document for programs (docs/notices.md).

use std::fmt::Write;

use muster_drivers::notice::Message;
use muster_model::{MachineId, PoolTime, quantity};
use serde_json::{Value, json};

use crate::core::{Letter, Notice, Recipient};

/// Writes a letter. `log_in` says how people log in to a machine: `{machine}` is its name.
pub(crate) fn written(letter: &Letter, log_in: &str) -> Message {
    let subject = subject(letter);
    let text = text(letter, &subject, log_in);
    Message { id: id(letter), document: document(letter, &text, log_in), subject, text }
}

/// The word for a notice in documents.
fn word(notice: Notice) -> &'static str {
    match notice {
        Notice::Ready => "ready",
        Notice::EndsSoon => "ends_soon",
        Notice::EndsVerySoon => "ends_very_soon",
        Notice::Ended => "ended",
    }
}

/// The same in every attempt, and never that of another notice: a deadline that moved is warned of anew.
fn id(letter: &Letter) -> String {
    let deadline = letter.deadline.unwrap_or_default().0;
    let (word, to) = (word(letter.notice).replace('_', "-"), recipient(letter.recipient));
    format!("muster-{}-{}-{word}-{deadline}-{to}", letter.id, letter.queued.0)
}

fn recipient(recipient: Recipient) -> &'static str {
    match recipient {
        Recipient::User => "user",
        Recipient::Administrator => "administrator",
    }
}

fn subject(letter: &Letter) -> String {
    let (id, until) = (letter.id, letter.deadline.map(time));
    let until = until.map_or_else(|| "it has no deadline".to_owned(), |until| format!("until {until}"));
    match (letter.notice, &letter.ended) {
        (Notice::Ready, _) => format!("Muster: reservation {id} is ready, {until}"),
        (Notice::EndsSoon | Notice::EndsVerySoon, _) => format!("Muster: reservation {id} ends soon, {until}"),
        (Notice::Ended, Some((end, _))) => format!("Muster: reservation {id} is over ({})", end.as_str()),
        (Notice::Ended, None) => format!("Muster: reservation {id} is over"),
    }
}

fn text(letter: &Letter, subject: &str, log_in: &str) -> String {
    let id = letter.id;
    let mut text = format!("{}.\n\n", subject.trim_start_matches("Muster: "));
    // Writing to a String does not fail.
    let _ = writeln!(text, "Whose: {}", letter.user);
    if !letter.comment.is_empty() {
        let _ = writeln!(text, "What for: {}", letter.comment);
    }
    if let Some(kernel) = &letter.kernel {
        let _ = writeln!(text, "Kernel: {kernel}");
    }
    if let Some((_, reason)) = &letter.ended {
        let _ = writeln!(text, "Why: {reason}");
    }
    let _ = writeln!(text, "Machines: {}", letter.machine_count);
    for machine in &letter.machines {
        let _ = writeln!(text, "  {machine}  {}", log_in_to(machine, log_in));
    }
    if letter.machine_count > letter.machines.len() {
        let _ =
            writeln!(text, "  and {} more: muster reservation show {id}", letter.machine_count - letter.machines.len());
    }
    if !letter.dropped.is_empty() {
        let dropped: Vec<_> = letter.dropped.iter().map(MachineId::as_str).collect();
        let _ = writeln!(text, "It went on without: {}", dropped.join(", "));
    }
    text.push_str(&what_next(letter));
    text
}

fn what_next(letter: &Letter) -> String {
    let id = letter.id;
    if letter.recipient == Recipient::Administrator || letter.notice == Notice::Ended {
        return String::new();
    }
    let mut next = format!("\nMore time: muster extend {id} --by 1h\nGive them back: muster checkin {id}\n");
    if let (Notice::Ready, Some(after)) = (letter.notice, letter.no_show) {
        let after = quantity::print_duration(after);
        let _ = write!(
            next,
            "Say that you are there: muster reservation accept {id}\n\
             Without that, a job on them or more time, it ends {after} after this was sent.\n"
        );
    }
    next
}

fn document(letter: &Letter, text: &str, log_in: &str) -> Value {
    let machine = |machine: &MachineId| json!({ "machine": machine.as_str(), "log_in": log_in_to(machine, log_in) });
    json!({
        "notice": word(letter.notice),
        "id": id(letter),
        "recipient": recipient(letter.recipient),
        "reservation": letter.id.0,
        "user": letter.user,
        "comment": letter.comment,
        "machines": letter.machines.iter().map(machine).collect::<Vec<_>>(),
        "machine_count": letter.machine_count,
        "went_on_without": letter.dropped.iter().map(MachineId::as_str).collect::<Vec<_>>(),
        "kernel": letter.kernel.as_ref().map(ToString::to_string),
        "deadline": letter.deadline.and_then(rfc3339),
        "no_show_seconds": letter.no_show.map(|after| after.as_secs()),
        "end": letter.ended.as_ref().map(|(end, _)| end.as_str()),
        "reason": letter.ended.as_ref().map(|(_, reason)| reason.as_str()),
        "text": text,
    })
}

fn log_in_to(machine: &MachineId, log_in: &str) -> String {
    log_in.replace("{machine}", machine.as_str())
}

fn time(time: PoolTime) -> String {
    let moment = jiff::Timestamp::from_nanosecond(time.0.into());
    moment.map_or_else(|_| "a time that can not be printed".into(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn rfc3339(time: PoolTime) -> Option<String> {
    let moment = jiff::Timestamp::from_nanosecond(time.0.into()).ok()?;
    Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_model::{NotifyTarget, ReservationId};

    use super::*;
    use crate::core::End;

    fn letter(notice: Notice) -> Letter {
        Letter {
            id: ReservationId(4),
            queued: PoolTime(7),
            notice,
            recipient: Recipient::User,
            target: NotifyTarget::None,
            attempts: 0,
            user: "user:anna".into(),
            machines: vec![MachineId::new("m1").expect("a name")],
            machine_count: 3,
            dropped: Vec::new(),
            kernel: None,
            deadline: Some(PoolTime(1_796_000_400_000_000_000)),
            no_show: Some(Duration::from_secs(1_800)),
            ended: None,
            comment: "the nightly".into(),
        }
    }

    #[test]
    fn a_reservation_that_is_ready_says_how_to_log_in_and_what_to_do() {
        let message = written(&letter(Notice::Ready), "ssh root@{machine}.lab");
        assert_eq!(message.subject, "Muster: reservation 4 is ready, until 2026-11-30 01:00 UTC");
        for line in
            ["  m1  ssh root@m1.lab", "  and 2 more", "muster extend 4", "muster reservation accept 4", "ends 30m"]
        {
            assert!(message.text.contains(line), "{line}: {}", message.text);
        }
        assert_eq!(message.document["machines"][0]["log_in"], "ssh root@m1.lab");
        assert_eq!(
            (&message.document["deadline"], &message.document["end"]),
            (&"2026-11-30T01:00:00Z".into(), &Value::Null)
        );
        assert_eq!(message.id, written(&letter(Notice::Ready), "").id, "the same in every attempt");
    }

    #[test]
    fn the_end_says_how_and_why_and_nothing_to_do() {
        let over = Letter { ended: Some((End::NoShow, "nobody showed up".into())), ..letter(Notice::Ended) };
        let message = written(&over, "ssh {machine}");
        assert_eq!(message.subject, "Muster: reservation 4 is over (no_show)");
        assert!(message.text.contains("Why: nobody showed up") && !message.text.contains("extend"), "{}", message.text);
        assert_eq!(message.document["end"], "no_show");
    }
}
