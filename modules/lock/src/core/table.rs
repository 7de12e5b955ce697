//! The lock table: who holds each lock, who waits for it, and who comes next. Fair: whoever asked first is served first, and
//! nobody is overtaken; shared requests that follow each other are granted together.
//!
//! It promises: never an exclusive holder beside another one; grants of a lock in the order of their tickets; tokens that rise with
//! every grant. A client holds, or waits for, one lock at a time. What is wrong on purpose is done by methods of their own.

use std::collections::{BTreeMap, VecDeque};

use super::{Before, Grant, Last, Mode, Writer};

/// Names one client: a taker's connection.
pub(crate) type ClientId = u64;

/// Who a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The client.
    pub(crate) client: ClientId,
    /// What it gets.
    pub(crate) grant: Grant,
}

/// A request was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its place in the order.
    pub(crate) ticket: u64,
    /// It is granted at once; none where it waits.
    pub(crate) granted: Option<Granted>,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such lock.
    NoLock,
    /// It waits already.
    Waits,
    /// It holds a lock already, under this token.
    Holds(u32, u64),
}

/// What became of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It holds the lock under this token.
    Holds(u64),
    /// It waits; so many are before it, and this one holds the lock.
    Waits(u32, Option<Writer>),
    /// It has asked for nothing.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    client: ClientId,
    writer: Writer,
    mode: Mode,
    token: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    client: ClientId,
    writer: Writer,
    mode: Mode,
    ticket: u64,
}

#[derive(Debug)]
struct Lock {
    holders: Vec<Holder>,
    queue: VecDeque<Waiter>,
    tickets: u64,
    tokens: u64,
    last: Last,
    before: Option<Before>,
}

/// All locks of a server.
#[derive(Debug)]
pub(crate) struct Table {
    locks: Vec<Lock>,
    /// The lock that a client holds or waits for.
    clients: BTreeMap<ClientId, u32>,
}

impl Table {
    /// Locks that nobody holds.
    pub(crate) fn new(locks: u32) -> Self {
        let free = || Lock {
            holders: Vec::new(),
            queue: VecDeque::new(),
            tickets: 0,
            tokens: 0,
            last: Last::Never,
            before: None,
        };
        Self { locks: (0..locks).map(|_| free()).collect(), clients: BTreeMap::new() }
    }

    /// A client asks for a lock.
    pub(crate) fn ask(&mut self, client: ClientId, writer: Writer, number: u32, mode: Mode) -> Result<Asked, Refused> {
        if let Some(known) = self.clients.get(&client) {
            let held = self.locks[*known as usize].holders.iter().find(|holder| holder.client == client);
            return Err(held.map_or(Refused::Waits, |holder| Refused::Holds(*known, holder.token)));
        }
        let lock = self.locks.get_mut(number as usize).ok_or(Refused::NoLock)?;
        self.clients.insert(client, number);
        lock.tickets += 1;
        let ticket = lock.tickets;
        lock.queue.push_back(Waiter { client, writer, mode, ticket });
        let granted = lock.serve(number);
        debug_assert!(granted.len() <= 1, "who asks is the last of the queue");
        Ok(Asked { ticket, granted: granted.into_iter().next() })
    }

    /// A client gives its lock back; `sound` says that its record is as it was written. Who is granted then; none where it holds nothing.
    pub(crate) fn release(&mut self, client: ClientId, sound: bool) -> Option<Vec<Granted>> {
        let number = *self.clients.get(&client)?;
        let lock = &mut self.locks[number as usize];
        let at = lock.holders.iter().position(|holder| holder.client == client)?;
        let holder = lock.holders.remove(at);
        self.clients.remove(&client);
        match (holder.mode, sound) {
            (_, false) => lock.last = Last::Unknown,
            (Mode::Exclusive, true) => lock.last = Last::Written(holder.writer, holder.token),
            (Mode::Shared, true) => {}
        }
        Some(lock.serve(number))
    }

    /// A client is gone, and with it its lock or its request; who is granted then, and the lock that it was cut off from.
    pub(crate) fn forget(&mut self, client: ClientId) -> (Vec<Granted>, Option<u32>) {
        let Some(number) = self.clients.remove(&client) else { return (Vec::new(), None) };
        let lock = &mut self.locks[number as usize];
        lock.queue.retain(|waiter| waiter.client != client);
        let held = lock.holders.iter().position(|holder| holder.client == client);
        if let Some(at) = held {
            let holder = lock.holders.remove(at);
            if holder.mode == Mode::Exclusive {
                lock.last = Last::Unknown;
            }
        }
        (lock.serve(number), held.map(|_| number))
    }

    /// What became of a client's request.
    pub(crate) fn place(&self, client: ClientId) -> Place {
        let Some(number) = self.clients.get(&client) else { return Place::Nothing };
        let lock = &self.locks[*number as usize];
        if let Some(holder) = lock.holders.iter().find(|holder| holder.client == client) {
            return Place::Holds(holder.token);
        }
        let before = lock.queue.iter().take_while(|waiter| waiter.client != client).count();
        let holder = lock.holders.first().map(|holder| holder.writer);
        Place::Waits(u32::try_from(before).unwrap_or(u32::MAX), holder)
    }

