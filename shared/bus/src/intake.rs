//! The way from a subscription to who answers: what comes is taken off the connection at once, and waits in the line of its identity.
//!
//! Responsible for taking, refusing what is too much, and handing on in turn. Who is next is decided in lines.rs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::task::AtomicWaker;
use muster_model::{Refusal, RefusalCode};
use tokio::sync::mpsc;

use crate::lines::{Lines, Offered};
use crate::request::is_stored;
use crate::{Bus, Identity, RequestLimits, Sender, metrics};

type Message = async_nats::service::Request;

/// Refusals that wait to be said; more are not.
const REFUSALS_MAX: usize = 1_024;
/// Whether who is refused hears of it: places among the counters.
const TOLD: usize = 0;
const SILENT: usize = 1;
/// What stands for everybody on a bus without identities.
const EVERYBODY: &str = "";

/// What waits on one verb.
pub(crate) struct Intake {
    lines: Mutex<Lines<Message>>,
    waker: AtomicWaker,
    has_ended: AtomicBool,
    begun: Instant,
    /// Counters of what was refused: of people and of agents, each by whether they were told.
    refusals: [[::metrics::Counter; 2]; 2],
    /// Tokens of the subject before those of the identity; none on a bus without identities.
    identity_at: Option<usize>,
}

/// A request that is worked on, until this is dropped.
pub(crate) struct InHand {
    intake: Arc<Intake>,
    who: Arc<str>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let goes_on = self.intake.lines().done(&self.who);
        if goes_on {
            self.intake.waker.wake();
        }
    }
}

impl std::fmt::Debug for InHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InHand").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake of requests on a subject: with the identity behind it, or alone on a bus without identities.
    pub(crate) fn new(limits: RequestLimits, subject: &str, has_identities: bool) -> Self {
        Self {
            lines: Mutex::new(Lines::new(limits)),
            waker: AtomicWaker::new(),
            has_ended: AtomicBool::new(false),
            begun: Instant::now(),
            refusals: ["user", "agent"].map(|kind| {
                ["told", "silent"]
                    .map(|answer| ::metrics::counter!(metrics::REQUESTS_REFUSED, "kind" => kind, "answer" => answer))
            }),
            identity_at: has_identities.then_some(subject.len() + 1),
        }
    }

    /// Takes what comes until nothing does any more, and refuses what is too much.
    pub(crate) async fn run(self: Arc<Self>, mut coming: async_nats::service::endpoint::Endpoint, bus: Arc<Bus>) {
        let (refused, mut refusals) = mpsc::channel::<(Message, Duration)>(REFUSALS_MAX);
        let refusing = async {
            while let Some((message, again)) = refusals.recv().await {
                bus.refuse(&message, &too_many(self.who(&message), again)).await;
            }
        };
        let taking = async {
            while let Some(message) = coming.next().await {
                if !is_stored(&message.message) {
                    self.take(message, &refused);
                }
            }
            self.has_ended.store(true, Ordering::Release);
            self.waker.wake();
            drop(refused);
        };
        tokio::join!(taking, refusing);
    }

    /// What a flood consists of comes to its end here, so this is short: it is what the others wait for behind a flood.
    fn take(&self, message: Message, refused: &mpsc::Sender<(Message, Duration)>) {
        // Its bytes are shared: a look at them outlives the move of the message.
        let subject = message.message.subject.clone();
        let who = self.identity_at.and_then(|at| subject.get(at..)).unwrap_or(EVERYBODY);
        let size = message.message.length;
        let is_limited = who != EVERYBODY && !who.starts_with("service.");
        let offered = self.lines().offer(who, is_limited, (message, size), self.begun.elapsed());
        let outcome = match offered {
            Offered::Waits => return self.waker.wake(),
            Offered::Refused(message, again) => match refused.try_send((message, again)) {
                Ok(()) => TOLD,
                Err(_) => SILENT,
            },
            Offered::Dropped => SILENT,
        };
        let is_agent = who.starts_with("agent.");
        self.refusals[usize::from(is_agent)][outcome].increment(1);
    }

    /// The tokens of who sent a message.
    fn who<'a>(&self, message: &'a Message) -> &'a str {
        self.identity_at.and_then(|at| message.message.subject.get(at..)).unwrap_or(EVERYBODY)
    }

    /// The next request in turn, who sent it, and what is to be held while it is worked on.
    pub(crate) fn poll_next(self: &Arc<Self>, context: &Context<'_>) -> Poll<Option<(Message, Sender, InHand)>> {
        self.waker.register(context.waker());
        loop {
            // Looked at before the lines: what came before the end is in them.
            let has_ended = self.has_ended.load(Ordering::Acquire);
            let next = self.lines().next();
            let Some((who, message)) = next else {
                return if has_ended { Poll::Ready(None) } else { Poll::Pending };
            };
            let in_hand = InHand { intake: self.clone(), who };
            let sender = match self.identity_at {
                None => Sender::Unproven,
                Some(_) => match Identity::from_tokens(&in_hand.who) {
                    Some(identity) => Sender::Proven(identity),
                    // The servers let nobody publish there.
                    None => continue,
                },
            };
            return Poll::Ready(Some((message, sender, in_hand)));
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines<Message>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(who: &str, again: Duration) -> Refusal {
    let who = who.replacen('.', "/", 1);
    let milliseconds = again.as_millis().max(1);
    let why = format!("{who} asks more often than one identity may");
    let next = format!("try again in {milliseconds} ms");
    let refusal = Refusal::new(RefusalCode::Limit, "take a request", why, next);
    refusal.with_again_after(again.max(Duration::from_millis(1)))
}
