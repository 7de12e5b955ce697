//! Spawning: from two threads, straight into a cgroup where there is one. Each thread takes a few at a time: what is recorded and said of them is recorded and said once.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use super::confine::Confinement;
use super::executable::Executable;
use super::launch::{Program, Surroundings, launch};
use super::protocol::{FromKeeper, Limits, Living, Spawn};
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
                inner.users.remove(&spawn.name);
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
    let log = File::options().create(true).append(true).custom_flags(libc::O_NOFOLLOW).open(&spawn.log)?;
    let cgroup = keeper.cgroups.make(&spawn.name, &spawn.limits);
    let program = program(spawn, keeper.cgroups.controllers())?;
    let around = Surroundings { input: nothing.as_fd(), output: log.as_fd(), cgroup: cgroup.as_ref().map(AsFd::as_fd) };
    let (pid, is_inside) = launch(&program, around)?;
    if !is_inside {
        keeper.cgroups.enter(&spawn.name, pid);
    }
    Ok(pid)
}

fn program(spawn: &Spawn, controllers: &[String]) -> io::Result<Program> {
    let executable = spawn.artifact.as_ref().map(Executable::open).transpose()?;
    let variables = spawn.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let confinement = Confinement {
        user: spawn.user.map(|user| (user, spawn.group)),
        no_new_privileges: !spawn.root,
        limits: kernel_limits(&spawn.limits, spawn.user.is_some(), controllers),
    };
    let texts = [spawn.program.as_str(), &spawn.directory, &spawn.argv0];
    Program::new(texts, variables, executable, confinement)
}

/// Limits that the kernel has of old: of one OS process, and of all of one user. The latter is only for who has a user of its own. They
/// stand in for cgroups that can not limit.
fn kernel_limits(limits: &Limits, has_own_user: bool, controllers: &[String]) -> Vec<(u32, u64)> {
    let no_cgroup = |controller: &str| !controllers.iter().any(|known| known == controller);
    let core = [(libc::RLIMIT_CORE, Resource::Core, limits.core_bytes)];
    let others = [
        (libc::RLIMIT_NOFILE, Resource::Nofile, limits.open_files, true),
        (libc::RLIMIT_NPROC, Resource::Nproc, limits.processes, has_own_user),
        (libc::RLIMIT_DATA, Resource::Data, limits.memory_bytes, no_cgroup("memory")),
    ];
    let set = others.into_iter().filter(|(_, _, value, applies)| *applies && *value > 0);
    let all = core.into_iter().chain(set.map(|(number, resource, value, _)| (number, resource, value)));
    // Only root may have more than it was given itself.
    all.map(|(number, resource, value)| (number, value.min(getrlimit(resource).maximum.unwrap_or(u64::MAX)))).collect()
}
