//! One stream: read from the stored position on, gather, write, again. Nothing here decides what a message means.

use std::time::Duration;

use muster_bus::streams::StreamState;
use muster_bus::{Bus, StoredMessage, StreamReader, subjects};
use muster_store::{Error, Store};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{EPOCH_INTERVAL, LIMITS, Source};
use crate::core::{Batch, Message};
use crate::metrics;
use crate::retry::Pause;
use crate::writer::{Writer, Written};

/// Why reading begins anew from the stored position.
#[derive(Debug)]
enum Turned {
    /// `stop` came.
    Stopped,
    /// Another writer moved the position, or the stream was made again.
    Reload,
}

/// Runs until `stop`.
///
/// # Errors
/// When PostgreSQL refuses for good.
pub(crate) async fn run(bus: &Bus, store: &Store, source: Source, stop: &CancellationToken) -> Result<(), Error> {
    loop {
        let Some(state) = find_stream(bus, source, stop).await else { return Ok(()) };
        let Some(mut writer) = Writer::load(store, source, state.created.0, stop).await? else { return Ok(()) };
        if state.last < writer.position() {
            let (last, position) = (state.last, writer.position());
            tracing::error!(
                stream = source.stream,
                last,
                position,
                "the stream ends before what is stored: it lost messages"
            );
        }
        let reader = bus.read(source.stream, "", writer.position() + 1);
        tracing::info!(stream = source.stream, from = writer.position() + 1, "reading a stream");
        match follow(bus, source, &mut writer, reader, stop).await? {
            Turned::Stopped => return Ok(()),
            Turned::Reload => tracing::info!(stream = source.stream, "reading again from the stored position"),
        }
    }
}

/// The stream, once there is one; none when `stop` came first.
async fn find_stream(bus: &Bus, source: Source, stop: &CancellationToken) -> Option<StreamState> {
    let mut pause = Pause::new();
    loop {
        let trouble = match bus.stream_state(source.stream).await {
            Ok(Some(state)) => return Some(state),
            Ok(None) => format!("there is no stream {}; `muster admin init` makes it", source.stream),
            Err(error) => error.to_string(),
        };
        if !pause.after(&trouble, source.stream, stop).await {
            return None;
        }
    }
}

async fn follow(
    bus: &Bus,
    source: Source,
    writer: &mut Writer<'_>,
    mut reader: StreamReader,
    stop: &CancellationToken,
) -> Result<Turned, Error> {
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => return Ok(Turned::Stopped),
            message = reader.next() => message,
            () = tokio::time::sleep(EPOCH_INTERVAL) => {
                metrics::lag(source.stream, Duration::ZERO);
                match check_epoch(bus, writer, stop).await {
                    None => continue,
                    Some(turned) => return Ok(turned),
                }
            }
        };
        let batch = gather(source, writer.position(), first, &mut reader, stop).await;
        // What was read from a stream that was made again would be counted at the old one's positions.
        if let Some(turned) = check_epoch(bus, writer, stop).await {
            return Ok(turned);
        }
        match writer.write(batch, stop).await? {
            Written::Stored => {}
            Written::Moved => return Ok(Turned::Reload),
            Written::Stopped => return Ok(Turned::Stopped),
        }
    }
}

/// Messages until the batch is full, its window is over, or `stop`.
async fn gather(
    source: Source,
    position: u64,
    first: StoredMessage,
    reader: &mut StreamReader,
    stop: &CancellationToken,
) -> Batch {
    let end = Instant::now() + source.window;
    let mut batch = Batch::new(source.kind, source.stream, position);
    let mut pending = first.pending;
    batch.push(understand(first));
    while !batch.is_full(LIMITS) {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(end) => break,
            message = reader.next() => {
                pending = message.pending;
                batch.push(understand(message));
            }
        }
    }
    metrics::pending(source.stream, pending);
    batch
}

/// A stored message as the core sees it.
fn understand(stored: StoredMessage) -> Message {
    let machine = subjects::machine_of(&stored.subject);
    let StoredMessage { sequence, stored, subject, payload, pending: _ } = stored;
    Message { sequence, stored, subject, machine, payload }
}

/// Whether the stream is still the one whose position the writer holds; none when it is. Waits for an answer: until then nothing
/// that was read may be stored, and nothing is lost, since the stream holds it.
async fn check_epoch(bus: &Bus, writer: &Writer<'_>, stop: &CancellationToken) -> Option<Turned> {
    let mut pause = Pause::new();
    loop {
        match bus.stream_state(writer.stream()).await {
            Ok(Some(state)) if state.created.0 == writer.epoch() => return None,
            Ok(_) => return Some(Turned::Reload),
            Err(error) => {
                if !pause.after(&error, writer.stream(), stop).await {
                    return Some(Turned::Stopped);
                }
            }
        }
    }
}