    /// The token of an exclusive holder.
    pub(crate) fn exclusive_token(&self, client: ClientId) -> Option<u64> {
        let lock = &self.locks[*self.clients.get(&client)? as usize];
        let holder = lock.holders.iter().find(|holder| holder.client == client)?;
        (holder.mode == Mode::Exclusive).then_some(holder.token)
    }

    /// The lock that a client holds or waits for.
    pub(crate) fn lock_of(&self, client: ClientId) -> Option<u32> {
        self.clients.get(&client).copied()
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.locks.iter().map(|lock| lock.queue.len()).sum()
    }
}

/// What a table must never do, done on purpose.
impl Table {
    /// Puts whoever asked last before all others.
    pub(crate) fn disorder(&mut self, number: u32) -> bool {
        let queue = &mut self.locks[number as usize].queue;
        if queue.len() < 2 {
            return false;
        }
        queue.rotate_right(1);
        true
    }

    /// Grants a lock to whoever is next, if that is exclusive, beside its only holder, which is exclusive and has written its record:
    /// under a token of its own, or once more under the same.
    pub(crate) fn grant_beside(&mut self, number: u32, again: bool) -> Option<Granted> {
        let lock = &mut self.locks[number as usize];
        let [Holder { mode: Mode::Exclusive, writer, token, .. }] = lock.holders[..] else { return None };
        if lock.queue.front()?.mode != Mode::Exclusive {
            return None;
        }
        if again {
            lock.tokens = token - 1;
        } else {
            lock.last = Last::Written(writer, token);
        }
        let waiter = lock.queue.pop_front()?;
        Some(lock.grant(number, waiter))
    }
}

impl Lock {
    /// Grants to all who may have the lock now: the first of the queue, and where that is shared, those shared ones that follow it.
    fn serve(&mut self, number: u32) -> Vec<Granted> {
        let mut granted = Vec::new();
        while let Some(next) = self.queue.front() {
            let alone = self.holders.is_empty();
            let shared = next.mode == Mode::Shared && self.holders.iter().all(|holder| holder.mode == Mode::Shared);
            if !alone && !shared {
                break;
            }
            let Some(waiter) = self.queue.pop_front() else { break };
            granted.push(self.grant(number, waiter));
        }
        granted
    }

    fn grant(&mut self, number: u32, waiter: Waiter) -> Granted {
        self.tokens += 1;
        let (Waiter { client, writer, mode, ticket }, token) = (waiter, self.tokens);
        let grant = Grant { lock: number, mode, ticket, token, last: self.last, before: self.before };
        self.holders.push(Holder { client, writer, mode, token });
        self.before = Some(Before { writer, ticket, token });
        Granted { client, grant }
    }
}

#[cfg(test)]
mod tests {
    use muster_pattern::Owner;
    use proptest::prelude::*;

    use super::*;
    use crate::core::check_grant;

    fn writer(client: ClientId) -> Writer {
        let process = u32::try_from(client).expect("small");
        Writer { owner: Owner { run: 1, job: 1, process, attempt: 1 }, machine: 9 }
    }

    fn ask(table: &mut Table, client: ClientId, mode: Mode) -> bool {
        table.ask(client, writer(client), 0, mode).expect("it may ask").granted.is_some()
    }

    fn clients(granted: &[Granted]) -> Vec<ClientId> {
        granted.iter().map(|granted| granted.client).collect()
    }

    #[test]
    fn who_asked_first_is_first_and_shared_ones_that_follow_each_other_come_together() {
        let mut table = Table::new(1);
        let asked =
            [(1, Mode::Shared), (2, Mode::Exclusive), (3, Mode::Shared), (4, Mode::Shared), (5, Mode::Exclusive)];
        assert_eq!(asked.map(|(client, mode)| ask(&mut table, client, mode)), [true, false, false, false, false]);
        assert_eq!(table.place(4), Place::Waits(2, Some(writer(1))));
        assert_eq!(clients(&table.release(1, true).expect("it holds")), [2]);
        assert_eq!(clients(&table.release(2, true).expect("it holds")), [3, 4]);
        assert_eq!(table.release(4, true), Some(vec![]));
        assert_eq!(clients(&table.release(3, true).expect("it holds")), [5]);
        assert_eq!((table.place(5), table.place(1)), (Place::Holds(5), Place::Nothing));
        assert_eq!((table.release(1, true), table.waiting()), (None, 0));
    }

    #[test]
    fn a_client_has_one_lock_at_a_time_and_only_one_that_there_is() {
        let mut table = Table::new(2);
        assert!(ask(&mut table, 1, Mode::Exclusive));
        assert!(!ask(&mut table, 2, Mode::Shared));
        assert_eq!(table.ask(1, writer(1), 1, Mode::Shared), Err(Refused::Holds(0, 1)));
        assert_eq!(table.ask(2, writer(2), 0, Mode::Shared), Err(Refused::Waits));
        assert_eq!(table.ask(3, writer(3), 2, Mode::Shared), Err(Refused::NoLock));
        assert_eq!(table.release(2, true), None, "who waits holds nothing");
    }

