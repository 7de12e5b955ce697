//! What each action does.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use muster_ledger::pure::{
    Draft, Fold, Heard, Needs, Next, Sealed, Stands, Waiting, after_attempt, after_end, after_look,
};
use muster_ledger::{Answer, View};
use muster_model::{CommandId, Refusal};
use muster_reservation::core::{Command, Input, ReservationCore, Reserve};

use super::instance::{Appending, Asker, Doing, Leading, Told};
use super::server::{CLIENT_BYTE, Folded, NOW, Publish, all_done, comment, envelope, turn};
use super::{Action, Mistake, State};

type Given = (usize, Result<Answer, Refusal>);

impl State {
    /// Takes one action, which is possible.
    pub(super) fn take(&mut self, action: Action, mistake: Option<Mistake>) {
        match action {
            Action::Begin(index) => self.begin(index, mistake),
            Action::Arrive(place, is_heard) => self.arrive(place, is_heard, mistake),
            Action::Lose(place) => {
                self.losses -= 1;
                self.flying.remove(place);
            }
            Action::Hear(index) => self.hear(index, mistake),
            Action::Resend(index) => self.resend(index, mistake),
            Action::Ask(client, index) => self.ask(client, index),
            Action::Read(index) => {
                self.reader.asks += 1;
                self.reader.asked = Some(self.clients.iter().filter(|client| client.answered.is_some()).count());
                self.queue(index, Asker::Reader);
            }
            Action::Turn(index) => self.turn(index, mistake),
            Action::Look(index) => self.look(index, mistake),
            Action::Crash(index) => {
                self.crashes -= 1;
                self.leave(index);
            }
        }
    }

    fn begin(&mut self, index: usize, mistake: Option<Mistake>) {
        if self.instances.iter().any(super::Instance::is_there) {
            self.takeovers -= 1;
        }
        self.instances[index].life += 1;
        let life = self.instances[index].life;
        let folded = self.server.folded.clone();
        let doing = Doing::Idle;
        let mut leading = Leading { folded, has_begun: true, doing, waiting: Vec::new() };
        if mistake == Some(Mistake::NoTermRaised) {
            self.leaders.push((leading.folded.fold.head.term.0, index, life));
            self.instances[index].leading = Some(leading);
            return;
        }
        leading.has_begun = false;
        let sealed = leading.folded.fold.seal_leader(&index.to_string(), NOW, &envelope(index, life));
        let begins = Some(leading.folded.fold.head.term.next().0);
        let fold = leading.folded.fold.clone();
        self.instances[index].leading = Some(leading);
        self.append(index, Appending { sealed, fold, begins, block: Vec::new(), answers: Vec::new(), heard: None });
    }

    /// Sends what is to be appended, once.
    fn append(&mut self, index: usize, appending: Appending) {
        self.send(index, &appending.sealed, appending.begins);
        if let Some(leading) = &mut self.instances[index].leading {
            leading.doing = Doing::Appends(appending);
        }
    }

    fn send(&mut self, index: usize, sealed: &Sealed, begins: Option<u64>) {
        let (life, expected, payload) = (self.instances[index].life, sealed.expected, sealed.payload.clone());
        self.flying.push(Publish { instance: index, life, expected, payload, begins });
        self.flying.sort();
    }

    fn arrive(&mut self, place: usize, is_heard: bool, mistake: Option<Mistake>) {
        let publish = self.flying.remove(place);
        let heard = self.server.append(&publish, mistake);
        if !is_heard {
            self.losses -= 1;
            return;
        }
        let instance = &mut self.instances[publish.instance];
        if let (true, Some(Leading { doing: Doing::Appends(appending), .. })) =
            (instance.life == publish.life, &mut instance.leading)
            && appending.sealed.payload == publish.payload
        {
            appending.heard.get_or_insert(heard);
        }
    }

    /// What an instance appends, taken from it.
    fn appending(&mut self, index: usize) -> Option<Appending> {
        let leading = self.instances[index].leading.as_mut()?;
        match std::mem::replace(&mut leading.doing, Doing::Idle) {
            Doing::Appends(appending) => Some(appending),
            Doing::Idle | Doing::Looks(_) => None,
        }
    }

