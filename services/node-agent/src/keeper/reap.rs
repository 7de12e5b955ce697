//! Reaping and killing. Whatever ends takes with it what it left behind, and is recorded before the agent is told.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitIdOptions, WaitOptions, kill_process, kill_process_group};

use super::descendants::{self, Seen};
use super::protocol::{Exit, Name};
use super::table::{Keeper, Place};

/// Exits are this far apart, or taken together: those of a stop are one write, one message, one look for what was left.
const TOGETHER: Duration = Duration::from_millis(20);
/// Without children, or with ones that can not be waited for, the table is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Exits that are recorded together at most.
const BATCH_MAX: usize = 1_000;
/// How often what an ended process left is looked for: each round reaches what was forked during the one before.
const LEFTOVER_ROUNDS_MAX: usize = 20;
/// Between two rounds of killing.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// Starts the thread that waits for children, and the one that kills and watches what is not our child.
pub(crate) fn start_threads(keeper: &Arc<Keeper>) -> io::Result<()> {
    let reaper = keeper.clone();
    std::thread::Builder::new().name("reap".into()).spawn(move || {
        let mut last = None;
        loop {
            reap(&reaper, &mut last);
        }
    })?;
    let killer = keeper.clone();
    std::thread::Builder::new().name("kill".into()).spawn(move || {
        loop {
            watch_adopted(&killer);
            kill_condemned(&killer);
            wait_for_work(&killer);
        }
    })?;
    Ok(())
}

/// Waits for children to end, and takes all that have. `last` is when it did so last.
fn reap(keeper: &Keeper, last: &mut Option<Instant>) {
    match rustix::process::waitid(rustix::process::WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(_) => {}
        Err(rustix::io::Errno::CHILD) => {
            let inner = keeper.lock();
            drop(keeper.spawned.wait_timeout(inner, LOOK_AGAIN));
            return;
        }
        Err(_) => return,
    }
    let since = last.map_or(TOGETHER, |last| last.elapsed());
    std::thread::sleep(TOGETHER.saturating_sub(since));
    *last = Some(Instant::now());
    let ended = take_ended(keeper);
    if !ended.is_empty() {
        conclude(keeper, ended);
    }
}

/// Reaps every child that has ended; gives those that are test processes.
fn take_ended(keeper: &Keeper) -> Vec<(u32, i32)> {
    let _no_forks = keeper.forks.write().expect("no holder of the fork lock panics");
    let mut ended = Vec::new();
    while ended.len() < BATCH_MAX {
        let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) else { break };
        // What it started in its own group goes with it. The group's id can not be another's yet: we reaped it just now.
        let _ = kill_process_group(pid, Signal::KILL);
        ended.push((pid.as_raw_nonzero().get().unsigned_abs(), status.as_raw()));
    }
    ended
}

fn conclude(keeper: &Keeper, ended: Vec<(u32, i32)>) {
    let ended: BTreeMap<u32, i32> = ended.into_iter().collect();
    let exit = |(name, place): (&Name, &Place)| match place {
        Place::Living { pid, .. } => {
            let status = ended.get(pid)?;
            Some(Exit { name: name.clone(), pid: *pid, status: Some(*status) })
        }
        Place::Asked { .. } => None,
    };
    let exits: Vec<Exit> = keeper.lock().places.iter().filter_map(exit).collect();
    if exits.is_empty() {
        return;
    }
    keeper.rush.goes_on();
    end_leftovers(keeper, &exits);
    let names: Vec<Name> = exits.iter().map(|exit| exit.name.clone()).collect();
    keeper.lock().tell_exits(exits);
    for name in names {
        // Beyond its bound it stays until this keeper ends.
        keeper.left.leave(name);
    }
}

/// What a process left behind does not outlive it: its next attempt, and the next holder of the machine, start on clean ground.
fn end_leftovers(keeper: &Keeper, exits: &[Exit]) {
    for exit in exits {
        keeper.cgroups.leave(&exit.name);
    }
    for _ in 0..LEFTOVER_ROUNDS_MAX {
        if kill_orphans(keeper, exits) == 0 {
            return;
        }
    }
}

