//! Spawning: from two threads, on the standard library's posix_spawn path (no code of ours runs between fork and exec).

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::protocol::{FromKeeper, Living, Spawn};
use super::table::{Keeper, Place};

/// Starts the spawning threads.
pub(crate) fn start_threads(keeper: &Arc<Keeper>, count: usize) -> io::Result<()> {
    for number in 0..count {
        let keeper = keeper.clone();
        std::thread::Builder::new().name(format!("spawn-{number}")).spawn(move || {
            loop {
                let spawn = next(&keeper);
                take(&keeper, &spawn);
            }
        })?;
    }
    Ok(())
}

fn next(keeper: &Keeper) -> Spawn {
    let mut inner = keeper.lock();
    loop {
        if let Some(spawn) = inner.queue.pop_front() {
            inner.spawning += 1;
            return spawn;
        }
        inner = keeper.changed.wait(inner).expect("no holder of the keeper's lock panics");
    }
}

fn take(keeper: &Keeper, spawn: &Spawn) {
    let doomed = keeper.lock().places.get(&spawn.name) == Some(&Place::Asked { doomed: true });
    let result = {
        let _fork = keeper.forks.read().expect("no holder of the fork lock panics");
        let result = if doomed { Err(io::Error::other("it was killed before it began")) } else { start(spawn) };
        // Known before the fork lock is given back: reaping can not come first.
        note(keeper, spawn, &result);
        result
    };
    if let Ok(pid) = result {
        keeper.cgroups.enter(&spawn.name, pid);
    }
    let mut inner = keeper.lock();
    inner.spawning -= 1;
    drop(inner);
    keeper.changed.notify_all();
}

fn note(keeper: &Keeper, spawn: &Spawn, result: &io::Result<u32>) {
    let mut inner = keeper.lock();
    match result {
        Ok(pid) => {
            let living = Living { name: spawn.name.clone(), pid: *pid };
            if inner.places.insert(spawn.name.clone(), Place::Living { pid: *pid, ours: true })
                == Some(Place::Asked { doomed: true })
            {
                inner.condemned.insert(spawn.name.clone());
            }
            if let Err(error) = inner.exits.spawned(&living) {
                eprintln!("muster-keeper: a start could not be written: {error}");
            }
            inner.tell(FromKeeper::Spawned(living));
        }
        Err(error) => {
            inner.places.remove(&spawn.name);
            let reason = format!("start {}: {error}", spawn.program);
            inner.tell(FromKeeper::NotSpawned { name: spawn.name.clone(), reason });
        }
    }
}

/// A clean environment, its own process group, nothing to read, its log to write to, no descriptor of ours.
fn start(spawn: &Spawn) -> io::Result<u32> {
    let log = File::options().create(true).append(true).open(&spawn.log)?;
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
