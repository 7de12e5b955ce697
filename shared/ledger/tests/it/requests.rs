//! Requests on the bus: what they mean, what is refused, and what a repeated one is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_ledger::{Asked, Requests, View};
use muster_model::{CommandId, PoolTime, Refusal, RefusalCode};
use muster_proto::v1::{self, Envelope, envelope::Body, reservation_command, reservation_query, reservation_reply};
use muster_testkit::NatsServer;
use prost::Message;

use crate::counter::{Counter, Input, noise};
use crate::harness::{Instance, SERVICE, command_id, connect, eventually, log_state, system};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The counting ledger as a service. It speaks reservation's words: checking in adds the token of that number, extending adds it
/// with noise of so many bytes, and reserving is refused.
#[derive(Default)]
pub(crate) struct CounterRequests {
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Requests<Counter> for CounterRequests {
    type Command = reservation_command::Kind;
    type Query = reservation_query::Kind;

    const SERVICE: Service = SERVICE;

    fn open(&self, body: Body) -> Result<Asked<Self::Command, Self::Query>, Refusal> {
        match body {
            Body::ReservationCommand(command) => {
                command.kind.map(Asked::Command).ok_or_else(|| self.unreadable("no kind"))
            }
            Body::ReservationQuery(query) => query.kind.map(Asked::Query).ok_or_else(|| self.unreadable("no kind")),
            Body::ArchiveQuery(query) => Ok(Asked::Answered(Box::new(Body::ArchiveQuery(query)))),
            _ => Err(self.unreadable("neither a command nor a query")),
        }
    }

    fn input(&self, _: CommandId, actor: &str, command: Self::Command) -> Result<Input, Refusal> {
        match command {
            reservation_command::Kind::CheckIn(token) => Ok(Input::Add(token.reservation)),
            reservation_command::Kind::Extend(extend) => {
                let size = usize::try_from(extend.by_ns).map_err(|_| self.unreadable("a negative size"))?;
                Ok(Input::AddPadded(extend.reservation, noise(extend.reservation, size)))
            }
            reservation_command::Kind::Reserve(_) if actor == "user:nobody" => Err(self.unreadable("not by nobody")),
            reservation_command::Kind::Reserve(_)
            | reservation_command::Kind::SetQuota(_)
            | reservation_command::Kind::Dismiss(_)
            | reservation_command::Kind::Accept(_) => Ok(Input::Refuse),
        }
    }

    fn look(&self, view: &View<'_, Counter>, query: &Self::Query) -> Result<Body, Refusal> {
        match query {
            reservation_query::Kind::List(list) if !view.state.added.contains_key(&list.reservation) => {
                Err(self.unreadable("no such token"))
            }
            reservation_query::Kind::List(_)
            | reservation_query::Kind::Quotas(_)
            | reservation_query::Kind::Explain(_)
            | reservation_query::Kind::Status(_) => {
                let kind = Some(reservation_reply::Kind::Status(view.status("counter")));
                Ok(Body::ReservationReply(v1::ReservationReply { kind }))
            }
        }
    }

    fn reply(&self, reply: Bytes) -> Result<Body, prost::DecodeError> {
        let record =
            v1::ReservationRecord { reason: String::from_utf8_lossy(&reply).into_owned(), ..Default::default() };
        let kind = Some(reservation_reply::Kind::Reservation(record));
        Ok(Body::ReservationReply(v1::ReservationReply { kind }))
    }

    fn unreadable(&self, why: &str) -> Refusal {
        Refusal::new(RefusalCode::Invalid, "read the request", why, "send another")
    }

    fn count(&self, answered: bool) {
        let counter = if answered { &self.answered } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The command that adds a token.
pub(crate) fn add(token: u64) -> Body {
    command(reservation_command::Kind::CheckIn(v1::CheckIn { reservation: token, ..Default::default() }))
}

/// The query that is always answered.
pub(crate) fn status() -> Body {
    let kind = Some(reservation_query::Kind::Status(v1::ReservationServiceStatus {}));
    Body::ReservationQuery(v1::ReservationQuery { kind })
}

/// The command that the core refuses.
pub(crate) fn refused() -> Body {
    command(reservation_command::Kind::Reserve(v1::Reserve::default()))
}

fn command(kind: reservation_command::Kind) -> Body {
    Body::ReservationCommand(v1::ReservationCommand { kind: Some(kind), master: None })
}

fn add_padded(token: u64, size: usize) -> Body {
    let by_ns = i64::try_from(size).expect("small");
    command(reservation_command::Kind::Extend(v1::Extend { reservation: token, by_ns, ..Default::default() }))
}

/// A request, as a person's tool makes it.
pub(crate) fn request(bus: &Bus, id: CommandId, body: Body) -> Envelope {
    let authority = Authority { command: Some(id), ..Authority::default() };
    Envelope { actor: "user:test".into(), ..bus.envelope(body, authority) }
}

pub(crate) fn commands() -> String {
    subjects::service(SERVICE, "command")
}

async fn ask(bus: &Bus, request: &Envelope) -> Envelope {
    bus.request(&commands(), request, ANSWER_TIMEOUT).await.expect("an answer")
}

async fn refusal(bus: &Bus, request: &Envelope) -> v1::Refusal {
    match ask(bus, request).await.body {
        Some(Body::Refusal(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

fn text(answer: &Envelope) -> &str {
    match &answer.body {
        Some(Body::ReservationReply(v1::ReservationReply {
            kind: Some(reservation_reply::Kind::Reservation(record)),
        })) => &record.reason,
        other => panic!("not a reply: {other:?}"),
    }
}

pub(crate) async fn serving() -> (NatsServer, Bus, Instance, Arc<CounterRequests>) {
    let (server, bus) = system().await;
    let requests = Arc::new(CounterRequests::default());
    let instance = Instance::start_serving(&connect(&server.url()).await, "a", requests.clone());
    let (term, _) = instance.leading().await;
    let listens = async || {
        let asked = bus.request(&commands(), &request(&bus, command_id(), status()), ANSWER_TIMEOUT).await;
        asked.is_ok_and(|answer| answer.term == term.0)
    };
    eventually("it listens", listens).await;
    (server, bus, instance, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_with_the_position_and_term_of_its_entry() {
    let (_server, bus, instance, requests) = serving().await;
    let before = log_state(&bus).await.last;
    let added = ask(&bus, &request(&bus, command_id(), add(1))).await;
    assert_eq!((added.lineage, added.sequence), (1, before + 1));
    assert_eq!(text(&added), format!("added at 1/{}", before + 1));
    let answer = ask(&bus, &request(&bus, command_id(), status())).await;
    let Some(Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Status(status)) })) =
        answer.body
    else {
        panic!("no status")
    };
    assert!(status.position.expect("it stands somewhere").sequence > before);
    assert_eq!((status.instance.as_str(), status.term, status.state_hash.len()), ("counter", added.term, 64));
    let echo = Body::ArchiveQuery(v1::ArchiveQuery { log: "echo".into(), ..Default::default() });
    let answer = ask(&bus, &request(&bus, command_id(), echo.clone())).await;
    assert_eq!((answer.body, answer.term), (Some(echo), added.term), "what needs no turn is answered too");
    assert_eq!(requests.refused.load(Ordering::Relaxed), 0);
    assert!(requests.answered.load(Ordering::Relaxed) >= 3);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_read_is_refused_and_says_why() {
    let (_server, bus, instance, requests) = serving().await;
    let whole = request(&bus, command_id(), add(1));
    let cases = [
        (Envelope { cmd_id: Bytes::new(), ..whole.clone() }, "cmd_id"),
        (Envelope { cmd_id: Bytes::from_static(b"short"), ..whole.clone() }, "cmd_id"),
        (Envelope { actor: String::new(), ..whole.clone() }, "on whose behalf"),
        (Envelope { body: None, ..whole.clone() }, "no body"),
        (
            request(&bus, command_id(), Body::ReservationCommand(v1::ReservationCommand { kind: None, master: None })),
            "no kind",
        ),
        (request(&bus, command_id(), Body::ReservationReply(v1::ReservationReply::default())), "neither a command"),
        (Envelope { actor: "user:nobody".into(), ..request(&bus, command_id(), refused()) }, "not by nobody"),
    ];
    let before = (log_state(&bus).await.last, cases.len() as u64 + 3);
    for (request, why) in cases {
        let refusal = refusal(&bus, &request).await;
        assert_eq!(refusal.code(), v1::RefusalCode::Invalid, "{refusal:?}");
        assert!(refusal.why.contains(why), "{refusal:?}");
    }
    let garbage = bus.client().request(commands(), Bytes::from_static(b"\xff\xff\xffgarbage")).await.expect("answered");
    let answer = Envelope::decode(garbage.payload).expect("an envelope");
    assert!(matches!(answer.body, Some(Body::Refusal(_))), "{answer:?}");
    let by_core = refusal(&bus, &request(&bus, command_id(), refused())).await;
    assert_eq!(by_core.code(), v1::RefusalCode::Refused);
    let kind = Some(reservation_query::Kind::List(v1::ListReservations {
        reservation: 9,
        ended: false,
        ..Default::default()
    }));
    let query = Body::ReservationQuery(v1::ReservationQuery { kind });
    assert_eq!(refusal(&bus, &request(&bus, command_id(), query)).await.why, "no such token");
    assert_eq!((log_state(&bus).await.last, requests.refused.load(Ordering::Relaxed)), before, "nothing was appended");
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_decides_too_much_is_refused_with_the_limit_and_the_next_is_taken() {
    let (_server, bus, instance, _) = serving().await;
    let refusal = refusal(&bus, &request(&bus, command_id(), add_padded(1, 600 * 1024))).await;
    assert_eq!(refusal.code(), v1::RefusalCode::Limit);
    assert!(refusal.why.contains("512 KiB") && !refusal.next.is_empty(), "{refusal:?}");
    let taken = ask(&bus, &request(&bus, command_id(), add_padded(2, 400 * 1024))).await;
    assert!(text(&taken).starts_with("padded"));
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_the_reply_and_position_of_the_first() {
    let (_server, bus, instance, _) = serving().await;
    let given = request(&bus, command_id(), add(1));
    let first = ask(&bus, &given).await;
    ask(&bus, &request(&bus, command_id(), add(2))).await;
    let again = ask(&bus, &given).await;
    assert_eq!((text(&again), again.sequence, again.term), (text(&first), first.sequence, first.term));
    // Ten at once of one id are one command.
    let many = request(&bus, command_id(), add(3));
    let answers = futures::future::join_all((0..10).map(|_| ask(&bus, &many))).await;
    let sequences: Vec<_> = answers.iter().map(|answer| answer.sequence).collect();
    assert!(sequences.iter().all(|sequence| *sequence == sequences[0]), "{sequences:?}");
    let (_, handle) = instance.leading().await;
    let added = handle.query(|view| view.state.added.clone()).await.expect("answered");
    assert!(added.values().eq(&[1, 1, 1]), "{added:?}");
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_older_than_the_memory_is_refused_and_never_done_again() {
    let (server, bus, instance, _) = serving().await;
    let old = request(&bus, command_id(), add(1));
    ask(&bus, &old).await;
    instance.stop().await;
    // A day and an hour later.
    let later_bus = connect(&server.url()).await;
    later_bus.clock().raise_floor(PoolTime(bus.now().0 + 25 * 3_600 * 1_000_000_000));
    let later = Instance::start_serving(&later_bus, "b", Arc::default());
    let (_, handle) = later.leading().await;
    eventually("it listens", async || bus.request(&commands(), &old, ANSWER_TIMEOUT).await.is_ok()).await;
    assert!(matches!(ask(&bus, &old).await.body, Some(Body::ReservationReply(_))), "nothing newer was remembered yet");
    ask(&bus, &request(&bus, command_id(), add(2))).await;
    let refusal = refusal(&bus, &old).await;
    assert_eq!(refusal.code(), v1::RefusalCode::TooOld);
    assert!(refusal.next.contains("new id"), "{refusal:?}");
    let added = handle.query(|view| view.state.added.clone()).await.expect("answered");
    assert!(added.values().eq(&[1, 1]), "{added:?}");
    later.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pass_is_made_when_it_is_asked_for_and_says_where_the_log_is_then() {
    let (_server, bus, instance, _requests) = serving().await;
    let subject = subjects::service(SERVICE, "check");
    let ask = async |body| {
        let envelope = bus.envelope(body, Authority::default());
        bus.request(&subject, &envelope, ANSWER_TIMEOUT).await.expect("it answers").body.expect("it says something")
    };
    let Body::CheckReply(found) = ask(Body::CheckQuery(v1::CheckQuery {})).await else { panic!("it is no check") };
    let status = found.status.expect("it says where it is");
    assert_eq!(status.position.expect("it has one").sequence, log_state(&bus).await.last);
    assert!(status.leads && found.broken.is_empty() && found.differences.is_empty(), "{status:?}");
    let Body::Refusal(refusal) = ask(Body::ReplicaQuery(v1::ReplicaQuery {})).await else { panic!("it is taken") };
    assert!(refusal.why.contains("check_query"), "{refusal:?}");
    instance.stop().await;
}
