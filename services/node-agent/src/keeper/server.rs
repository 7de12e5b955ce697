//! The keeper's socket: one agent at a time, its requests in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;

use super::protocol::{FromKeeper, LINE_BYTES_MAX, ToKeeper};
use super::table::{Keeper, Listener, Place};
use super::{KeeperPaths, is_state_there};

/// Messages that wait for an agent at most; one that does not read is let go.
const OUTBOX_MAX: usize = 65_536;
/// Messages that go in one write at most, beside the first.
const WRITE_MAX: usize = 1_000;
/// How often it is looked whether the keeper is still needed, when no agent is there.
const ACCEPT_POLL: Duration = Duration::from_millis(20);
/// A keeper whose state directory is gone looks for the end of its last process this often.
const GONE_POLL: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };

/// Serves agents, one after the other, until the keeper is not needed any more.
pub(crate) fn serve(keeper: &Arc<Keeper>, paths: &KeeperPaths) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(paths.socket());
    let listener =
        UnixListener::bind(paths.socket()).with_context(|| format!("listen on {}", paths.socket().display()))?;
    listener.set_nonblocking(true).context("listen without blocking")?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if serve_agent(keeper, stream) == Next::End {
                    break;
                }
            }
            Err(_) => wait_readable(&listener),
        }
        if !is_state_there(&paths.state) && keeper.lock().is_idle() {
            break;
        }
    }
    keeper.cgroups.close();
    let _ = std::fs::remove_file(paths.socket());
    Ok(())
}

fn wait_readable(listener: &UnixListener) {
    let mut polled = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    if rustix::event::poll(&mut polled, Some(&GONE_POLL)).is_err() {
        std::thread::sleep(ACCEPT_POLL);
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Accept,
    End,
}

fn serve_agent(keeper: &Arc<Keeper>, stream: UnixStream) -> Next {
    let (outbox, messages) = sync_channel(OUTBOX_MAX);
    let Ok(writing) = stream.set_nonblocking(false).and_then(|()| stream.try_clone()) else { return Next::Accept };
    let writer = std::thread::spawn(move || write_all(writing, &messages));
    let mut reader = BufReader::new(stream);
    let mut next = Next::Accept;
    while let Some(request) = read(&mut reader) {
        if take(keeper, request, &outbox, reader.get_ref()) == Next::End {
            next = Next::End;
            break;
        }
    }
    keeper.lock().agent = None;
    drop(outbox);
    let _ = writer.join();
    next
}

/// Writes until the agent is gone or nobody writes to it any more; then ends the connection for the reading side too.
fn write_all(mut stream: UnixStream, messages: &Receiver<FromKeeper>) {
    let mut lines = Vec::new();
    while let Ok(first) = messages.recv() {
        lines.clear();
        // What waits goes in one write.
        for message in std::iter::once(first).chain(messages.try_iter().take(WRITE_MAX)) {
            if serde_json::to_writer(&mut lines, &message).is_err() {
                break;
            }
            lines.push(b'\n');
        }
        if stream.write_all(&lines).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// The next request; none at the end, or when it can not be understood.
fn read(reader: &mut BufReader<UnixStream>) -> Option<ToKeeper> {
    let mut line = Vec::new();
    let size = reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).ok()?;
    if size == 0 {
        return None;
    }
    let request = serde_json::from_slice(&line);
    if let Err(error) = &request {
        eprintln!("muster-keeper: a request can not be understood: {error}");
    }
    request.ok()
}

fn take(keeper: &Arc<Keeper>, request: ToKeeper, outbox: &SyncSender<FromKeeper>, stream: &UnixStream) -> Next {
    match request {
        ToKeeper::Hello => hello(keeper, outbox, stream),
        ToKeeper::Spawn { processes } => {
            let mut inner = keeper.lock();
            processes.into_iter().for_each(|spawn| inner.ask(spawn));
            keeper.queued.notify_all();
        }
        ToKeeper::Kill { names } => condemn(keeper, names),
        ToKeeper::Acknowledge { names } => {
            if let Err(error) = keeper.lock().exits.acknowledge(names) {
                eprintln!("muster-keeper: an acknowledgement could not be written: {error}");
            }
        }
        ToKeeper::Shutdown if keeper.lock().is_idle() => return Next::End,
        ToKeeper::Shutdown => {}
    }
    Next::Accept
}

/// Answers when nothing that was asked before is on its way, so that the answer is the whole truth.
fn hello(keeper: &Keeper, outbox: &SyncSender<FromKeeper>, stream: &UnixStream) {
    let mut inner = keeper.lock();
    while inner.spawning > 0 || !inner.queue.is_empty() {
        inner = keeper.settled.wait(inner).expect("no holder of the keeper's lock panics");
    }
    let state = inner.state(keeper.cgroups.controllers());
    if let (Ok(()), Ok(stream)) = (outbox.try_send(state), stream.try_clone()) {
        inner.agent = Some(Listener { outbox: outbox.clone(), stream });
    }
}

fn condemn(keeper: &Keeper, names: Vec<String>) {
    let mut inner = keeper.lock();
    for name in names {
        match inner.places.get_mut(&name) {
            Some(Place::Asked { doomed }) => *doomed = true,
            Some(Place::Living { .. }) => drop(inner.condemned.insert(name)),
            None => {}
        }
    }
    keeper.condemned.notify_one();
}
