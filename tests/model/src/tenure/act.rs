//! What each action does.

use muster_node_agent::core::fence::Told;
use muster_proto::v1::MachineDesired;

use super::agent::{Agent, Stage};
use super::machines::{Machines, RESERVATION, Said, Word};
use super::{Action, Budget, Known, Mistake, SeenOnce, State, WORDS_MAX, Wrongs};

impl Known {
    /// The agent took what machine-lifecycle wants.
    pub(super) fn told(&mut self, term: u64, desired: &MachineDesired, told: Told) {
        self.term = self.term.max(term);
        let (deadline, reservation) =
            desired.holder.as_ref().map_or((0, 0), |holder| (holder.deadline_ns, holder.reservation));
        let generation = desired.generation.unwrap_or_default().into();
        if desired.draining && desired.epoch == self.holder.0 && reservation != self.holder.1 {
            // It names the holder to come.
            self.deadline.0 = self.deadline.0.max(generation);
            return;
        }
        self.holder = (self.holder.0.max(desired.epoch), reservation);
        if told == Told::Hello || generation >= self.deadline.0 {
            self.deadline = (generation, deadline);
        }
    }
}

impl State {
    /// A machine whose agent has said hello, that is fenced, beats, and is the pool's.
    pub(super) fn begin(budget: Budget) -> Self {
        let mut state = Self {
            machines: Machines::begin(),
            agent: Agent::begin(),
            snapshot: None,
            words: Vec::new(),
            said: Vec::new(),
            reports: Vec::new(),
            budget,
            course: 0,
            forks: 0,
            known: Known::default(),
            wrongs: Wrongs::default(),
            seen: SeenOnce::default(),
        };
        // The first hello raises the epoch, as it has to.
        let first = [Action::Hello, Action::Hear, Action::Deliver(0), Action::Close, Action::Report];
        first.into_iter().for_each(|action| state.take(action, None));
        state.wrongs = Wrongs::default();
        let then = [Action::Beat, Action::Deliver(0), Action::Tell, Action::Deliver(0)];
        then.into_iter().for_each(|action| state.take(action, None));
        state
    }

    /// The agent has to say hello, and no answer to an earlier one can come.
    pub(super) fn may_greet(&self) -> bool {
        match self.agent.stage() {
            Some(Stage::Silent) => true,
            Some(Stage::Asked(asked)) => {
                let is_asked = |said: &Said| matches!(said, Said::Hello { number, .. } if *number == asked);
                let is_answered = |word: &Word| matches!(word, Word::Greeted { hello, .. } if *hello == asked);
                !self.said.iter().any(is_asked) && !self.words.iter().any(is_answered)
            }
            Some(Stage::Fencing | Stage::Online) | None => false,
        }
    }

    /// Takes one action. Nothing changes where it is not possible.
    pub(super) fn take(&mut self, action: Action, mistake: Option<Mistake>) {
        match action {
            Action::Time => {
                self.budget.times -= 1;
                self.machines.now = self.machines.now + std::time::Duration::from_secs(10);
            }
            Action::Reserve => {
                self.machines.reserve(self.course);
                self.course += 1;
            }
            Action::Tick => self.machines.tick(),
            Action::Tell => self.say(self.machines.told()),
            Action::OldTells => self.say(self.machines.told_by_deposed()),
            Action::Hear => self.hear(),
            Action::OldHears => self.deposed_hears(mistake),
            Action::LoseSaid => {
                self.budget.losses -= 1;
                self.said.remove(0);
            }
            Action::Deliver(place) => self.deliver(place, mistake),
            Action::Repeat(place) => {
                self.budget.copies -= 1;
                let word = self.words.get(place).cloned();
                self.deliver(place, mistake);
                self.say(word);
            }
            Action::Lose(place) => {
                self.budget.losses -= 1;
                self.words.remove(place);
            }
            Action::Report => {
                let epoch = self.reports.remove(0);
                self.machines.report(epoch);
            }
            Action::Takeover => {
                self.budget.takeovers -= 1;
                self.machines.takeover();
            }
            Action::Place => self.place(),
            Action::Hello => {
                let said = self.agent.hello();
                self.said.push(said);
            }
            Action::Beat => {
                let beat = self.agent.beat();
                let (word, ..) = self.machines.hear(&beat);
                self.say(word);
            }
            Action::OldBeat => {
                let beat = self.agent.beat();
                let (word, _) = self.machines.deposed_hears(&beat, false);
                self.say(word);
            }
            Action::EndOlder => self.agent.end_older(),
            Action::Close => self.close(),
            Action::End => self.agent.end_one(),
            Action::Crash => {
                self.budget.crashes -= 1;
                self.agent.crash(mistake);
            }
            Action::Reboot => {
                self.budget.crashes -= 1;
                self.agent.reboot(mistake);
            }
            Action::Start => self.agent.start(mistake),
            Action::Snapshot => self.snapshot = Some(Box::new((self.agent.clone(), self.known.clone()))),
            Action::Revert => self.revert(),
        }
        self.seen.came_back |= self.course > 2 && self.machines.rests() && self.machines.holder_of(3).is_some();
    }

