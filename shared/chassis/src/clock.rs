//! Following the pool clock, for every process that is neither the scheduler nor an agent.

use std::time::{Duration, Instant};

use muster_bus::{Authority, Bus, subjects};
use muster_model::PoolTime;
use muster_proto::v1::{JobQuery, envelope::Body, job_query, job_reply};
use tokio_util::sync::CancellationToken;

/// How often the pool time is asked for.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the scheduler for the pool time every 5 s, and feeds `bus.clock()`, until `stop`. Without a scheduler the clock goes on
/// as it is.
pub async fn follow_pool_clock(bus: Bus, stop: CancellationToken) {
    let mut interval = tokio::time::interval(ASK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Some((time, round_trip)) = ask(&bus).await {
            bus.clock().observe(time, round_trip);
        }
    }
}

/// One question and its round trip; none where nobody answers with a time.
async fn ask(bus: &Bus) -> Option<(PoolTime, Duration)> {
    let query = JobQuery { kind: Some(job_query::Kind::Clock(muster_proto::v1::ClockQuery {})) };
    let envelope = bus.envelope(Body::JobQuery(query), Authority::default());
    let subject = bus.service(subjects::Service::Scheduler, "query");
    let asked = Instant::now();
    let answer = match bus.request(&subject, &envelope, ANSWER_TIMEOUT).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, "the pool clock did not answer");
            return None;
        }
    };
    match answer.body {
        Some(Body::JobReply(reply)) => match reply.kind {
            Some(job_reply::Kind::Clock(clock)) => Some((PoolTime(clock.pool_time_ns), asked.elapsed())),
            _ => None,
        },
        _ => None,
    }
}
