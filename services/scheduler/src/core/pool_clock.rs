//! With what time a leader begins that never followed the pool clock: it continues what the agents follow.
//!
//! Not responsible for hearing them, nor for how the clock goes on.

use muster_model::PoolTime;

/// The median of the agents' times, as they are now; without agents, this machine's own. Never below the log's last event, from which
/// the clock then goes on.
#[must_use]
pub fn cold_start(mut agents: Vec<PoolTime>, own: PoolTime, last_event: PoolTime) -> PoolTime {
    agents.sort_unstable();
    let middle = agents.len().saturating_sub(1) / 2;
    agents.get(middle).copied().unwrap_or(own).max(last_event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(agents: &[i64], own: i64, last_event: i64, expected: i64) {
        let agents = agents.iter().copied().map(PoolTime).collect();
        assert_eq!(cold_start(agents, PoolTime(own), PoolTime(last_event)), PoolTime(expected));
    }

    #[test]
    fn a_cold_leader_continues_the_median_of_the_agents() {
        check(&[5_000], 100, 0, 5_000);
        check(&[5_010, 4_990, 5_000], 100, 0, 5_000);
        check(&[5_010, 4_990, 5_000, 5_020], 100, 0, 5_000);
        check(&[1, 5_000, 5_001, 5_002, 900_000], 100, 0, 5_001);
    }

    #[test]
    fn without_agents_it_takes_its_own_time() {
        check(&[], 100, 7, 100);
    }

    #[test]
    fn no_time_is_below_the_last_event() {
        check(&[5_000], 100, 6_000, 6_000);
        check(&[], 100, 6_000, 6_000);
    }
}
