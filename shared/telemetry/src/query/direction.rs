//! Whether more of a metric is better. By its kind, unit and name; where these do not tell, nobody claims that it is.

/// Parts of names of what nobody wants.
const UNWANTED: [&str; 11] =
    ["error", "retr", "corrupt", "drop", "fail", "late", "miss", "stall", "lost", "overrun", "timeout"];
/// Units of work that was done.
const WORK: [&str; 7] = ["bytes", "operations", "iterations", "packets", "transactions", "requests", "calls"];

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// More work done.
    More,
    /// Less waiting, fewer troubles.
    Less,
    /// Nothing tells.
    Neither,
}

impl Better {
    /// Of a metric of a process; what machines measure of themselves is neither.
    pub(super) fn of(metric: &str, kind: &str, unit: &str, module: &str) -> Self {
        let is_unwanted = UNWANTED.iter().any(|part| metric.contains(part));
        match (module.is_empty(), is_unwanted, kind) {
            (true, _, _) => Self::Neither,
            (false, true, _) => Self::Less,
            (false, false, "gauge") if unit == "seconds" => Self::Less,
            (false, false, "counter" | "delta") if WORK.contains(&unit) || unit.is_empty() => Self::More,
            (false, false, _) => Self::Neither,
        }
    }

    /// Whether a change by `difference` is one to the worse; none where nothing tells.
    pub(super) fn is_worse(self, difference: f64) -> Option<bool> {
        match self {
            Self::More => Some(difference < 0.0),
            Self::Less => Some(difference > 0.0),
            Self::Neither => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_wanted_waiting_and_errors_are_not() {
        assert_eq!(Better::of("written_bytes", "counter", "bytes", "high-io"), Better::More);
        assert_eq!(Better::of("write_latency_seconds", "gauge", "seconds", "high-io"), Better::Less);
        assert_eq!(Better::of("retries", "counter", "", "tcp"), Better::Less);
        assert_eq!(Better::of("depth", "gauge", "", "high-io"), Better::Neither);
        assert_eq!(Better::of("read_bytes", "counter", "bytes", ""), Better::Neither);
        assert_eq!(Better::Less.is_worse(1.0), Some(true));
        assert_eq!(Better::Neither.is_worse(1.0), None);
    }
}
