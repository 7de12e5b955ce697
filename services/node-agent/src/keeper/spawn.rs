//! Spawning: from two threads, straight into a cgroup where there is one, else on the standard library's posix_spawn path. Each
//! thread takes a few at a time: what is recorded and said of them is recorded and said once.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::launch::{Program, launch};
use super::protocol::{FromKeeper, Living, Spawn};
use super::table::{Inner, Keeper, Place};

/// Processes that a thread takes at once at most. More would keep the first of them from being known for too long.
const BATCH_MAX: usize = 8;

/// Starts the spawning threads.
pub(crate) fn start_threads(keeper: &Arc<Keeper>, count: usize) -> io::Result<()> {
    for number in 0..count {
        let keeper = keeper.clone();
        let nothing = File::open("/dev/null")?;
        std::thread::Builder::new().name(format!("spawn-{number}")).spawn(move || {
            loop {
                let batch = next(&keeper, count);
                take(&keeper, &batch, &nothing);
            }
        })?;
    }
    Ok(())
}

/// The next few; what waits is shared among the threads.
fn next(keeper: &Keeper, threads: usize) -> Vec<Spawn> {
    let mut inner = keeper.lock();
    while inner.queue.is_empty() {
        inner = keeper.queued.wait(inner).expect("no holder of the keeper's lock panics");
    }
    let size = inner.queue.len().div_ceil(threads).min(BATCH_MAX);
    inner.spawning += size;
    inner.queue.drain(..size).collect()
}

fn take(keeper: &Keeper, batch: &[Spawn], nothing: &File) {
    {
        let _fork = keeper.forks.read().expect("no holder of the fork lock panics");
        let start = |spawn| start_unless_doomed(keeper, spawn, nothing);
        let results: Vec<io::Result<u32>> = batch.iter().map(start).collect();
        // Known before the fork lock is given back: reaping can not come first.
        note(&mut keeper.lock(), batch, &results);
    }
    keeper.rush.goes_on();
    keeper.spawned.notify_all();
    let mut inner = keeper.lock();
    inner.spawning -= batch.len();
    if inner.spawning == 0 && inner.queue.is_empty() {
        keeper.settled.notify_all();
    }
    if !inner.condemned.is_empty() {
        keeper.condemned.notify_one();
    }
}

fn start_unless_doomed(keeper: &Keeper, spawn: &Spawn, nothing: &File) -> io::Result<u32> {
    if keeper.lock().places.get(&spawn.name) == Some(&Place::Asked { doomed: true }) {
        return Err(io::Error::other("it was killed before it began"));
    }
    start(keeper, spawn, nothing).inspect_err(|_| keeper.cgroups.remove(&spawn.name))
}

fn note(inner: &mut Inner, batch: &[Spawn], results: &[io::Result<u32>]) {
    let mut living = Vec::new();
    for (spawn, result) in batch.iter().zip(results) {
        match result {
            Ok(pid) => {
                let place = Place::Living { pid: *pid, ours: true };
                if inner.places.insert(spawn.name.clone(), place) == Some(Place::Asked { doomed: true }) {
                    inner.condemned.insert(spawn.name.clone());
                }
                living.push(Living { name: spawn.name.clone(), pid: *pid });
            }
            Err(error) => {
                inner.places.remove(&spawn.name);
                let reason = format!("start {}: {error}", spawn.program);
                inner.tell(FromKeeper::NotSpawned { name: spawn.name.clone(), reason });
            }
        }
    }
    if let Err(error) = inner.exits.spawned(&living) {
        eprintln!("muster-keeper: starts could not be written: {error}");
    }
    living.into_iter().for_each(|living| inner.tell(FromKeeper::Spawned(living)));
}

/// A clean environment, its own process group, nothing to read, its log to write to, no descriptor of ours.
fn start(keeper: &Keeper, spawn: &Spawn, nothing: &File) -> io::Result<u32> {
    let log = File::options().create(true).append(true).open(&spawn.log)?;
    if let Some(cgroup) = keeper.cgroups.make(&spawn.name) {
        let variables = spawn.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let program = Program::new(&spawn.program, &spawn.directory, &spawn.argv0, variables)?;
        if let Some(pid) = launch(&program, cgroup.as_fd(), nothing.as_fd(), log.as_fd())? {
            return Ok(pid);
        }
    }
    let pid = start_plainly(spawn, log)?;
    keeper.cgroups.enter(&spawn.name, pid);
    Ok(pid)
}

fn start_plainly(spawn: &Spawn, log: File) -> io::Result<u32> {
    let child = Command::new(&spawn.program)
        .arg0(&spawn.argv0)
        .env_clear()
        .envs(&spawn.environment)
        .current_dir(&spawn.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    // Dropping a child neither waits nor kills: the reaping thread waits for all.
    Ok(child.id())
}