    /// A word goes on its way, where there is room. Of answers to heartbeats one at a time is enough.
    fn say(&mut self, word: Option<Word>) {
        let is_answer = |word: &Word| matches!(word, Word::Answer { .. });
        let word = word.filter(|word| !is_answer(word) || !self.words.iter().any(is_answer));
        if let Some(word) = word.filter(|word| self.words.len() < WORDS_MAX && !self.words.contains(word)) {
            self.words.push(word);
            self.words.sort();
        }
    }

    fn hear(&mut self) {
        let said = self.said.remove(0);
        let (word, twice, raised) = self.machines.hear(&said);
        self.wrongs.granted_twice |= twice;
        self.wrongs.needless_fence |= raised && !self.seen.has_reverted;
        self.seen.noticed_revert |= raised && self.seen.has_reverted;
        self.say(word);
    }

    fn deposed_hears(&mut self, mistake: Option<Mistake>) {
        let Some(said) = self.said.first().cloned() else { return };
        let unlogged = mistake == Some(Mistake::HelloAnsweredUnlogged);
        let (word, twice) = self.machines.deposed_hears(&said, unlogged);
        self.wrongs.granted_twice |= twice;
        self.say(word);
    }

    fn deliver(&mut self, place: usize, mistake: Option<Mistake>) {
        let word = self.words.remove(place);
        let (before, known) = (self.agent.clone(), self.known.clone());
        let done = self.agent.hear(&word, &mut self.known, mistake);
        let term = match word {
            Word::Desired { term, .. } | Word::Greeted { term, .. } | Word::Answer { term, .. } => Some(term),
            Word::Start { .. } => None,
        };
        self.wrongs.stale_acts |= term.is_some_and(|term| term < known.term) && self.agent != before;
        let Some((number, epoch, reservation)) = done.started else { return };
        self.wrongs.older_alive |= before.has_older_than(epoch);
        self.wrongs.held_twice |= self.machines.holder_of(epoch) != Some(reservation);
        self.wrongs.started_twice |= !self.seen.has_reverted && !self.started(number);
        self.seen.ran_reserved |= reservation == RESERVATION;
    }

    /// Notes a start; false where it was noted before.
    fn started(&mut self, number: u8) -> bool {
        let bit = 1_u8 << number;
        let is_new = self.forks & bit == 0;
        self.forks |= bit;
        is_new
    }

    fn place(&mut self) {
        if let Some(word) = self.machines.place(self.budget.starts) {
            self.budget.starts -= 1;
            self.say(Some(word));
        }
    }

    fn close(&mut self) {
        let epoch = self.agent.close();
        self.known.fenced = self.known.fenced.max(epoch);
        self.reports.push(epoch);
    }

    fn revert(&mut self) {
        let Some(snapshot) = self.snapshot.take() else { return };
        let (agent, known) = *snapshot;
        self.budget.reverts -= 1;
        self.seen.has_reverted = true;
        self.agent.wakes_as(&agent);
        self.known = known;
        // Its connection is another one: what was said on the old one arrived, or is lost.
        self.said.clear();
        // What it had to report since is not on its disk any more.
        self.reports.clear();
    }
}
