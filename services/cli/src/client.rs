//! The one request client: connects, asks, and asks again with the same command id until an answer comes or time is up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, BusOptions, RequestError};
use muster_model::{CommandId, MachineId, PoolTime, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body};

use crate::arguments::Global;
use crate::center::Seat;
use crate::exit::{Failure, one_line};
use crate::times::Viewer;

/// The first connection may take so long, or as long as `--timeout` says if that is less.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// One attempt is answered within this, or made again.
const ATTEMPT_TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// The same for the report service, whose longest statement may take ten seconds, and for the past, whose fold may.
const REPORT_ATTEMPT_TIMEOUT_MAX: Duration = Duration::from_secs(12);
/// The pool time is asked for once and quickly: only ages that people see depend on it.
const CLOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Waits between attempts double up to this.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_millis(500);
/// A wait is told of after this: a change of leader is over sooner.
const SILENT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Access to the services.
#[derive(Clone)]
pub(crate) struct Client {
    bus: Bus,
    timeout: Duration,
    /// The command center that commands are given in; none on the command line.
    seat: Option<Arc<Seat>>,
    /// The moment that owning services are asked about; none for now.
    moment: Option<PoolTime>,
}

/// One question or command, the same in every attempt.
struct Asked<'a> {
    what: &'a str,
    service: Service,
    subject: String,
    envelope: v1::Envelope,
    deadline: Instant,
    limit: Duration,
    /// One attempt is answered within this, or made again.
    attempt_max: Duration,
    /// A wait is not told of.
    quiet: bool,
}

impl Asked<'_> {
    /// For at most so long, without telling of a wait.
    fn quietly(self, limit: Duration) -> Self {
        Self { quiet: true, limit, deadline: Instant::now() + limit, ..self }
    }
}

/// Why an attempt brought no answer.
enum Miss {
    /// Nobody listens, or nobody can be reached: it was not taken.
    NobodyAnswers,
    /// It may have been taken.
    Late,
    /// The service said so.
    Unavailable(Refusal),
    /// It takes no more of this identity before that.
    Busy(Refusal, Duration),
}

