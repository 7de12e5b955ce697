//! Who hears a message: the conversions of the services, and what their cores decide on a state of a simulated pool.

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_ledger::{At, Core, Now};
use muster_model::{PoolTime, Position, Term};
use muster_proto::v1::{self, envelope::Body};
use prost::Message;

use crate::parts::{JobPart, MachinePart, ReservationPart};
use crate::service::{Part, Stream};

/// The states of the owning services.
#[derive(Debug)]
pub struct States {
    pub(crate) jobs: StateOf<JobPart>,
    pub(crate) machines: StateOf<MachinePart>,
    pub(crate) reservations: StateOf<ReservationPart>,
    pub(crate) now: Now,
}

type StateOf<P> = <<P as Part>::Core as Core>::State;

/// What became of a message.
pub(super) enum Met {
    Undecodable,
    Refused,
    Taken,
}

type Meeting = Result<Met, String>;

/// A type of message.
pub(super) struct Type {
    pub(super) name: &'static str,
    /// Its name on the wire.
    pub(super) message: &'static str,
    /// The body of an envelope, where it is one.
    pub(super) body: Option<&'static str>,
    pub(super) meet: fn(&States, &[u8]) -> Meeting,
}

macro_rules! types {
    ($($name:literal $message:literal $body:expr => $meet:expr;)*) => {
        /// Everything that somebody decodes.
        pub(super) static TYPES: &[Type] = &[$(Type { name: $name, message: $message, body: $body, meet: $meet }),*];
    };
}

types! {
    "job command" "Envelope" Some("job_command") => |states, bytes| command::<JobPart>(&states.jobs, states.now, bytes);
    "machine command" "Envelope" Some("machine_command") => |states, bytes| command::<MachinePart>(&states.machines, states.now, bytes);
    "reservation command" "Envelope" Some("reservation_command") => |states, bytes| command::<ReservationPart>(&states.reservations, states.now, bytes);
    "hello to scheduler" "Envelope" Some("hello") => |states, bytes| hello::<JobPart>(&states.jobs, states.now, bytes);
    "hello to machine-lifecycle" "Envelope" Some("hello") => |states, bytes| hello::<MachinePart>(&states.machines, states.now, bytes);
    "heartbeat to scheduler" "Envelope" Some("heartbeat") => |states, bytes| heartbeat::<JobPart>(&states.jobs, states.now, bytes);
    "heartbeat to machine-lifecycle" "Envelope" Some("heartbeat") => |states, bytes| heartbeat::<MachinePart>(&states.machines, states.now, bytes);
    "reports to scheduler" "Envelope" Some("report_batch") => |states, bytes| follow::<JobPart>(Stream::Reports, &states.jobs, states.now, bytes);
    "reports to machine-lifecycle" "Envelope" Some("report_batch") => |states, bytes| follow::<MachinePart>(Stream::Reports, &states.machines, states.now, bytes);
    "pings to scheduler" "Envelope" Some("ping_batch") => |_, bytes| pings(bytes);
    "turn" "Envelope" Some("turn") => |states, bytes| turn(states, bytes);
    "job event" "JobEvent" None => |_, bytes| event::<JobPart>(bytes);
    "machine event" "MachineEvent" None => |_, bytes| event::<MachinePart>(bytes);
    "reservation event" "ReservationEvent" None => |_, bytes| event::<ReservationPart>(bytes);
    "job snapshot" "JobSnapshot" None => |_, bytes| snapshot::<JobPart>(bytes);
    "machine snapshot" "MachinesState" None => |_, bytes| snapshot::<MachinePart>(bytes);
    "reservation snapshot" "ReservationSnapshot" None => |_, bytes| snapshot::<ReservationPart>(bytes);
}

fn command<P: Part>(state: &StateOf<P>, now: Now, bytes: &[u8]) -> Meeting
where
    StateOf<P>: Clone,
{
    let Ok(envelope) = v1::Envelope::decode(bytes) else { return Ok(Met::Undecodable) };
    let Ok(input) = P::command(&envelope) else { return Ok(Met::Refused) };
    decide::<P>(state, now, &envelope.actor, [input])
}

fn hello<P: Part>(state: &StateOf<P>, now: Now, bytes: &[u8]) -> Meeting
where
    StateOf<P>: Clone,
{
    let Ok(envelope) = v1::Envelope::decode(bytes) else { return Ok(Met::Undecodable) };
    decide::<P>(state, now, "", P::hello("node-1", &envelope))
}

