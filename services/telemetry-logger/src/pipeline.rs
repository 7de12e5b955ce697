//! One stream: read from the stored position on, gather, write, again. Nothing here decides what a message means.

use std::pin::pin;
use std::time::Duration;

use muster_bus::streams::StreamState;
use muster_bus::{Bus, StoredMessage, StreamReader, subjects};
use muster_store::{Error, Store};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{EPOCH_INTERVAL, LIMITS, Source};
use crate::core::{Batch, Decoder, Message};
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
        let reader = bus.read(source.stream, "", writer.position() + 1).ahead(source.ahead);
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

/// Reads and writes at the same time: while PostgreSQL takes one batch, the next is gathered, and no more than that.
async fn follow(
    bus: &Bus,
    source: Source,
    writer: &mut Writer<'_>,
    reader: StreamReader,
    stop: &CancellationToken,
) -> Result<Turned, Error> {
    let (batches, gathered) = mpsc::channel(1);
    let mut reading = pin!(read(bus, (source, writer.epoch(), writer.position()), reader, batches, stop));
    let mut writing = pin!(write(bus, writer, gathered, stop));
    tokio::select! {
        turned = &mut reading => Ok(writing.await?.unwrap_or(turned)),
        turned = &mut writing => Ok(turned?.unwrap_or(Turned::Reload)),
    }
}

/// Gathers batches until `stop`, or until the stream is another one.
async fn read(
    bus: &Bus,
    (source, epoch, mut position): (Source, i64, u64),
    mut reader: StreamReader,
    batches: mpsc::Sender<Batch>,
    stop: &CancellationToken,
) -> Turned {
    let mut decoder = Decoder::new(source.kind);
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => return Turned::Stopped,
            message = reader.next() => message,
            () = tokio::time::sleep(EPOCH_INTERVAL) => {
                metrics::lag(source.stream, Duration::ZERO);
                match check_epoch(bus, (source.stream, epoch), stop).await {
                    None => continue,
                    Some(turned) => return turned,
                }
            }
        };
        let batch = gather(source, position, first, (&mut reader, &mut decoder), stop).await;
        position = batch.to();
        if batches.send(batch).await.is_err() {
            return Turned::Reload;
        }
    }
}

/// Stores what is gathered; none when there is no more of it.
async fn write(
    bus: &Bus,
    writer: &mut Writer<'_>,
    mut batches: mpsc::Receiver<Batch>,
    stop: &CancellationToken,
) -> Result<Option<Turned>, Error> {
    while let Some(batch) = batches.recv().await {
        // What was read from a stream that was made again would be counted at the old one's positions.
        if let Some(turned) = check_epoch(bus, (writer.stream(), writer.epoch()), stop).await {
            return Ok(Some(turned));
        }
        match writer.write(batch, stop).await? {
            Written::Stored => {}
            Written::Moved => return Ok(Some(Turned::Reload)),
            Written::Stopped => return Ok(Some(Turned::Stopped)),
        }
    }
    Ok(None)
}

/// Messages until the batch is full, its window is over, or `stop`.
async fn gather(
    source: Source,
    position: u64,
    first: StoredMessage,
    (reader, decoder): (&mut StreamReader, &mut Decoder),
    stop: &CancellationToken,
) -> Batch {
    let end = Instant::now() + source.window;
    let mut batch = Batch::new(source.kind, source.stream, position);
    let mut pending = first.pending;
    batch.push(understand(first), decoder);
    while !batch.is_full(LIMITS) {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(end) => break,
            message = reader.next() => {
                pending = message.pending;
                batch.push(understand(message), decoder);
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

/// Whether the stream is still the one of this creation time; none when it is. Waits for an answer: until then nothing
/// that was read may be stored, and nothing is lost, since the stream holds it.
async fn check_epoch(bus: &Bus, (stream, epoch): (&str, i64), stop: &CancellationToken) -> Option<Turned> {
    let mut pause = Pause::new();
    loop {
        match bus.stream_state(stream).await {
            Ok(Some(state)) if state.created.0 == epoch => return None,
            Ok(_) => return Some(Turned::Reload),
            Err(error) => {
                if !pause.after(&error, stream, stop).await {
                    return Some(Turned::Stopped);
                }
            }
        }
    }
}
