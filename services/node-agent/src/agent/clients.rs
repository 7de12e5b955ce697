//! Clients of a test: what a process asks for, its agent asks of reservation in its name. The process shows its token on a connection of
//! its own, so that any program that it starts can ask too; one question, one answer.

use std::time::Duration;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_model::{GroupMaster, ProcessId, nanoseconds, others_than};
use muster_module_protocol::{AgentMessage, Client, ClientWish, HolderWish};
use muster_proto::v1::{
    self, CheckIn, DismissMachine, Extend, ListReservations, Reserve, envelope::Body, reservation_command,
    reservation_query, reservation_reply,
};

use super::{Agent, Input};

/// reservation answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What a program asks that shows the token of a process.
#[derive(Debug)]
pub(super) struct Asked {
    /// The process.
    pub id: ProcessId,
    /// Its token, as shown.
    pub token: String,
    /// What is asked.
    pub wish: ClientWish,
}

impl Agent {
    /// A program asks for something in the name of a process of this machine.
    pub(super) fn client_asked(&mut self, connection: u64, asked: Asked) {
        let Asked { id, token, wish } = asked;
        let process = self.processes.get(&id).filter(|process| process.life.is_live());
        let user = process.and_then(|process| process.user.clone());
        if !self.tokens.is_of(id, &token) {
            tracing::warn!(process = %id, "something asks for clients with a token that is not the process's");
            return self.client_answered(connection, &refused("the token is not that of a process that lives here"));
        }
        let Some(user) = user else {
            let why = "the process has ended, or its order is not known again yet: ask again in a second";
            return self.client_answered(connection, &refused(why));
        };
        let master = GroupMaster::Process(id.run, id.dpid).into();
        let question = question(wish, master, self.settings.machine.as_str());
        self.ask_reservation(connection, user, question);
    }

    /// The person at this machine asks for something: in the name of the machine, which may for the reservation that has it.
    pub(super) fn holder_asked(&mut self, connection: u64, is_root: bool, wish: HolderWish) {
        let reservation = self.fence.reservation;
        if !is_root {
            return self.client_answered(connection, &refused("only root may: log in as root"));
        }
        if reservation == 0 {
            return self.client_answered(connection, &refused("nobody holds this machine"));
        }
        let actor = format!("machine:{}", self.settings.machine);
        self.ask_reservation(connection, actor, holder_question(wish, reservation));
    }

    fn ask_reservation(&self, connection: u64, actor: String, (verb, body, command): Question) {
        let mut envelope = self.connection.envelope(body, self.identity());
        (envelope.actor, envelope.cmd_id) = (actor, command);
        let (bus, inputs) = (self.connection.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let ask = async {
                let bus = bus.bus().await;
                bus.request(&bus.service(Service::Reservation, verb), &envelope, ANSWER_TIMEOUT).await
            };
            let message = match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
                Ok(Ok(answer)) => answer_of(answer.body),
                Ok(Err(error)) => refused(&format!("reservation can not be asked: {error}; ask again")),
                Err(_) => refused("reservation does not answer: ask again"),
            };
            // It fails only when the agent ends.
            let _ = inputs.send(Input::ClientAnswer { connection, message: Box::new(message) }).await;
        });
    }

    /// The answer to such a question.
    pub(super) fn client_answered(&mut self, connection: u64, message: &AgentMessage) {
        self.sockets.say(connection, message);
    }
}

fn refused(why: &str) -> AgentMessage {
    AgentMessage::Clients { clients: Vec::new(), refused: why.to_owned() }
}

/// A question to reservation: its verb, what is asked, and the id of a command.
type Question = (&'static str, Body, Bytes);

fn query(list: ListReservations) -> Question {
    let query = v1::ReservationQuery { kind: Some(reservation_query::Kind::List(list)) };
    ("query", Body::ReservationQuery(query), Bytes::new())
}

fn command(id: &str, master: Option<v1::GroupMaster>, kind: reservation_command::Kind) -> Question {
    let id = uuid::Uuid::try_parse(id).unwrap_or_else(|_| uuid::Uuid::now_v7());
    let command = v1::ReservationCommand { master, kind: Some(kind) };
    ("command", Body::ReservationCommand(command), Bytes::copy_from_slice(id.as_bytes()))
}

fn holder_question(wish: HolderWish, reservation: u64) -> Question {
    match wish {
        HolderWish::Show => query(ListReservations { reservation, ..ListReservations::default() }),
        HolderWish::Extend { id, by_ms } => {
            let extend = Extend { reservation, by_ns: nanoseconds(Duration::from_millis(by_ms)), ..Extend::default() };
            command(&id, None, reservation_command::Kind::Extend(extend))
        }
        HolderWish::CheckIn { id } => {
            command(&id, None, reservation_command::Kind::CheckIn(CheckIn { reservation, ..CheckIn::default() }))
        }
    }
}

/// The machine of the master is no client of it.
fn question(wish: ClientWish, master: v1::GroupMaster, own: &str) -> Question {
    let (id, kind) = match wish {
        ClientWish::List => {
            return query(ListReservations { master: Some(master), ..ListReservations::default() });
        }
        ClientWish::Ask { id, selector, count, each, for_ms, priority } => {
            let duration_ns = nanoseconds(Duration::from_millis(for_ms));
            let selector = others_than(own, &selector);
            let reserve = Reserve { selector, count, each, duration_ns, priority, ..Reserve::default() };
            (id, reservation_command::Kind::Reserve(reserve))
        }
        ClientWish::Extend { id, reservation, by_ms } => (
            id,
            reservation_command::Kind::Extend(Extend {
                reservation,
                by_ns: nanoseconds(Duration::from_millis(by_ms)),
                ..Extend::default()
            }),
        ),
        ClientWish::Dismiss { id, reservation, machine } if machine.is_empty() => {
            (id, reservation_command::Kind::CheckIn(CheckIn { reservation, ..CheckIn::default() }))
        }
        ClientWish::Dismiss { id, reservation, machine } => {
            (id, reservation_command::Kind::Dismiss(DismissMachine { reservation, machine }))
        }
    };
    command(&id, Some(master), kind)
}

fn answer_of(body: Option<Body>) -> AgentMessage {
    let reply = match body {
        Some(Body::ReservationReply(reply)) => reply.kind,
        Some(Body::Refusal(refusal)) => {
            return refused(&format!("{}: {}; {}", refusal.what, refusal.why, refusal.next));
        }
        _ => None,
    };
    let records = match reply {
        Some(reservation_reply::Kind::Reservation(record)) => vec![record],
        Some(reservation_reply::Kind::Reservations(list)) => list.reservations,
        _ => return refused("reservation answers something that this version does not know"),
    };
    AgentMessage::Clients { clients: records.into_iter().map(client).collect(), refused: String::new() }
}

fn client(record: v1::ReservationRecord) -> Client {
    let state = match record.state() {
        v1::ReservationState::Queued | v1::ReservationState::Unspecified => "queued",
        v1::ReservationState::Preparing | v1::ReservationState::Prepared => "preparing",
        v1::ReservationState::Ready | v1::ReservationState::Active => "ready",
        v1::ReservationState::Ended => "ended",
    };
    Client {
        reservation: record.reservation,
        state: state.to_owned(),
        count: record.count,
        machines: record.machines,
        ready: record.ready,
        deadline_ns: record.deadline_ns,
        reason: record.reason,
    }
}
