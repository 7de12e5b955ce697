//! Who is told of a reservation, and what came of it.

use muster_model::{NotifyTarget, PoolTime};
use muster_proto::WireError;
use muster_proto::v1;

use super::time;
use crate::core::{Delivery, Notice, Notices, Notify, Outcome, Recipient};

/// A target on the wire; nowhere is empty.
pub(super) fn target_to_wire(target: &NotifyTarget) -> String {
    if target.is_none() { String::new() } else { target.to_string() }
}

pub(super) fn target_from_wire(field: &'static str, text: &str) -> Result<NotifyTarget, WireError> {
    NotifyTarget::parse(text).map_err(|error| WireError::invalid("ReservationQueued", field, error))
}

/// Both targets, as they were written down.
pub(super) fn notify_from_wire(user: &str, administrator: &str) -> Result<Notify, WireError> {
    Ok(Notify {
        user: target_from_wire("notify", user)?,
        administrator: target_from_wire("notify_administrator", administrator)?,
    })
}

pub(super) fn noticed_to_wire(notice: Notice, recipient: Recipient, delivery: &Delivery) -> v1::ReservationNoticed {
    let (outcome, reason, next) = match &delivery.outcome {
        Outcome::Told => (v1::NoticeOutcome::Told, "", PoolTime::NEVER),
        Outcome::Failed { reason, next } => (v1::NoticeOutcome::Failed, reason.as_str(), *next),
        Outcome::GivenUp { reason } => (v1::NoticeOutcome::GivenUp, reason.as_str(), PoolTime::NEVER),
    };
    let notice = match notice {
        Notice::Ready => v1::Notice::Ready,
        Notice::EndsSoon => v1::Notice::EndsSoon,
        Notice::EndsVerySoon => v1::Notice::EndsVerySoon,
        Notice::Ended => v1::Notice::Ended,
    };
    let recipient = match recipient {
        Recipient::User => v1::NoticeRecipient::User,
        Recipient::Administrator => v1::NoticeRecipient::Administrator,
    };
    v1::ReservationNoticed {
        notice: notice.into(),
        recipient: recipient.into(),
        outcome: outcome.into(),
        attempts: delivery.attempts,
        reason: reason.to_owned(),
        next_ns: next.0,
    }
}

pub(super) fn noticed_from_wire(noticed: v1::ReservationNoticed) -> Result<(Notice, Recipient, Delivery), WireError> {
    let notice = match noticed.notice() {
        v1::Notice::Unspecified => return Err(WireError::missing("ReservationNoticed", "notice")),
        v1::Notice::Ready => Notice::Ready,
        v1::Notice::EndsSoon => Notice::EndsSoon,
        v1::Notice::EndsVerySoon => Notice::EndsVerySoon,
        v1::Notice::Ended => Notice::Ended,
    };
    let recipient = match noticed.recipient() {
        v1::NoticeRecipient::Unspecified => return Err(WireError::missing("ReservationNoticed", "recipient")),
        v1::NoticeRecipient::User => Recipient::User,
        v1::NoticeRecipient::Administrator => Recipient::Administrator,
    };
    let outcome = match noticed.outcome() {
        v1::NoticeOutcome::Unspecified => return Err(WireError::missing("ReservationNoticed", "outcome")),
        v1::NoticeOutcome::Told => Outcome::Told,
        v1::NoticeOutcome::Failed => Outcome::Failed { reason: noticed.reason, next: time(noticed.next_ns) },
        v1::NoticeOutcome::GivenUp => Outcome::GivenUp { reason: noticed.reason },
    };
    Ok((notice, recipient, Delivery { attempts: noticed.attempts, outcome }))
}

pub(super) fn notices_to_wire(notices: &Notices) -> Vec<v1::ReservationNoticed> {
    let one = |((notice, recipient), delivery): (&(Notice, Recipient), &Delivery)| {
        noticed_to_wire(*notice, *recipient, delivery)
    };
    notices.iter().map(one).collect()
}

pub(super) fn notices_from_wire(notices: Vec<v1::ReservationNoticed>) -> Result<Notices, WireError> {
    let one = |noticed| noticed_from_wire(noticed).map(|(notice, to, delivery)| ((notice, to), delivery));
    notices.into_iter().map(one).collect()
}
