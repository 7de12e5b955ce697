//! `muster admin audit`.

use clap::{Args, Subcommand};
use muster_bus::streams;
use muster_ledger::Seal;
use muster_model::Position;

use crate::times::{Since, parse_moment};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Walk the decision logs and their copies in PostgreSQL, and verify that nothing in them was changed, removed, added or moved.
    /// Every message holds who gave a command, when, what was decided and answered, and the hash of the message before it
    Verify(AuditVerifyArguments),
    /// List who did what, from the decision logs; what was refused is in none
    List(AuditListArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArguments {
    /// Count from then on; with it, what only PostgreSQL still has is read only where it is needed
    #[arg(long, value_name = "5m|TIME", value_parser = parse_moment)]
    pub(crate) since: Option<Since>,
    /// Seal that an earlier `verify` printed, and that was kept elsewhere: the message has to be the one that it was then
    #[arg(long = "seal", value_name = "LOG:LINEAGE/SEQUENCE:HASH", value_parser = parse_seal)]
    pub(crate) seals: Vec<LogSeal>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditListArguments {
    /// Only what this person did, as `anna`, or another actor, as `agent:node-1`
    #[arg(long, value_name = "USER|ACTOR")]
    pub(crate) by: Option<String>,
    /// Only what concerns this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// From then on
    #[arg(long, value_name = "5m|TIME", value_parser = parse_moment)]
    pub(crate) since: Option<Since>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// A seal of a message of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSeal {
    /// Name of the log.
    pub(crate) log: String,
    /// The seal.
    pub(crate) seal: Seal,
}

fn parse_seal(text: &str) -> Result<LogSeal, String> {
    let parse = || {
        let (log, rest) = text.split_once(':')?;
        let (position, hash) = rest.split_once(':')?;
        let (lineage, sequence) = position.split_once('/')?;
        let position = Position::new(lineage.parse().ok()?, sequence.parse().ok()?);
        let is_log = [streams::JOBS, streams::MACHINES, streams::RESERVATIONS].contains(&log);
        let hash = parse_hash(hash).filter(|_| is_log)?;
        Some(LogSeal { log: log.to_owned(), seal: Seal { position, hash } })
    };
    parse().ok_or_else(|| "give it as `muster admin audit verify` printed it: JOBS:1/123:HASH".to_owned())
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_is_printed() {
        let hash = "0a".repeat(32);
        let seal = Seal { position: Position::new(1, 23), hash: [10; 32] };
        assert_eq!(parse_seal(&format!("JOBS:1/23:{hash}")), Ok(LogSeal { log: "JOBS".into(), seal }));
        for wrong in ["", "JOBS", "JOBS:1/23", "JOBS:1:0a", "TEL:1/2:0a", "JOBS:1/2:zz"] {
            assert!(parse_seal(wrong).is_err(), "{wrong}");
            assert!(parse_seal(&format!("OTHER:1/2:{hash}")).is_err());
        }
    }
}
