//! The service against a real NATS: what a person and a follower of the logs see of it.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

use std::time::Duration;

use anyhow::Context;
use muster_bus::Authority;
use muster_bus::streams::{MACHINES, RESERVATIONS};
use muster_bus::subjects::{self, Service};
use muster_model::{CommandId, Position, Term};
use muster_proto::v1::{self, envelope::Body, reservation_command, reservation_query, reservation_reply};
use muster_testkit::{Running, System, answered, until};
use prost::Message;

const LIMIT: Duration = Duration::from_secs(30);

struct Pool {
    system: System,
    commands: u8,
}

impl Pool {
    async fn start() -> anyhow::Result<Self> {
        Ok(Self { system: System::start().await?, commands: 0 })
    }

    fn service(&self, instance: &str) -> Running {
        self.system.run(instance, muster_reservation::run)
    }

    fn next_id(&mut self) -> CommandId {
        self.commands += 1;
        let mut id = [self.commands; 16];
        let now = u64::try_from(self.system.bus.now().0).unwrap() / 1_000_000;
        id[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        id[6] = 0x70;
        CommandId(id)
    }

    /// Asks until somebody answers.
    async fn ask(&self, verb: &str, id: Option<CommandId>, body: Body) -> anyhow::Result<Body> {
        let authority = Authority { command: id, ..Authority::default() };
        let envelope = self.system.bus.envelope(body, authority);
        let subject = subjects::service(Service::Reservation, verb);
        answered(&self.system.bus, &subject, &envelope, LIMIT).await
    }

    async fn command(&self, id: CommandId, kind: reservation_command::Kind) -> anyhow::Result<Body> {
        let command = v1::ReservationCommand { kind: Some(kind), master: None };
        self.ask("command", Some(id), Body::ReservationCommand(command)).await
    }

    async fn query(&self, kind: reservation_query::Kind) -> anyhow::Result<Body> {
        self.ask("query", None, Body::ReservationQuery(v1::ReservationQuery { kind: Some(kind) })).await
    }

    async fn record(&self, reservation: u64) -> anyhow::Result<v1::ReservationRecord> {
        let list = v1::ListReservations { reservation, ended: true, ..Default::default() };
        match self.query(reservation_query::Kind::List(list)).await? {
            Body::ReservationReply(v1::ReservationReply {
                kind: Some(reservation_reply::Kind::Reservations(list)),
            }) => list.reservations.into_iter().next().context("find the reservation"),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn until(&self, reservation: u64, state: v1::ReservationState) -> anyhow::Result<v1::ReservationRecord> {
        let what = format!("it is {state:?}");
        until(&what, LIMIT, async || self.record(reservation).await, |record| record.state() == state).await
    }
}

fn reserve(selector: &str, count: u32, seconds: i64) -> reservation_command::Kind {
    reservation_command::Kind::Reserve(v1::Reserve {
        selector: selector.into(),
        count,
        duration_ns: seconds * 1_000_000_000,
        ..v1::Reserve::default()
    })
}

fn reserved(body: &Body) -> Option<&v1::ReservationRecord> {
    match body {
        Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Reservation(record)) }) => {
            Some(record)
        }
        _ => None,
    }
}

fn refusal(body: Body) -> v1::Refusal {
    match body {
        Body::Refusal(refusal) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_with_what_is_wrong_and_change_nothing() {
    let mut pool = Pool::start().await.unwrap();
    let _stop = pool.service("a");
    let id = pool.next_id();
    let wrong = refusal(pool.command(id, reserve("cpu>=4", 1, 60)).await.unwrap());
    assert_eq!((wrong.code(), wrong.place_from, wrong.place_to), (v1::RefusalCode::Invalid, 0, 3));
    let id = pool.next_id();
    let impossible = refusal(pool.command(id, reserve("", 1, 60)).await.unwrap());
    assert_eq!(impossible.code(), v1::RefusalCode::Refused);
    assert!(impossible.why.contains("1 wanted, 0 of 0"), "{}", impossible.why);
    let nothing = Body::ReservationCommand(v1::ReservationCommand { kind: None, master: None });
    let id = pool.next_id();
    assert_eq!(refusal(pool.ask("command", Some(id), nothing).await.unwrap()).code(), v1::RefusalCode::Invalid);
    let before = pool.system.bus.stream_state(RESERVATIONS).await.unwrap().unwrap().last;
    assert_eq!(before, 2, "the log holds its genesis and one leader");
    let status = pool.query(reservation_query::Kind::Status(v1::ReservationServiceStatus {})).await.unwrap();
    let Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Status(status)) }) = status
    else {
        panic!("{status:?}")
    };
    assert_eq!((status.term, status.state_hash.len()), (1, 64));
}

