//! `muster events`: the decision logs, one JSON object for each event, in the order of their pool time.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::select_all;
use muster_bus::{Bus, StreamReader, streams};
use muster_model::PoolTime;

use super::Session;
use crate::arguments::{EventsArguments, LogName};
use crate::decode::{EventLine, lines_of};
use crate::exit::{Failure, one_line};
use crate::output::write;
use crate::times::Since;

/// The server's clock, by which a log is searched, and the pool's differ by no more than this.
const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// One log that is read.
struct Source {
    log: &'static str,
    reader: StreamReader,
    /// Next sequence to read.
    next: u64,
    /// Last sequence that was there at the beginning.
    last: u64,
    lines: VecDeque<EventLine>,
}

pub(super) async fn run(session: &Session, arguments: &EventsArguments) -> Result<(), Failure> {
    let logs = if arguments.logs.is_empty() { &LogName::ALL[..] } else { &arguments.logs[..] };
    let (from, since) = match arguments.since {
        None => (1, PoolTime::NEVER),
        Some(Since::Sequence(sequence)) => (sequence, PoolTime::NEVER),
        Some(Since::At(time)) => (1, time),
        Some(Since::Ago(ago)) => (1, session.client.viewer().await.now - ago),
    };
    let mut sources = Vec::new();
    for log in logs {
        sources.push(open(session, stream_of(*log), from, since).await?);
    }
    backlog(session, &mut sources, since).await?;
    if arguments.follow { follow(sources).await } else { Ok(()) }
}

/// The stream of a log.
pub(super) fn stream_of(log: LogName) -> &'static str {
    match log {
        LogName::Jobs => streams::JOBS,
        LogName::Machines => streams::MACHINES,
        LogName::Reservations => streams::RESERVATIONS,
    }
}

async fn open(session: &Session, log: &'static str, from: u64, since: PoolTime) -> Result<Source, Failure> {
    let bus = session.client.bus();
    let Some(state) = bus.stream_state(log).await? else {
        let next = "`muster admin init --new-system` makes the logs of a new system";
        return Err(super::not_found("events".into(), format!("log {log} on this bus"), next));
    };
    let mut next = from.max(state.first);
    if since != PoolTime::NEVER && state.first <= state.last {
        let search = Search { bus, log, limit: session.client.timeout() };
        next = search.first_since(state.first, state.last, since - CLOCK_MARGIN).await?;
    }
    Ok(Source { log, reader: bus.read(log, "", next), next, last: state.last, lines: VecDeque::new() })
}

/// Looks in a log for a time.
struct Search<'a> {
    bus: &'a Bus,
    log: &'static str,
    limit: Duration,
}

impl Search<'_> {
    /// The first sequence that was stored at `time` or later; the one after the last where there is none.
    async fn first_since(&self, first: u64, last: u64, time: PoolTime) -> Result<u64, Failure> {
        let (mut low, mut high) = (first, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let message = within(self.limit, self.log, self.bus.read(self.log, "", middle).next()).await?;
            if message.stored < time {
                low = message.sequence.max(middle) + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

async fn within<T>(limit: Duration, log: &str, read: impl Future<Output = T>) -> Result<T, Failure> {
    let late = |_| Failure::Unreachable(format!("events: reading {log} took longer than {limit:?}; is NATS well?"));
    tokio::time::timeout(limit, read).await.map_err(late)
}

/// Everything that was there at the beginning, merged by pool time.
async fn backlog(session: &Session, sources: &mut [Source], since: PoolTime) -> Result<(), Failure> {
    loop {
        for source in sources.iter_mut() {
            while source.lines.is_empty() && source.next <= source.last {
                let message = within(session.client.timeout(), source.log, source.reader.next()).await?;
                source.take(message.sequence, &message.payload);
            }
        }
        let waiting = sources.iter_mut().filter(|source| !source.lines.is_empty());
        let Some(first) = waiting.min_by_key(|source| source.lines.front().map(|line| line.pool_time)) else {
            return Ok(());
        };
        let Some(line) = first.lines.pop_front() else { return Ok(()) };
        if line.pool_time >= since {
            print(&line)?;
        }
    }
}

/// Everything that comes, as it comes.
async fn follow(mut sources: Vec<Source>) -> Result<(), Failure> {
    loop {
        let (message, at) = {
            let reads = sources.iter_mut().map(|source| Box::pin(source.reader.next()));
            let (message, at, _) = select_all(reads).await;
            (message, at)
        };
        let source = &mut sources[at];
        source.take(message.sequence, &message.payload);
        while let Some(line) = source.lines.pop_front() {
            print(&line)?;
        }
    }
}

impl Source {
    /// Takes the events of a message; one that can not be decoded is named on stderr and passed over.
    fn take(&mut self, sequence: u64, payload: &[u8]) {
        self.next = sequence + 1;
        match lines_of(self.log, sequence, payload) {
            Ok(lines) => self.lines.extend(lines),
            Err(error) => eprintln!("muster: {} {sequence}: {}", self.log, one_line(&error.to_string())),
        }
    }
}

fn print(line: &EventLine) -> Result<(), Failure> {
    let text = serde_json::to_string(line).map_err(anyhow::Error::new)?;
    write(&(text + "\n"))
}
