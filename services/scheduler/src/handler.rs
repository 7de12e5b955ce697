//! Requests of people and services: what the scheduler is asked, and how it answers.

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_ledger::{Asked, Requests, View};
use muster_model::{CommandId, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body, job_query, job_reply};
use prost::Message;

use crate::core::{Input, JobCore};
use crate::shell::JobShell;
use crate::{metrics, queries, wire};

impl Requests<JobCore> for JobShell {
    type Command = v1::JobCommand;
    type Query = job_query::Kind;

    const SERVICE: Service = Service::Scheduler;

    /// The pool time alone is told without a turn, so that it is fresh.
    fn open(&self, body: Body) -> Result<Asked<v1::JobCommand, job_query::Kind>, Refusal> {
        match body {
            Body::JobCommand(command) => Ok(Asked::Command(command)),
            Body::JobQuery(query) => match query.kind.ok_or_else(|| wire::requests::unknown("query"))? {
                job_query::Kind::Clock(_) => {
                    let clock = v1::ClockReply { pool_time_ns: self.bus.now().0 };
                    Ok(Asked::Answered(Box::new(reply_of(job_reply::Kind::Clock(clock)))))
                }
                job_query::Kind::Master(query) => {
                    self.centers.note(&query.center);
                    Ok(Asked::Query(job_query::Kind::Master(query)))
                }
                query => Ok(Asked::Query(query)),
            },
            _ => Err(self.unreadable("it is neither a job command nor a job query")),
        }
    }

    fn input(&self, id: CommandId, actor: &str, command: v1::JobCommand) -> Result<Input, Refusal> {
        wire::requests::command(id, actor, command)
    }

    fn look(&self, view: &View<'_, JobCore>, query: &job_query::Kind) -> Result<Body, Refusal> {
        queries::answer(query, view, &self.instance).map(reply_of)
    }

    fn reply(&self, reply: Bytes) -> Result<Body, prost::DecodeError> {
        v1::JobReply::decode(reply).map(Body::JobReply)
    }

    fn unreadable(&self, why: &str) -> Refusal {
        metrics::invalid();
        let next = "use a `muster` of the same version as the scheduler";
        Refusal::new(RefusalCode::Invalid, "take a request to the scheduler", why, next)
    }

    fn count(&self, answered: bool) {
        metrics::request(answered);
    }
}

fn reply_of(kind: job_reply::Kind) -> Body {
    Body::JobReply(v1::JobReply { kind: Some(kind) })
}
