//! `muster admin enroll`, `user`, `identities`, `revoke` and `rotate`: who may connect.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_bus::{Identity, Role, UserName, is_public_key};
use muster_model::MachineId;

use crate::times::parse_duration;

/// Where the keys of a pool are kept.
#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    /// Directory that `muster admin init --keys` made
    #[arg(long, value_name = "DIR", env = "MUSTER_KEYS", default_value = "/etc/muster/keys", hide_env_values = true)]
    pub(crate) keys: PathBuf,
}

/// The same, for what changes them.
#[derive(Debug, Args)]
pub(crate) struct ChangeArguments {
    #[command(flatten)]
    pub(crate) at: KeysArguments,
    /// Only write: the servers are not told, and go on with what they have until they read their configuration again
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EnrollArguments {
    /// The machine
    pub(crate) machine: MachineId,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
    /// Let this public key in, which the machine has made, instead of giving the machine a token
    #[arg(long, value_name = "KEY", value_parser = parse_key, conflicts_with_all = ["token", "valid", "yes"])]
    pub(crate) public_key: Option<String>,
    /// Write the token there, for `muster-agent --join FILE` on the machine; MACHINE.token without it
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub(crate) token: Option<PathBuf>,
    /// The token is worth nothing after so long, nor once it was used
    #[arg(long, default_value = "10m", value_parser = parse_validity, conflicts_with = "offline")]
    pub(crate) valid: Duration,
    /// Approve the key that is presented with the token, without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Let a person in: makes a key and its file of credentials
    Add(UserAddArguments),
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArguments {
    /// The person, or the program that works for one
    #[arg(value_parser = UserName::new)]
    pub(crate) name: UserName,
    /// What they may: viewer, tester, owner, administrator; each may what those before it may
    #[arg(long, value_parser = parse_role)]
    pub(crate) role: Role,
    /// Let this public key in, which the person has made, instead of making one
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(crate) public_key: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct IdentityArguments {
    /// Who: agent/MACHINE, service/NAME, user/NAME
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// Which service: service/scheduler, service/machine-lifecycle
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) at: KeysArguments,
}

/// The longest life of a token.
const VALIDITY_MAX: Duration = Duration::from_secs(24 * 3600);

fn parse_validity(text: &str) -> Result<Duration, String> {
    let validity = parse_duration(text)?;
    if validity > VALIDITY_MAX { Err("a token is worth something for 24h at most".into()) } else { Ok(validity) }
}

fn parse_role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| format!("there are {}", Role::ALL.map(Role::as_str).join(", ")))
}

fn parse_key(text: &str) -> Result<String, String> {
    if is_public_key(text) { Ok(text.to_owned()) } else { Err("a public key of a user begins with U".into()) }
}
