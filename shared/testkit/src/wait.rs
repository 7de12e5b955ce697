//! Waiting for a condition, with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Asks `condition` again and again until it holds.
///
/// # Errors
/// Says what was waited for when `limit` has passed.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !condition() {
        anyhow::ensure!(start.elapsed() < limit, "{what} did not come true within {limit:?}");
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Looks again and again until `holds` is true of what is seen, and gives that.
///
/// # Errors
/// When a look fails. Says what was waited for, and what was seen last, when `limit` has passed.
pub async fn until<S: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<S>,
    holds: impl Fn(&S) -> bool,
) -> anyhow::Result<S> {
    let start = Instant::now();
    loop {
        let seen = look().await?;
        if holds(&seen) {
            return Ok(seen);
        }
        anyhow::ensure!(start.elapsed() < limit, "{what} did not come true within {limit:?}: {seen:?}");
        // It may hold a lock.
        drop(seen);
        tokio::time::sleep(STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_came_true_is_given_and_what_did_not_is_told_with_what_was_seen_last() {
        let mut looks = 0;
        let look = async || {
            looks += 1;
            Ok(looks)
        };
        assert_eq!(until("three", LIMIT, look, |seen| *seen == 3).await.expect("it does"), 3);
        let error = until("four", Duration::ZERO, async || Ok(3), |seen| *seen == 4).await.expect_err("it does not");
        assert_eq!(error.to_string(), "four did not come true within 0ns: 3");
        let error = until("five", LIMIT, async || anyhow::bail!("no look"), |(): &()| true).await;
        assert_eq!(error.expect_err("it fails").to_string(), "no look");
    }
}