fn heartbeat<P: Part>(state: &StateOf<P>, now: Now, bytes: &[u8]) -> Meeting {
    let Ok(envelope) = v1::Envelope::decode(bytes) else { return Ok(Met::Undecodable) };
    let Some((observation, _answer)) = P::heartbeat(state, "node-1", &envelope) else { return Ok(Met::Refused) };
    P::Core::observe(&mut Default::default(), state, observation, now.time);
    Ok(Met::Taken)
}

fn follow<P: Part>(stream: Stream, state: &StateOf<P>, now: Now, bytes: &[u8]) -> Meeting
where
    StateOf<P>: Clone,
{
    match P::take(stream, &stored(stream, bytes)) {
        Err(_) => Ok(Met::Undecodable),
        Ok(inputs) => decide::<P>(state, now, "", inputs),
    }
}

fn stored(stream: Stream, bytes: &[u8]) -> StoredMessage {
    let subject = match stream {
        Stream::Reports => "muster.v1.agent.node-1.rpt".into(),
        // Who follows a log does not look at its subjects.
        log => log.name().to_owned(),
    };
    StoredMessage { sequence: 7, stored: PoolTime(7), subject, payload: Bytes::copy_from_slice(bytes), pending: 0 }
}

/// A message of a log is heard by all who follow that log.
fn turn(states: &States, bytes: &[u8]) -> Meeting {
    follow::<MachinePart>(Stream::Reservations, &states.machines, states.now, bytes)?;
    follow::<ReservationPart>(Stream::Machines, &states.reservations, states.now, bytes)?;
    follow::<ReservationPart>(Stream::Jobs, &states.reservations, states.now, bytes)?;
    follow::<JobPart>(Stream::Reservations, &states.jobs, states.now, bytes)?;
    follow::<JobPart>(Stream::Machines, &states.jobs, states.now, bytes)
}

fn pings(bytes: &[u8]) -> Meeting {
    let Ok(envelope) = v1::Envelope::decode(bytes) else { return Ok(Met::Undecodable) };
    let Some(Body::PingBatch(batch)) = envelope.body else { return Ok(Met::Refused) };
    Ok(muster_scheduler::wire::agents::pings(batch).map_or(Met::Refused, |_| Met::Taken))
}

fn event<P: Part>(bytes: &[u8]) -> Meeting {
    Ok(P::Core::decode_event(&Bytes::copy_from_slice(bytes)).map_or(Met::Undecodable, |_| Met::Taken))
}

fn snapshot<P: Part>(bytes: &[u8]) -> Meeting {
    Ok(P::Core::decode_state(&Bytes::copy_from_slice(bytes)).map_or(Met::Undecodable, |_| Met::Taken))
}

/// What the core makes of inputs: a refusal changes nothing, and what it decides keeps the state's invariants.
fn decide<P: Part>(
    state: &StateOf<P>,
    now: Now,
    actor: &str,
    inputs: impl IntoIterator<Item = <P::Core as Core>::Input>,
) -> Meeting
where
    StateOf<P>: Clone,
{
    let (mut changed, mut met) = (None, Met::Refused);
    for input in inputs {
        let before = changed.as_ref().unwrap_or(state);
        let Ok(decision) = P::Core::decide(before, &Default::default(), &input, now) else { continue };
        met = Met::Taken;
        for event in &decision.events {
            let event = P::Core::decode_event(&P::Core::encode_event(event))?;
            let at = At { position: now.position, time: now.time, actor };
            P::Core::apply(changed.get_or_insert_with(|| state.clone()), &event, &at);
        }
        if !decision.events.is_empty()
            && let Some(changed) = &changed
        {
            P::check(changed).map_err(|broken| format!("{broken}, by {:?}", decision.events))?;
        }
    }
    Ok(met)
}

impl States {
    pub(crate) fn new(
        jobs: &StateOf<JobPart>,
        machines: &StateOf<MachinePart>,
        reservations: &StateOf<ReservationPart>,
        time: PoolTime,
    ) -> Self {
        let now = Now { time, position: Position::new(1, 1_000_000), term: Term(1_000) };
        Self { jobs: jobs.clone(), machines: machines.clone(), reservations: reservations.clone(), now }
    }
}