impl Pool {
    /// Says something of machine `m1` in MACHINES, as machine-lifecycle would.
    async fn say(&self, kinds: Vec<v1::machine_event::Kind>) -> anyhow::Result<()> {
        let event = |kind| v1::MachineEvent { machine: "m1".into(), kind: Some(kind) }.encode_to_vec().into();
        let events = kinds.into_iter().map(event).collect();
        let cause = Some(v1::Cause { kind: Some(v1::cause::Kind::Own(v1::Own {})) });
        let entry = v1::Entry { cause, events, time_ns: self.system.bus.now().0, ..Default::default() };
        let turn = v1::Turn {
            previous_hash: vec![0; 32].into(),
            event_type: "muster.v1.MachineEvent".into(),
            block: v1::TurnBlock { entries: vec![entry] }.encode_to_vec().into(),
            ..Default::default()
        };
        let state = self.system.bus.stream_state(MACHINES).await?.context("find MACHINES")?;
        let position = Position::new(1, state.last + 1);
        let authority = Authority { position, term: Term(1), ..Authority::default() };
        let payload = self.system.bus.envelope(Body::Turn(turn), authority).encode_to_vec();
        let subject = subjects::log(Service::MachineLifecycle, "turn");
        self.system.bus.store(&subject, &position.to_string(), payload.into()).await?;
        Ok(())
    }

    /// Moves `m1` to a holder, or back to the pool.
    async fn hand_over(&self, reservation: u64, epoch: u64) -> anyhow::Result<()> {
        use v1::machine_event::Kind;
        let holder = Some(v1::Holder { reservation, ..Default::default() });
        self.say(vec![
            Kind::DrainingStarted(v1::DrainingStarted { next: holder.clone(), deadline_ns: 1 }),
            Kind::EpochRaised(v1::EpochRaised { epoch, holder }),
            Kind::FenceReported(v1::FenceReported { epoch }),
        ])
        .await
    }

    async fn add_machine(&self) -> anyhow::Result<()> {
        use v1::machine_event::Kind;
        let active = v1::FlagChanged { flag: v1::MachineFlag::Active.into(), value: true };
        let ready = v1::PhaseChanged { from: 1, to: v1::Phase::Ready.into(), reason: String::new() };
        self.say(vec![Kind::Added(v1::MachineAdded::default()), Kind::FlagChanged(active), Kind::PhaseChanged(ready)])
            .await
    }

    /// Reserves as soon as the service has seen the machine.
    async fn reserve(&mut self, seconds: i64) -> anyhow::Result<(CommandId, v1::ReservationRecord)> {
        let look = async || {
            let id = self.next_id();
            Ok((id, self.command(id, reserve("m1", 1, seconds)).await?))
        };
        let (id, body) = until("m1 is reserved", LIMIT, look, |(_, body)| reserved(body).is_some()).await?;
        Ok((id, reserved(&body).cloned().context("read the reservation")?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_out_goes_all_the_way_and_survives_its_service() {
    let mut pool = Pool::start().await.unwrap();
    let first = pool.service("a");
    pool.add_machine().await.unwrap();
    let (id, record) = pool.reserve(3_600).await.unwrap();
    assert_eq!((record.state(), record.machines.as_slice()), (v1::ReservationState::Preparing, &["m1".to_owned()][..]));
    let again = pool.command(id, reserve("m1", 1, 3_600)).await.unwrap();
    let same = v1::ReservationReply { kind: Some(reservation_reply::Kind::Reservation(record.clone())) };
    assert_eq!(again, Body::ReservationReply(same), "a retry gets the same answer and does nothing");
    pool.hand_over(record.reservation, 2).await.unwrap();
    let ready = pool.until(record.reservation, v1::ReservationState::Ready).await.unwrap();
    assert_eq!(ready.ready, ["m1"]);

    first.stop.cancel();
    let _second = pool.service("b");
    assert_eq!(pool.record(record.reservation).await.unwrap(), ready, "another instance says the same");
    let id = pool.next_id();
    let check_in = v1::CheckIn { reservation: record.reservation, ..Default::default() };
    pool.command(id, reservation_command::Kind::CheckIn(check_in.clone())).await.unwrap();
    let ended = pool.until(record.reservation, v1::ReservationState::Ended).await.unwrap();
    assert_eq!((ended.end(), ended.returning.as_slice()), (v1::ReservationEnd::Released, &["m1".to_owned()][..]));
    let id = pool.next_id();
    let twice = pool.command(id, reservation_command::Kind::CheckIn(check_in)).await.unwrap();
    assert!(refusal(twice).why.contains("already ended"));

    let (_, waiting) = pool.reserve(1).await.unwrap();
    assert_eq!(waiting.state(), v1::ReservationState::Queued, "its machine is not back yet");
    pool.hand_over(0, 3).await.unwrap();
    pool.until(waiting.reservation, v1::ReservationState::Preparing).await.unwrap();
    pool.hand_over(waiting.reservation, 4).await.unwrap();
    let expired = pool.until(waiting.reservation, v1::ReservationState::Ended).await.unwrap();
    assert_eq!(expired.end(), v1::ReservationEnd::Expired);
}
