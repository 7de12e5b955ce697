//! How a client finds its server, and what a server says of itself: words of the gang, or what a person copied from another gang.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use muster_sdk::{Ask, Here, Session, To, Words, parse_token};

use crate::remote::{Remote, Server};
use crate::settings::Place;
use crate::trouble::Trouble;
use crate::work::Work;

/// How long the first meeting may take: the machine of the server may still be fetching the module.
pub(crate) const FIRST_MEETING_MAX: Duration = Duration::from_secs(120);
/// Pause before a server that can not be reached is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// The role of a gang's server.
pub(crate) const SERVER: &str = "server";

/// The server of the gang, once it says where it is.
pub(crate) fn ask(session: &Session) -> Result<Server, Trouble> {
    let deadline = Instant::now() + FIRST_MEETING_MAX;
    let said = Words::Where.say();
    let here =
        session.ask_peer(Ask::new(To::Role(SERVER), &said, deadline), |heard| match Words::hear(&heard.words) {
            Some(Words::Here(here)) => Some(here),
            Some(Words::Where) | None => None,
        })?;
    match here {
        Some(here) => Ok(server(session, &here)),
        None if session.stopping() => Err(Trouble::NotMet),
        None => {
            let (name, seconds) = (name(session), FIRST_MEETING_MAX.as_secs());
            Err(Trouble::Gone(format!("the lock server {name} was not met within {seconds} s: it said nothing")))
        }
    }
}

fn server(session: &Session, here: &Here) -> Server {
    // Another machine's loopback is our own.
    let same_machine = !here.boot_id.is_empty() && here.boot_id == session.context().boot_id;
    let addresses = here.addresses.iter().filter_map(|address| address.parse::<SocketAddr>().ok());
    Server {
        addresses: addresses.filter(|address| same_machine || !address.ip().is_loopback()).collect(),
        token: parse_token(&here.token),
        reply: Some(parse_token(&here.reply)),
        name: name(session),
    }
}

/// A server that a person named.
pub(crate) fn named(place: &Place) -> Server {
    let Place { address, token } = *place;
    Server { addresses: vec![address], token, reply: None, name: format!("at {address}") }
}

/// Connects all takers of a process to a server.
pub(crate) fn connect<'w>(work: &'w Work<'w>, server: &Server) -> Result<Vec<Remote<'w>>, Trouble> {
    let deadline = Instant::now() + FIRST_MEETING_MAX;
    let mut takers = Vec::with_capacity(work.settings.takers);
    while takers.len() < work.settings.takers {
        match Remote::connect(work, server.clone()) {
            Ok(taker) => takers.push(taker),
            Err(_) if work.is_over() => return Err(Trouble::NotMet),
            Err(reason) if Instant::now() >= deadline => {
                let (name, seconds) = (&server.name, FIRST_MEETING_MAX.as_secs());
                return Err(Trouble::Gone(format!("the lock server {name} was not met within {seconds} s: {reason}")));
            }
            // Who was refused is refused again.
            Err(reason) if reason.contains("refused: ") => {
                return Err(Trouble::Gone(format!("the lock server {}: {reason}", server.name)));
            }
            Err(_) => work.pause(RETRY),
        }
    }
    Ok(takers)
}

/// The server of the gang, for people.
fn name(session: &Session) -> String {
    match session.peers().find(|member| member.role == SERVER && !member.dpid.is_empty()) {
        Some(member) => format!("{} on {}", member.dpid, member.machine),
        None => "of this gang".to_owned(),
    }
}

/// Of a server: says here to whoever asks.
pub(crate) fn answer(session: &Session, here: &Here) {
    while let Some(heard) = session.hear_peer(Instant::now()) {
        if Words::hear(&heard.words) == Some(Words::Where) {
            // Who can not be answered asks again.
            let _: Result<(), muster_sdk::PeerError> =
                session.say_to_peer(To::Role(&heard.role), &Words::Here(here.clone()).say());
        }
    }
}