    fn hear(&mut self, index: usize, mistake: Option<Mistake>) {
        let Some(mut appending) = self.appending(index) else { return };
        let Some(heard) = appending.heard.take() else { return };
        let next = after_attempt(appending.sealed.expected, heard);
        self.follow(index, appending, next, mistake);
    }

    /// An outcome did not come in time.
    fn resend(&mut self, index: usize, mistake: Option<Mistake>) {
        let life = self.instances[index].life;
        if self.flying.iter().any(|publish| publish.is_of(index, life)) {
            self.repeats -= 1;
        }
        let Some(mut appending) = self.appending(index) else { return };
        let expected = appending.sealed.expected;
        let is_turn = appending.begins.is_none();
        match mistake {
            Some(Mistake::UnknownIsStored) => return self.follow(index, appending, Next::Landed, mistake),
            Some(Mistake::NewSequenceAfterUnknown) if is_turn => {
                let mut draft = Draft::new(self.server.folded.fold.now(NOW));
                draft.block.clone_from(&appending.block);
                appending.sealed = self.server.folded.fold.seal_turn(&mut draft, &envelope(index, life));
                return self.append(index, appending);
            }
            Some(Mistake::NothingFoundIsFinal) if is_turn => {
                if matches!(self.server.look(expected, &appending.sealed.payload), Stands::Nothing(_)) {
                    for (asker, _) in appending.answers {
                        if let Asker::Client(client, _) = asker {
                            self.clients[client].was_refused = true;
                        }
                    }
                    return self.leave(index);
                }
            }
            _ => {}
        }
        let next = after_attempt(expected, Heard::Unknown);
        self.follow(index, appending, next, mistake);
    }

    /// Does what follows for an append.
    fn follow(&mut self, index: usize, appending: Appending, next: Next, mistake: Option<Mistake>) {
        match next {
            Next::Landed => self.landed(index, appending),
            Next::Lost => {
                if mistake == Some(Mistake::RepliesWhenLost) {
                    let at = appending.sealed.expected + 1;
                    self.answer(index, appending.answers, at);
                }
                self.leave(index);
            }
            Next::Look => {
                let stands = self.server.look(appending.sealed.expected, &appending.sealed.payload);
                let next = after_look(appending.sealed.expected, stands);
                self.follow(index, appending, next, mistake);
            }
            Next::Again => self.append(index, appending),
            Next::Damaged => {
                self.wrongs.alarm = true;
                self.leave(index);
            }
        }
    }

    /// Its message stands in the log: it leads, or its turn is over and answered.
    fn landed(&mut self, index: usize, appending: Appending) {
        let life = self.instances[index].life;
        let Some(leading) = &mut self.instances[index].leading else { return };
        let mut fold = Fold::clone(&appending.fold);
        let at = appending.sealed.expected + 1;
        if appending.begins.is_none() {
            fold.landed(&appending.sealed);
        } else if fold.take(at, &appending.sealed.payload).is_err() {
            self.wrongs.alarm = true;
            return self.leave(index);
        }
        leading.folded = Folded::new(fold);
        let by_log = &self.server.folded;
        self.wrongs.differs |= leading.folded == *by_log && leading.folded.fold.state != by_log.fold.state;
        if let Some(term) = appending.begins {
            leading.has_begun = true;
            self.leaders.push((term, index, life));
            self.leaders.sort_unstable();
        }
        self.answer(index, appending.answers, at);
    }

    fn ask(&mut self, client: usize, index: usize) {
        if self.instances.iter().any(|instance| instance.has_command_of(client)) {
            self.repeats -= 1;
        }
        self.clients[client].attempts += 1;
        self.queue(index, Asker::Client(client, self.clients[client].attempts));
    }

    fn queue(&mut self, index: usize, asker: Asker) {
        if let Some(leading) = &mut self.instances[index].leading {
            leading.waiting.push(asker);
        }
    }

