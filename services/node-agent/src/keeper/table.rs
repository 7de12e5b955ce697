//! What the keeper knows: its processes, its exits, and who is to be told. One lock; spawning holds it shared, reaping alone, so
//! that no exit is reaped before its process is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, RwLock};

use super::cgroup::Cgroups;
use super::descendants::user_of;
use super::exits::Exits;
use super::protocol::{Exit, FromKeeper, KeeperLife, Living, Name, Spawn};
use crate::later::{Later, Rush};

/// cgroups that wait to be removed at most. What is beyond goes when the keeper ends, or the next one begins.
const LEFT_MAX: usize = 100_000;

/// Where a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Asked for; a spawning thread has it, or will. `doomed` when it was killed meanwhile.
    Asked {
        /// It is not to start any more.
        doomed: bool,
    },
    /// It lives; `ours` when it is this keeper's child, so that its status can be known.
    Living {
        /// Its id.
        pid: u32,
        /// It can be waited for.
        ours: bool,
    },
}

/// The agent that is connected.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What is to be said to it.
    pub outbox: SyncSender<FromKeeper>,
    /// Its connection, to be ended when it does not read.
    pub stream: UnixStream,
}

/// The parts that change.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Processes that are asked for or live.
    pub places: BTreeMap<Name, Place>,
    /// Asked for, and not yet taken by a spawning thread.
    pub queue: VecDeque<Spawn>,
    /// Asked for, and in the hands of a spawning thread.
    pub spawning: usize,
    /// Being killed, until everything of theirs is gone.
    pub condemned: BTreeSet<Name>,
    /// Users of processes that have one of their own.
    pub users: BTreeMap<Name, u32>,
    /// Exits on the disk.
    pub exits: Exits,
    /// Which keeper this is.
    pub life: KeeperLife,
    /// The agent that is connected.
    pub agent: Option<Listener>,
}

/// The keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    inner: Mutex<Inner>,
    /// Something was put into the queue: for the spawning threads.
    pub queued: Condvar,
    /// Nothing that was asked for is on its way any more: for who answers a hello.
    pub settled: Condvar,
    /// There are children to wait for.
    pub spawned: Condvar,
    /// There is somebody to kill.
    pub condemned: Condvar,
    /// Shared by who forks, alone for who reaps.
    pub forks: RwLock<()>,
    /// cgroups, where there are any.
    pub cgroups: Cgroups,
    /// cgroups of processes that are gone, which nobody waits for to be removed.
    pub left: Later<Name>,
    /// Starts and ends, which go before that.
    pub rush: Rush,
    /// By which processes of this agent are recognised.
    pub agent_socket: PathBuf,
}

impl Keeper {
    /// A keeper that knows nothing but its exits.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn new(exits: Exits, cgroups: Cgroups, agent_socket: PathBuf) -> io::Result<Self> {
        let inner = Inner {
            places: BTreeMap::new(),
            queue: VecDeque::new(),
            spawning: 0,
            condemned: BTreeSet::new(),
            users: BTreeMap::new(),
            exits,
            life: KeeperLife::begin(),
            agent: None,
        };
        let [queued, settled, spawned, condemned] = std::array::from_fn(|_| Condvar::new());
        let inner = Mutex::new(inner);
        let (forks, rush, emptied) = (RwLock::new(()), Rush::default(), cgroups.clone());
        let left = Later::start("left", LEFT_MAX, rush.clone(), move |name: Name| emptied.remove(&name))?;
        Ok(Self { inner, queued, settled, spawned, condemned, forks, cgroups, left, rush, agent_socket })
    }

    /// The parts that change.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the keeper's lock panics")
    }

    /// Takes over what an earlier keeper left: `found` is what lives, `recorded` what it had started. What was recorded and does
    /// not live has ended with a status that nobody knows.
    pub(crate) fn adopt(&self, recorded: Vec<Living>, found: &[Living]) {
        let mut inner = self.lock();
        for living in found {
            inner.places.insert(living.name.clone(), Place::Living { pid: living.pid, ours: false });
            let user = user_of(living.pid).filter(|user| *user != rustix::process::getuid().as_raw());
            inner.users.extend(user.map(|user| (living.name.clone(), user)));
        }
        let gone = recorded.into_iter().filter(|living| !inner.places.contains_key(&living.name));
        let exits: Vec<Exit> = gone.map(|living| Exit { name: living.name, pid: living.pid, status: None }).collect();
        if !exits.is_empty() {
            inner.tell_exits(exits);
        }
    }
}

impl Inner {
    /// Takes a request to start; a name that is known is answered as it stands.
    pub(crate) fn ask(&mut self, spawn: Spawn) {
        match self.places.get(&spawn.name) {
            Some(Place::Living { pid, .. }) => {
                let living = Living { name: spawn.name, pid: *pid };
                self.tell(FromKeeper::Spawned(living));
            }
            Some(Place::Asked { .. }) => {}
            None if self.exits.has(&spawn.name) => {
                let known = self.exits.waiting().into_iter().find(|exit| exit.name == spawn.name);
                known.into_iter().for_each(|exit| self.tell(FromKeeper::Exited(exit)));
            }
            None => {
                self.places.insert(spawn.name.clone(), Place::Asked { doomed: false });
                self.users.extend(spawn.user.map(|user| (spawn.name.clone(), user)));
                self.queue.push_back(spawn);
            }
        }
    }

    /// Says something to the agent, if one is connected. One that does not listen is let go: it asks for the whole when it is back.
    pub(crate) fn tell(&mut self, message: FromKeeper) {
        let Some(agent) = &self.agent else { return };
        if agent.outbox.try_send(message).is_err() {
            let _ = agent.stream.shutdown(std::net::Shutdown::Both);
            self.agent = None;
        }
    }

    /// Records exits, then says them.
    pub(crate) fn tell_exits(&mut self, exits: Vec<Exit>) {
        if let Err(error) = self.exits.exited(&exits) {
            // They stay in memory and are told; only a crash of the keeper could lose them now.
            eprintln!("muster-keeper: exits could not be written: {error}");
        }
        for exit in exits {
            self.places.remove(&exit.name);
            self.users.remove(&exit.name);
            self.tell(FromKeeper::Exited(exit));
        }
    }

    /// Everything that is known.
    pub(crate) fn state(&self, controllers: &[String]) -> FromKeeper {
        let living = self.places.iter().filter_map(|(name, place)| match place {
            Place::Living { pid, .. } => Some(Living { name: name.clone(), pid: *pid }),
            Place::Asked { .. } => None,
        });
        FromKeeper::State {
            living: living.collect(),
            exits: self.exits.waiting(),
            life: self.life,
            controllers: Some(controllers.to_vec()),
        }
    }

    /// Nothing is asked for, and nothing lives.
    pub(crate) fn is_idle(&self) -> bool {
        self.places.is_empty() && self.condemned.is_empty()
    }
}
