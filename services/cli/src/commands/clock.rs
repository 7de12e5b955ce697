//! `muster clock`: the pool clock, beside this machine's.

use std::time::Duration;

use muster_model::PoolTime;

use super::Session;
use crate::exit::Failure;
use crate::output::{Cell, Table};

/// Questions asked; the one with the least round trip is shown.
const QUESTIONS: usize = 5;

pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    session.client.job_query("ask for the pool time", clock_query()).await?;
    let mut best: Option<(PoolTime, Duration, PoolTime)> = None;
    for _ in 0..QUESTIONS {
        let Some(clock) = session.client.pool_time().await else { continue };
        if best.is_none_or(|(_, round_trip, _)| clock.round_trip < round_trip) {
            best = Some((clock.time, clock.round_trip, wall_time()));
        }
    }
    let Some((time, round_trip, wall)) = best else {
        return Err(Failure::TimedOut("ask for the pool time: the scheduler answers too slowly; try again".into()));
    };
    let ahead = (time.0 - wall.0) as f64 / 1e9;
    let table = Table::record(vec![
        ("pool_time", Cell::Time(time)),
        ("ahead_of_this_machine_seconds", Cell::Number(ahead)),
        ("error_seconds", Cell::Number(round_trip.as_secs_f64() / 2.0)),
    ]);
    session.print(&table).await
}

fn clock_query() -> muster_proto::v1::job_query::Kind {
    muster_proto::v1::job_query::Kind::Clock(muster_proto::v1::ClockQuery {})
}

/// This machine's wall time.
fn wall_time() -> PoolTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    PoolTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