    fn turn(&mut self, index: usize, mistake: Option<Mistake>) {
        let life = self.instances[index].life;
        let Some(leading) = &mut self.instances[index].leading else { return };
        let askers = std::mem::take(&mut leading.waiting);
        let (give, given) = mpsc::channel();
        let waiting = askers.iter().enumerate().map(|(place, asker)| waiting(place, *asker, &give, mistake)).collect();
        let mut fold = Fold::clone(&leading.folded.fold);
        let mut draft = turn(&mut fold, waiting);
        let needs = draft.needs();
        let applied = if needs == Needs::Append { draft.now.position } else { fold.head.position };
        for (reply, outcome) in std::mem::take(&mut draft.answers) {
            reply(outcome.answer(applied, fold.head.term));
        }
        let answers = told(&askers, &given, applied.sequence.0);
        match needs {
            Needs::Append => {
                let block = draft.block.clone();
                let sealed = leading.folded.fold.seal_turn(&mut draft, &envelope(index, life));
                let fold = Arc::new(fold);
                let mut appending = Appending { sealed, fold, begins: None, block, answers, heard: None };
                if mistake == Some(Mistake::RepliesBeforeAcknowledgement) {
                    let at = appending.sealed.expected + 1;
                    self.answer(index, std::mem::take(&mut appending.answers), at);
                }
                self.append(index, appending);
            }
            Needs::Newest => leading.doing = Doing::Looks(answers),
            Needs::Nothing => {}
        }
    }

    fn look(&mut self, index: usize, mistake: Option<Mistake>) {
        let last = self.server.last();
        let Some(leading) = &mut self.instances[index].leading else { return };
        let Doing::Looks(answers) = leading.doing.clone() else { return };
        let applied = leading.folded.fold.head.position.sequence.0;
        let next = if mistake == Some(Mistake::ReadsWithoutLooking) { Next::Landed } else { after_end(applied, last) };
        match next {
            Next::Landed => {
                leading.doing = Doing::Idle;
                self.answer(index, answers, applied);
            }
            Next::Lost | Next::Look | Next::Again => self.leave(index),
            Next::Damaged => {
                self.wrongs.alarm = true;
                self.leave(index);
            }
        }
    }

    /// Answers are given, by a leader for which `at` was the log's end.
    fn answer(&mut self, index: usize, answers: Vec<Told>, at: u64) {
        let Some(leading) = &self.instances[index].leading else { return };
        let (term, done) = (leading.folded.fold.head.term.0, all_done(&leading.folded.fold));
        if !answers.is_empty() {
            self.wrongs.both_reply |= self.server.has_begun_later(term, at);
        }
        for (asker, told) in answers {
            match (asker, told) {
                (Asker::Client(client, _), Some(at)) => self.clients[client].answered = Some(at),
                (Asker::Client(client, _), None) => self.clients[client].was_refused = true,
                (Asker::Reader, _) => {
                    self.wrongs.stale |= self.reader.asked.take().is_some_and(|floor| done < floor);
                }
            }
        }
    }

    /// Everything in its memory is gone.
    fn leave(&mut self, index: usize) {
        if self.instances[index].has_reader() {
            self.reader.asked = None;
        }
        self.instances[index].leading = None;
    }
}

/// A command or a question, as it waits for its turn.
fn waiting(
    place: usize,
    asker: Asker,
    give: &mpsc::Sender<Given>,
    mistake: Option<Mistake>,
) -> Waiting<ReservationCore> {
    let give = give.clone();
    let Asker::Client(client, attempt) = asker else {
        return Waiting::Query(Box::new(|_: View<'_, ReservationCore>| {}));
    };
    let mut id = [0; 16];
    id[CLIENT_BYTE] = u8::try_from(client).unwrap_or(u8::MAX) + 1;
    if mistake == Some(Mistake::RetriesWithNewId) {
        id[15] = attempt;
    }
    let reserve =
        Reserve { count: 1, duration: Duration::from_secs(3600), comment: comment(client), ..Reserve::default() };
    let input = Input::Command { user: "user:anna".into(), command: Box::new(Command::Reserve(reserve)) };
    let reply = Box::new(move |answered| drop(give.send((place, answered))));
    Waiting::Command { id: CommandId(id), by: "user:anna".to_owned().into(), input, reply }
}

/// What each asker is told; a reader is told what is so when it is answered.
fn told(askers: &[Asker], given: &mpsc::Receiver<Given>, applied: u64) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let mut answers: Vec<Given> = given.try_iter().collect();
    answers.sort_by_key(|(place, _)| *place);
    for (place, answered) in answers {
        told.push((askers[place], answered.ok().map(|answer| answer.position.sequence.0)));
    }
    told.extend(askers.iter().filter(|asker| **asker == Asker::Reader).map(|asker| (*asker, Some(applied))));
    told
}
