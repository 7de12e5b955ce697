//! Reading again: a question changes nothing, so it may be asked again when a connection went away under it.

use std::time::Duration;

use crate::Result;

/// Pauses before the second and third attempt; then the asker hears of it.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// Reads, and reads again while PostgreSQL is unavailable, at most three times. Only for what changes nothing.
///
/// # Errors
/// The last attempt's.
pub async fn read_retrying<T, F: Future<Output = Result<T>>>(mut read: impl FnMut() -> F) -> Result<T> {
    for pause in PAUSES {
        match read().await {
            Err(error) if error.is_unavailable() => {
                tracing::debug!(%error, "reading failed, trying again");
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
    read().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Error;

    async fn attempts(error: impl Fn() -> Error) -> u32 {
        let count = Cell::new(0);
        let result: Result<()> = read_retrying(|| {
            count.set(count.get() + 1);
            let error = error();
            async { Err(error) }
        })
        .await;
        assert!(result.is_err());
        count.get()
    }

    #[tokio::test]
    async fn only_what_can_pass_is_read_again_and_not_for_ever() {
        assert_eq!(attempts(|| Error::silent("read", Duration::ZERO)).await, 3);
        assert_eq!(attempts(|| Error::broken("read", "no", "no")).await, 1);
    }
}