    #[test]
    fn a_grant_says_what_the_record_holds_and_who_is_cut_off_leaves_it_unknown() {
        let mut table = Table::new(1);
        let last = |table: &mut Table, client| {
            let asked = table.ask(client, writer(client), 0, Mode::Exclusive).expect("it may ask");
            asked.granted.expect("it is free").grant.last
        };
        assert_eq!(last(&mut table, 1), Last::Never);
        table.release(1, true);
        assert_eq!(last(&mut table, 2), Last::Written(writer(1), 1));
        assert_eq!(table.forget(2), (vec![], Some(0)));
        assert_eq!(last(&mut table, 3), Last::Unknown);
        assert!(!ask(&mut table, 4, Mode::Shared));
        assert_eq!(table.forget(4), (vec![], None), "who only waits is cut off from nothing");
        table.release(3, false);
        assert_eq!(last(&mut table, 5), Last::Unknown, "who found it wrong says so");
    }

    #[test]
    fn faults_on_purpose_are_what_a_grant_is_checked_for() {
        let mut table = Table::new(1);
        for client in 1..=4 {
            ask(&mut table, client, Mode::Exclusive);
        }
        assert!(table.disorder(0));
        let next = |granted: Option<Vec<Granted>>| granted.expect("it holds")[0];
        assert_eq!(next(table.release(1, true)).client, 4);
        let overtaken = next(table.release(4, true));
        assert_eq!(overtaken.client, 2);
        assert!(check_grant(&overtaken.grant, 0).is_err());
        let beside = table.grant_beside(0, false).expect("3 waits");
        assert_eq!((beside.client, beside.grant.last), (3, Last::Written(writer(2), overtaken.grant.token)));
        assert_eq!(beside.grant.token, overtaken.grant.token + 1);
        assert!(!table.disorder(0));
        ask(&mut table, 5, Mode::Exclusive);
        assert_eq!(table.grant_beside(0, true), None, "two hold it already");
        table.release(2, true);
        let again = table.grant_beside(0, true).expect("5 waits");
        assert_eq!(again.grant.token, beside.grant.token);
        assert!(check_grant(&again.grant, 0).is_err());
    }

    /// What one of some clients does next.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ask(ClientId, u32, bool),
        Release(ClientId),
        Forget(ClientId),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..12u64, 0..2u32, any::<bool>()).prop_map(|(client, lock, shared)| Step::Ask(client, lock, shared)),
            5 => (0..12u64).prop_map(Step::Release),
            1 => (0..12u64).prop_map(Step::Forget),
        ];
        proptest::collection::vec(step, 1..300)
    }

    /// Takes in a grant: right by all that is promised.
    fn check(held: &mut BTreeMap<ClientId, Grant>, tickets: &mut [u64; 2], granted: &Granted) {
        let Granted { client, grant } = granted;
        let at = grant.lock as usize;
        assert!(check_grant(grant, grant.before.map_or(0, |before| before.token)).is_ok(), "{grant:?}");
        assert!(grant.ticket > tickets[at], "nobody is overtaken");
        tickets[at] = grant.ticket;
        for other in held.values().filter(|other| other.lock == grant.lock) {
            assert_eq!((other.mode, grant.mode), (Mode::Shared, Mode::Shared), "only shared ones are beside others");
        }
        assert!(held.insert(*client, *grant).is_none());
    }

    proptest! {
        #[test]
        fn no_order_of_steps_breaks_a_promise_and_nobody_waits_for_a_lock_that_is_free(steps in steps()) {
            let (mut table, mut held, mut tickets) = (Table::new(2), BTreeMap::new(), [0; 2]);
            for step in steps {
                let granted = match step {
                    Step::Ask(client, lock, shared) => {
                        let mode = if shared { Mode::Shared } else { Mode::Exclusive };
                        let asked = table.ask(client, writer(client), lock, mode);
                        asked.ok().and_then(|asked| asked.granted).into_iter().collect()
                    }
                    Step::Release(client) => {
                        let granted = table.release(client, true);
                        prop_assert_eq!(granted.is_some(), held.remove(&client).is_some());
                        granted.unwrap_or_default()
                    }
                    Step::Forget(client) => {
                        held.remove(&client);
                        table.forget(client).0
                    }
                };
                granted.iter().for_each(|granted| check(&mut held, &mut tickets, granted));
                for client in 0..12 {
                    match table.place(client) {
                        Place::Holds(token) => prop_assert_eq!(held.get(&client).map(|grant| grant.token), Some(token)),
                        Place::Waits(_, holder) => prop_assert!(holder.is_some(), "somebody holds what it waits for"),
                        Place::Nothing => prop_assert!(!held.contains_key(&client)),
                    }
                }
            }
            // Whoever is left goes, and everybody who waits gets its turn.
            for client in 0..12 {
                held.remove(&client);
                let granted = table.forget(client).0;
                granted.iter().for_each(|granted| check(&mut held, &mut tickets, granted));
            }
            prop_assert_eq!(table.waiting(), 0);
        }
    }
}