/// Kills those of our children that are no test process themselves, but belong to one that has ended, with all below them. Whoever has
/// lost its parent is our child, and who has hidden what it was started as still has its user.
fn kill_orphans(keeper: &Keeper, exits: &[Exit]) -> usize {
    let living = living_pids(keeper);
    let users = users_of(keeper, exits.iter().map(|exit| &exit.name));
    let children = descendants::own_children().into_iter().filter(|pid| !living.contains(pid));
    let left = |pid: &u32| {
        let name = descendants::name_of(*pid, &keeper.agent_socket);
        let is_named = name.is_some_and(|name| exits.iter().any(|exit| exit.name == name));
        let is_owned = || !users.is_empty() && descendants::user_of(*pid).is_some_and(|user| users.contains(&user));
        (is_named || is_owned()) && descendants::stat(*pid).is_some_and(|seen| !seen.zombie)
    };
    let orphans: Vec<u32> = children.filter(left).collect();
    if orphans.is_empty() {
        return 0;
    }
    let all = descendants::all();
    for orphan in &orphans {
        descendants::below(&all, *orphan).into_iter().chain([*orphan]).for_each(kill);
    }
    orphans.len()
}

/// Users that processes have of their own.
fn users_of<'a>(keeper: &Keeper, names: impl Iterator<Item = &'a Name>) -> HashSet<u32> {
    let inner = keeper.lock();
    names.filter_map(|name| inner.users.get(name).copied()).collect()
}

fn living_pids(keeper: &Keeper) -> HashSet<u32> {
    keeper.lock().places.values().filter_map(living_pid).collect()
}

fn living_pid(place: &Place) -> Option<u32> {
    match place {
        Place::Living { pid, .. } => Some(*pid),
        Place::Asked { .. } => None,
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills everything of the condemned: group, cgroup, descendants, and what their environment tells. Repeated until nothing is left.
fn kill_condemned(keeper: &Keeper) {
    let condemned: Vec<Name> = keeper.lock().condemned.iter().cloned().collect();
    if condemned.is_empty() {
        return;
    }
    let all = descendants::all();
    let names: BTreeMap<u32, Name> = all
        .values()
        .filter(|seen| !seen.zombie)
        .filter_map(|seen| Some((seen.pid, descendants::name_of(seen.pid, &keeper.agent_socket)?)))
        .collect();
    let owned = owned_by_users(keeper, &all);
    for name in condemned {
        keeper.cgroups.kill(&name);
        let main = keeper.lock().places.get(&name).and_then(living_pid);
        let mut targets = main.map(|pid| descendants::below(&all, pid)).unwrap_or_default();
        targets.extend(main);
        targets.extend(all.values().filter(|seen| Some(seen.group) == main).map(|seen| seen.pid));
        targets.extend(names.iter().filter(|(_, owner)| **owner == name).map(|(pid, _)| *pid));
        targets.extend(keeper.lock().users.get(&name).and_then(|user| owned.get(user)).into_iter().flatten());
        targets.retain(|pid| all.get(pid).is_some_and(|seen| !seen.zombie) && *pid != std::process::id());
        if targets.is_empty() && main.is_none() {
            keeper.lock().condemned.remove(&name);
            continue;
        }
        targets.into_iter().for_each(kill);
    }
}

/// Those below us by their users, where processes have users of their own: whatever else they hide.
fn owned_by_users(keeper: &Keeper, all: &BTreeMap<u32, Seen>) -> BTreeMap<u32, Vec<u32>> {
    let mut owned: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    if keeper.lock().users.is_empty() {
        return owned;
    }
    for pid in descendants::below(all, std::process::id()) {
        if let Some(user) = descendants::user_of(pid) {
            owned.entry(user).or_default().push(pid);
        }
    }
    owned
}

/// Processes of an earlier keeper are not our children: their end is seen, their status is not.
fn watch_adopted(keeper: &Keeper) {
    let mut inner = keeper.lock();
    let gone: Vec<Exit> = inner
        .places
        .iter()
        .filter_map(|(name, place)| match place {
            Place::Living { pid, ours: false } if !is_still(*pid, name, keeper) => {
                Some(Exit { name: name.clone(), pid: *pid, status: None })
            }
            Place::Living { .. } | Place::Asked { .. } => None,
        })
        .collect();
    if !gone.is_empty() {
        inner.tell_exits(gone);
    }
}

/// The id is still this process's, and not another's that came after it.
fn is_still(pid: u32, name: &str, keeper: &Keeper) -> bool {
    let alive = descendants::stat(pid).is_some_and(|seen| !seen.zombie);
    alive && descendants::name_of(pid, &keeper.agent_socket).is_none_or(|found| found == name)
}

fn wait_for_work(keeper: &Keeper) {
    let inner = keeper.lock();
    if inner.condemned.is_empty() {
        drop(keeper.condemned.wait_timeout(inner, LOOK_AGAIN));
    } else {
        drop(inner);
        std::thread::sleep(KILL_AGAIN);
    }
}
