//! A core that decides one small event per command.

use std::collections::BTreeMap;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Now, Scope};
use muster_model::{PoolTime, Refusal};

/// What an event carries beside its number: with its envelope a command is about as large as a real one.
const PADDING: [u8; 40] = [7; 40];

/// Sums, and what is kept of machines.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) added: u64,
    sums: BTreeMap<u64, u64>,
    pub(crate) kept: BTreeMap<u64, Bytes>,
}

pub(crate) enum Input {
    Add(u64),
    Keep(u64, Vec<u8>),
    Tick,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Added(u64),
    Kept(u64, Bytes),
}

pub(crate) struct Bench;

impl Core for Bench {
    type State = State;
    type Observed = ();
    type Input = Input;
    type Observation = ();
    type Event = Event;
    type Reply = u64;
    type Effect = ();
    type Key = u64;

    const EVENT_TYPE: &'static str = "muster.bench.Event";

    fn decide(state: &State, (): &(), input: &Input, _: Now) -> Result<Decision<Self>, Refusal> {
        let events = match input {
            Input::Add(key) => vec![Event::Added(*key)],
            Input::Keep(key, value) => vec![Event::Kept(*key, value.clone().into())],
            Input::Tick => Vec::new(),
        };
        Ok(Decision { events, reply: Some(state.added) })
    }

    fn apply(state: &mut State, event: &Event, _: &At<'_>) {
        match event {
            Event::Added(key) => {
                state.added += 1;
                *state.sums.entry(*key).or_default() += 1;
            }
            Event::Kept(key, value) => drop(state.kept.insert(*key, value.clone())),
        }
    }

    fn observe((): &mut (), _: &State, (): (), _: PoolTime) {}

    fn tick() -> Input {
        Input::Tick
    }

    fn touched(_: &State, event: &Event) -> Vec<u64> {
        match event {
            Event::Added(key) | Event::Kept(key, _) => vec![*key],
        }
    }

    fn wanted(_: &State, (): &(), _: Scope<'_, u64>, _: PoolTime) -> Vec<()> {
        Vec::new()
    }

    fn effect_key((): &()) -> String {
        String::new()
    }

    fn project(_: &State, _: &u64) -> Vec<(String, Option<Bytes>)> {
        Vec::new()
    }

    fn keys(_: &State) -> Vec<u64> {
        Vec::new()
    }

    fn encode_event(event: &Event) -> Bytes {
        match event {
            Event::Added(key) => [&[1][..], &key.to_be_bytes(), &PADDING].concat().into(),
            Event::Kept(key, value) => [&[2][..], &key.to_be_bytes(), value].concat().into(),
        }
    }

    fn decode_event(bytes: &Bytes) -> Result<Event, String> {
        let key = bytes.get(1..9).and_then(|key| key.try_into().ok()).map(u64::from_be_bytes).ok_or("short")?;
        Ok(match bytes[0] {
            1 => Event::Added(key),
            _ => Event::Kept(key, Bytes::copy_from_slice(&bytes[9..])),
        })
    }

    fn encode_state(state: &State) -> Bytes {
        let mut bytes = state.added.to_be_bytes().to_vec();
        for (key, value) in &state.kept {
            bytes.extend(key.to_be_bytes());
            bytes.extend((value.len() as u64).to_be_bytes());
            bytes.extend(value);
        }
        bytes.into()
    }

    fn decode_state(bytes: &Bytes) -> Result<State, String> {
        let mut rest = &bytes[..];
        let number = |rest: &mut &[u8]| -> Result<u64, String> {
            let (number, after) = rest.split_first_chunk::<8>().ok_or("short")?;
            *rest = after;
            Ok(u64::from_be_bytes(*number))
        };
        let mut state = State { added: number(&mut rest)?, ..State::default() };
        while !rest.is_empty() {
            let key = number(&mut rest)?;
            let length = usize::try_from(number(&mut rest)?).map_err(|error| error.to_string())?;
            let value = rest.split_off(..length).ok_or("short")?;
            state.kept.insert(key, Bytes::copy_from_slice(value));
        }
        Ok(state)
    }

    fn encode_reply(reply: &u64) -> Bytes {
        Bytes::copy_from_slice(&reply.to_be_bytes())
    }
}
