//! Work on what comes in: several at once, and never more than a bound.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use tokio::sync::Semaphore;

/// Works on each that comes, at most `most` at once: more wait where they come from. Ends with what comes in; what was begun is
/// completed also after that.
pub async fn each<T, F>(mut coming: impl Stream<Item = T> + Unpin, most: usize, work: impl Fn(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Some(item) = coming.next().await else { return };
        let working = work(item);
        tokio::spawn(async move {
            working.await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn everything_is_worked_on_and_never_more_at_once_than_the_bound() {
        let (busy, most_busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, mut all_done) = tokio::sync::mpsc::channel(20);
        each(futures::stream::iter(0..20), 3, |item| {
            let (busy, most_busy, done) = (busy.clone(), most_busy.clone(), done.clone());
            async move {
                most_busy.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                done.send(item).await.unwrap();
            }
        })
        .await;
        drop(done);
        let mut found = Vec::new();
        while let Some(item) = all_done.recv().await {
            found.push(item);
        }
        found.sort_unstable();
        assert_eq!(found, (0..20).collect::<Vec<_>>());
        assert_eq!(most_busy.load(Ordering::SeqCst), 3);
    }
}
