//! A tiny core: it counts how often each token was added, and announces every token once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Now, Scope};
use muster_model::{PoolTime, Refusal, RefusalCode};

/// Tokens, how often each was added, and which are still to be announced.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) added: BTreeMap<u64, u32>,
    pub(crate) unannounced: BTreeSet<u64>,
    pub(crate) ticks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Added(u64),
    Announced(u64),
    /// Carries bytes that say nothing.
    Padded(u64, Vec<u8>),
}

/// Where a decision waits until it may go on.
pub(crate) struct Gate {
    entered: mpsc::Sender<()>,
    may_go_on: Mutex<mpsc::Receiver<()>>,
}

impl Gate {
    pub(crate) fn new(entered: mpsc::Sender<()>, may_go_on: mpsc::Receiver<()>) -> Self {
        Self { entered, may_go_on: Mutex::new(may_go_on) }
    }

    fn pass(&self) {
        self.entered.send(()).expect("the test waits for it");
        let went_on = self.may_go_on.lock().expect("not poisoned").recv_timeout(Duration::from_secs(30));
        went_on.expect("the test lets it go on");
    }
}

pub(crate) enum Input {
    Add(u64),
    /// Adds, after it has blocked the leader's loop.
    Wedge(u64, Arc<Gate>),
    AddPadded(u64, Vec<u8>),
    AddFollowed(Vec<u64>),
    Announced(u64),
    Nothing,
    Refuse,
    Remove,
    Tick,
}

/// Followed tokens that one decision adds.
const PIECE: usize = 10_000;

pub(crate) struct Counter;

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    (0..size as u64 / 32).flat_map(|part| *blake3::hash(&(seed << 32 | part).to_be_bytes()).as_bytes()).collect()
}

impl Core for Counter {
    type State = State;
    type Observed = u64;
    type Input = Input;
    type Observation = u64;
    type Event = Event;
    type Reply = String;
    type Effect = u64;
    type Key = u64;

    const EVENT_TYPE: &'static str = "muster.test.CounterEvent";

    fn decide(state: &State, _: &u64, input: &Input, now: Now) -> Result<Decision<Self>, Refusal> {
        let reply = |text: &str| Some(format!("{text} at {}", now.position));
        Ok(match input {
            Input::Add(token) => Decision { events: vec![Event::Added(*token)], reply: reply("added") },
            Input::Wedge(token, gate) => {
                gate.pass();
                Decision { events: vec![Event::Added(*token)], reply: reply("wedged") }
            }
            Input::AddPadded(token, bytes) => {
                Decision { events: vec![Event::Padded(*token, bytes.clone())], reply: reply("padded") }
            }
            Input::AddFollowed(tokens) => {
                let news = tokens.iter().filter(|token| !state.added.contains_key(token));
                Decision { events: news.take(PIECE).map(|token| Event::Added(*token)).collect(), reply: None }
            }
            Input::Announced(token) if state.unannounced.contains(token) => {
                Decision { events: vec![Event::Announced(*token)], reply: None }
            }
            Input::Announced(_) | Input::Tick => Decision { events: Vec::new(), reply: None },
            Input::Nothing => Decision { events: Vec::new(), reply: reply("nothing") },
            Input::Remove => Decision { events: vec![Event::Added(0)], reply: reply("removed") },
            Input::Refuse => return Err(Refusal::new(RefusalCode::Refused, "add", "asked for it", "ask for less")),
        })
    }

    fn apply(state: &mut State, event: &Event, _: &At<'_>) {
        match event {
            Event::Added(token) | Event::Padded(token, _) => {
                *state.added.entry(*token).or_default() += 1;
                state.unannounced.insert(*token);
            }
            Event::Announced(token) => {
                state.unannounced.remove(token);
            }
        }
    }

    fn observe(observed: &mut u64, _: &State, observation: u64, _: PoolTime) {
        *observed += observation;
    }

    fn tick() -> Input {
        Input::Tick
    }

    fn in_pieces(input: &Input) -> bool {
        matches!(input, Input::AddFollowed(_))
    }

    fn touched(_: &State, event: &Event) -> Vec<u64> {
        match event {
            Event::Added(token) | Event::Announced(token) | Event::Padded(token, _) => vec![*token],
        }
    }

    fn wanted(state: &State, _: &u64, scope: Scope<'_, u64>, _: PoolTime) -> Vec<u64> {
        match scope {
            Scope::Full => state.unannounced.iter().copied().collect(),
            Scope::Keys(keys) => keys.intersection(&state.unannounced).copied().collect(),
        }
    }

    fn effect_key(effect: &u64) -> String {
        effect.to_string()
    }

    fn project(state: &State, key: &u64) -> Vec<(String, Option<Bytes>)> {
        vec![(format!("token.{key}"), state.added.get(key).map(|count| count.to_string().into()))]
    }

    fn keys(state: &State) -> Vec<u64> {
        state.added.keys().copied().collect()
    }

    fn frees(input: &Input) -> bool {
        matches!(input, Input::Remove)
    }

    fn encode_event(event: &Event) -> Bytes {
        let (kind, token, rest): (u8, u64, &[u8]) = match event {
            Event::Added(token) => (1, *token, &[]),
            Event::Announced(token) => (2, *token, &[]),
            Event::Padded(token, bytes) => (3, *token, bytes),
        };
        [&[kind][..], &token.to_be_bytes(), rest].concat().into()
    }

    fn decode_event(bytes: &Bytes) -> Result<Event, String> {
        let token = bytes.get(1..9).and_then(|token| token.try_into().ok()).map(u64::from_be_bytes).ok_or("short")?;
        match bytes[0] {
            1 => Ok(Event::Added(token)),
            2 => Ok(Event::Announced(token)),
            3 => Ok(Event::Padded(token, bytes[9..].to_vec())),
            kind => Err(format!("kind {kind}")),
        }
    }

    fn encode_state(state: &State) -> Bytes {
        let mut text = String::new();
        for (token, count) in &state.added {
            text += &format!("{token} {count} {}\n", u8::from(state.unannounced.contains(token)));
        }
        text.into()
    }

    fn decode_state(bytes: &Bytes) -> Result<State, String> {
        let mut state = State::default();
        for line in std::str::from_utf8(bytes).map_err(|error| error.to_string())?.lines() {
            let mut words = line.split(' ').map(|word| word.parse::<u64>().map_err(|error| error.to_string()));
            let mut next = || words.next().ok_or("short")?;
            let (token, count, unannounced) = (next()?, next()?, next()?);
            state.added.insert(token, u32::try_from(count).map_err(|error| error.to_string())?);
            if unannounced == 1 {
                state.unannounced.insert(token);
            }
        }
        Ok(state)
    }

    fn encode_reply(reply: &String) -> Bytes {
        reply.clone().into()
    }
}