impl Client {
    /// Connects as the user.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when no usable server answers in time, [`Failure::Usage`] when the credentials are of no use.
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let user = global.user()?;
        let mut options = BusOptions::new(&global.nats, &format!("cli/{user}"), global.access()?);
        options.actor = format!("user:{user}");
        options.connect_timeout = CONNECT_TIMEOUT_MAX.min(global.timeout);
        let bus = Bus::connect(&options).await?;
        Ok(Self { bus, timeout: global.timeout, seat: None, moment: None })
    }

    /// The same connection, as a command center.
    pub(crate) fn seated(mut self, seat: Arc<Seat>) -> Self {
        self.seat = Some(seat);
        self
    }

    /// The same connection, with requests that may take so long.
    pub(crate) fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same connection, whose questions to owning services are about a moment.
    pub(crate) fn at(mut self, moment: PoolTime) -> Self {
        self.moment = Some(moment);
        self
    }

    /// The command center that commands are given in.
    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.as_deref()
    }

    /// The bus itself: streams and object stores.
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How long requests may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Gives a command, with one id for all attempts.
    ///
    /// # Errors
    /// The service's refusal, or that nobody answered in time.
    pub(crate) async fn command(&self, what: &str, service: Service, body: Body) -> Result<Body, Failure> {
        self.ask(&self.to_command(what, service, body)).await
    }

    /// Asks a question.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn query(&self, what: &str, service: Service, body: Body) -> Result<Body, Failure> {
        self.ask(&self.to_query(what, service, "query", body)).await
    }

    /// Gives a command, for at most `limit`, without telling of a wait.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn command_quietly(
        &self,
        what: &str,
        service: Service,
        body: Body,
        limit: Duration,
    ) -> Result<Body, Failure> {
        self.ask(&self.to_command(what, service, body).quietly(limit)).await
    }

    /// Asks a question, for at most `limit`, without telling of a wait.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn query_quietly(
        &self,
        what: &str,
        service: Service,
        body: Body,
        limit: Duration,
    ) -> Result<Body, Failure> {
        self.ask(&self.to_query(what, service, "query", body).quietly(limit)).await
    }

    /// Waits until the archive of a decision log answers: after a restart of NATS it takes a moment to come back.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn wait_archive(&self, what: &str, log: &str) -> Result<(), Failure> {
        let query = v1::ArchiveQuery { log: log.into(), head_only: true, ..Default::default() };
        let asked = self.to_query(what, Service::TelemetryLogger, "archive", Body::ArchiveQuery(query));
        self.ask(&asked).await.map(drop)
    }

    /// Messages of the archive of a decision log.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn archived(
        &self,
        what: &str,
        query: v1::ArchiveQuery,
    ) -> Result<Vec<v1::ArchivedMessage>, Failure> {
        let asked = self.to_query(what, Service::TelemetryLogger, "archive", Body::ArchiveQuery(query));
        match self.ask(&asked).await? {
            Body::ArchiveReply(reply) => Ok(reply.messages),
            _ => Err(unexpected(Service::TelemetryLogger.as_str())),
        }
    }

    /// Has the leader of an owning service make a full pass now, without telling of a wait.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub(crate) async fn check(&self, service: Service, limit: Duration) -> Result<v1::CheckReply, Failure> {
        let asked = self.to_query("make a full pass", service, "check", Body::CheckQuery(v1::CheckQuery {}));
        match self.ask(&asked.quietly(limit)).await? {
            Body::CheckReply(found) => Ok(found),
            _ => Err(unexpected(service.as_str())),
        }
    }

    /// Asks the agent of a machine, once.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when it does not answer.
    pub(crate) async fn agent(
        &self,
        machine: &MachineId,
        verb: &str,
        kind: v1::agent_command::Kind,
    ) -> Result<v1::AgentReply, Failure> {
        let envelope =
            self.bus.envelope(Body::AgentCommand(v1::AgentCommand { kind: Some(kind) }), Authority::default());
        let subject = subjects::command(machine, verb);
        match self.bus.request(&subject, &envelope, ATTEMPT_TIMEOUT_MAX.min(self.timeout)).await {
            Ok(v1::Envelope { body: Some(Body::AgentReply(reply)), .. }) => Ok(reply),
            Ok(v1::Envelope { body: Some(Body::Refusal(refusal)), .. }) => Err(Refusal::from(refusal).into()),
            Ok(_) => Err(unexpected(&format!("agent of {machine}"))),
            Err(RequestError::Forbidden { .. }) => Err(forbidden("ask an agent", &format!("the agent of {machine}"))),
            Err(error) => Err(Failure::Unreachable(format!(
                "ask the agent of {machine}: {error}; `muster machine show {machine}` says how the machine is"
            ))),
        }
    }

    /// A viewer with the pool time, where the scheduler tells it quickly.
    pub(crate) async fn viewer(&self) -> Viewer {
        let now = match self.moment {
            Some(moment) => moment,
            None => self.pool_time().await.map_or_else(|| self.bus.now(), |clock| clock.time),
        };
        Viewer::here(now)
    }

    /// The pool time, asked for once.
    pub(crate) async fn pool_time(&self) -> Option<Clocked> {
        let kind = v1::job_query::Kind::Clock(v1::ClockQuery {});
        let envelope = self.bus.envelope(Body::JobQuery(v1::JobQuery { kind: Some(kind) }), Authority::default());
        let subject = self.bus.service(Service::Scheduler, "query");
        let asked = Instant::now();
        let answer = self.bus.request(&subject, &envelope, CLOCK_TIMEOUT.min(self.timeout)).await.ok()?;
        let Some(Body::JobReply(v1::JobReply { kind: Some(v1::job_reply::Kind::Clock(clock)) })) = answer.body else {
            return None;
        };
        let round_trip = asked.elapsed();
        self.bus.clock().observe(PoolTime(clock.pool_time_ns), round_trip);
        Some(Clocked { time: PoolTime(clock.pool_time_ns) + round_trip / 2, round_trip })
    }

    fn to_command<'a>(&self, what: &'a str, service: Service, body: Body) -> Asked<'a> {
        let command = Some(CommandId(*uuid::Uuid::now_v7().as_bytes()));
        let envelope = self.bus.envelope(body, Authority { command, ..Authority::default() });
        self.to_ask(what, service, "command", envelope)
    }

    fn to_query<'a>(&self, what: &'a str, service: Service, verb: &str, body: Body) -> Asked<'a> {
        let mut envelope = self.bus.envelope(body, Authority::default());
        envelope.asked_at_ns = self.moment.map_or(0, |moment| moment.0);
        self.to_ask(what, service, verb, envelope)
    }

    fn to_ask<'a>(&self, what: &'a str, service: Service, verb: &str, envelope: v1::Envelope) -> Asked<'a> {
        let (subject, limit) = (self.bus.service(service, verb), self.timeout);
        let is_slow = service == Service::Report || self.moment.is_some();
        let attempt_max = if is_slow { REPORT_ATTEMPT_TIMEOUT_MAX } else { ATTEMPT_TIMEOUT_MAX };
        let deadline = Instant::now() + limit;
        Asked { what, service, subject, envelope, deadline, limit, attempt_max, quiet: false }
    }

    async fn ask(&self, asked: &Asked<'_>) -> Result<Body, Failure> {
        let (begun, mut delay, mut told) = (Instant::now(), RETRY_DELAY_MIN, asked.quiet);
        loop {
            let miss = match self.attempt(asked).await? {
                Ok(body) => return Ok(body),
                Err(miss) => miss,
            };
            if let Miss::Busy(_, wait) = &miss {
                delay = delay.max(*wait);
            }
            if Instant::now() + delay >= asked.deadline {
                return Err(self.given_up(asked, miss));
            }
            if !told && begun.elapsed() >= SILENT_WAIT_MAX {
                self.tell(asked, &miss);
                told = true;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    /// One attempt: an answer, a miss that may be tried again, or a failure that may not.
    async fn attempt(&self, asked: &Asked<'_>) -> Result<Result<Body, Miss>, Failure> {
        let left = asked.deadline.saturating_duration_since(Instant::now()).max(RETRY_DELAY_MIN);
        match self.bus.request(&asked.subject, &asked.envelope, left.min(asked.attempt_max)).await {
            Ok(v1::Envelope { body: Some(Body::Refusal(refusal)), .. }) => {
                let refusal = Refusal::from(refusal);
                if let Some(wait) = refusal.again_after() {
                    return Ok(Err(Miss::Busy(refusal, wait)));
                }
                match refusal.code {
                    RefusalCode::Unavailable => Ok(Err(Miss::Unavailable(refusal))),
                    RefusalCode::Invalid
                    | RefusalCode::Refused
                    | RefusalCode::NotFound
                    | RefusalCode::TooOld
                    | RefusalCode::Limit => Err(refusal.into()),
                }
            }
            Ok(v1::Envelope { body: Some(body), .. }) => Ok(Ok(body)),
            Ok(v1::Envelope { body: None, .. }) => Err(unexpected(asked.service.as_str())),
            Err(RequestError::NoResponders { .. } | RequestError::Bus(_)) => Ok(Err(Miss::NobodyAnswers)),
            Err(RequestError::TimedOut { .. }) if !self.bus.is_connected() => Ok(Err(Miss::NobodyAnswers)),
            Err(RequestError::TimedOut { .. }) => Ok(Err(Miss::Late)),
            Err(RequestError::Forbidden { .. }) => Err(forbidden(asked.what, asked.service.as_str())),
            Err(error @ RequestError::Undecodable { .. }) => Err(Failure::Other(error.into())),
        }
    }

    fn tell(&self, asked: &Asked<'_>, miss: &Miss) {
        let until = self.bus.now() + asked.deadline.saturating_duration_since(Instant::now());
        let until = Viewer::here(self.bus.now()).time(until);
        eprintln!("muster: waiting for {} until {until}: {}", asked.service.as_str(), self.why(miss));
    }

    fn why(&self, miss: &Miss) -> String {
        match miss {
            _ if !self.bus.is_connected() => "the connection to NATS is lost".into(),
            Miss::NobodyAnswers => "nobody answers".into(),
            Miss::Late => "no answer yet".into(),
            Miss::Unavailable(refusal) | Miss::Busy(refusal, _) => one_line(&refusal.why),
        }
    }

    fn given_up(&self, asked: &Asked<'_>, miss: Miss) -> Failure {
        let (what, party, limit) = (asked.what, asked.service.as_str(), asked.limit);
        match miss {
            Miss::NobodyAnswers if self.bus.is_connected() => Failure::Unreachable(format!(
                "{what}: nobody answered for {party} within {limit:?}; is it running? `muster admin status` shows"
            )),
            Miss::NobodyAnswers => Failure::Unreachable(format!(
                "{what}: the connection to NATS was lost for {limit:?}; is nats-server running?"
            )),
            Miss::Late if asked.envelope.cmd_id.is_empty() => Failure::TimedOut(format!(
                "{what}: {party} did not answer within {limit:?}; `muster admin status` shows whether it is well"
            )),
            Miss::Late => Failure::TimedOut(format!(
                "{what}: {party} did not answer within {limit:?}, and may or may not have done it; look before trying again"
            )),
            Miss::Unavailable(refusal) | Miss::Busy(refusal, _) => Failure::Refused(refusal),
        }
    }
}

/// The pool time, and how well it is known.
pub(crate) struct Clocked {
    /// The pool time now.
    pub(crate) time: PoolTime,
    /// The round trip of the question.
    pub(crate) round_trip: Duration,
}

/// The server does not let these credentials ask that.
fn forbidden(what: &str, party: &str) -> Failure {
    let why = format!("your role does not permit to ask that of {party}");
    let next = "an administrator can give you a higher role (`muster admin user add`); docs/permissions.md says which may what";
    Refusal::new(RefusalCode::Refused, what, why, next).into()
}

/// The answer is none that this version knows.
pub(crate) fn unexpected(party: &str) -> Failure {
    Failure::Other(anyhow::anyhow!(
        "the answer of {party} is not one that this version knows; are all parts of the same version?"
    ))
}
