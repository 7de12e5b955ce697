//! `muster admin enroll`: a machine gets a token, makes a key, presents it, and is let in once somebody has approved it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use muster_bus::permissions::Member;
use muster_bus::{Authority, Bus, Credentials, Identity, Inbound, Role, body, is_public_key, subjects};
use muster_model::{MachineId, Refusal, RefusalCode};
use muster_proto::v1::{EnrollAnswer, envelope::Body};
use muster_signing::Pins;

use super::done;
use super::servers::Servers;
use crate::arguments::{EnrollArguments, Global};
use crate::client::Client;
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::keys::Directory;
use crate::output::Cell;

pub(super) async fn run(global: &Global, arguments: &EnrollArguments) -> Result<(), Failure> {
    let servers = Servers::reach(global, &arguments.change).await?;
    let agent = Identity::Agent(arguments.machine.clone());
    match &arguments.public_key {
        Some(key) => let_in(arguments, &agent, key)?,
        None => {
            let client = Client::connect(global).await?;
            let enrolling = Enrolling { arguments, servers: &servers, bus: client.bus() };
            enrolling.run(&agent).await?;
        }
    }
    done(global, &agent, Cell::None, &servers.reload().await?)
}

/// Writes that a machine belongs to the pool, with this key. Another key that it had is of no use from then on.
fn let_in(arguments: &EnrollArguments, agent: &Identity, key: &str) -> Result<(), Failure> {
    let mut directory = Directory::open(&arguments.change.at.keys)?;
    let token = Identity::Enrollment(arguments.machine.clone());
    for old in [&token, agent] {
        if directory.register().find(old).is_some() {
            directory.remove(old)?;
        }
    }
    directory.add(Member { identity: agent.clone(), role: Role::Viewer }, key.to_owned(), None)?;
    directory.save()
}

/// A machine that has a token, and is waited for.
struct Enrolling<'a> {
    arguments: &'a EnrollArguments,
    servers: &'a Servers,
    bus: &'a Bus,
}

impl Enrolling<'_> {
    /// Gives the token, waits for a key, and lets it in. The token is taken back however this ends.
    async fn run(&self, agent: &Identity) -> Result<(), Failure> {
        let mut presented = self.bus.subscribe(&subjects::enrollment(&self.arguments.machine), None).await?;
        let file = self.token_file();
        self.give_token(&file)?;
        self.servers.reload().await?;
        eprintln!(
            "muster: the token for {} is in {}, for {:?}; on the machine: muster-agent --join FILE. Waiting for its key",
            self.arguments.machine,
            file.display(),
            self.arguments.valid
        );
        let ended = tokio::select! {
            ended = self.approve(agent, &mut presented) => ended,
            () = tokio::time::sleep(self.arguments.valid) => Err(self.nobody_came()),
            _ = tokio::signal::ctrl_c() => Err(self.nobody_came()),
        };
        let _ = std::fs::remove_file(&file);
        if ended.is_err() {
            self.take_back()?;
            self.servers.reload().await?;
        }
        ended
    }

    fn token_file(&self) -> PathBuf {
        self.arguments.token.clone().unwrap_or_else(|| format!("{}.token", self.arguments.machine).into())
    }

    fn token(&self) -> Identity {
        Identity::Enrollment(self.arguments.machine.clone())
    }

    fn give_token(&self, file: &Path) -> Result<(), Failure> {
        if file.exists() {
            let what = format!("write the token to {}", file.display());
            return Err(Refusal::new(RefusalCode::Refused, what, "it exists", "name another file with --token").into());
        }
        let mut directory = Directory::open(&self.arguments.change.at.keys)?;
        let signers = directory.signers()?;
        Pins::within(&signers).map_err(|why| {
            let what = format!("give {} a token", self.arguments.machine);
            let next = "`muster admin rotate service/NAME` makes the signing key of a service that has none";
            Refusal::new(RefusalCode::Refused, what, why.to_string(), next)
        })?;
        if directory.register().find(&self.token()).is_some() {
            directory.remove(&self.token())?;
        }
        let key = Credentials::make_with(file, self.token(), &signers)?.public_key()?;
        let valid = SignedDuration::try_from(self.arguments.valid).context("use the validity of the token")?;
        let until = Timestamp::now().checked_add(valid).context("use the validity of the token")?;
        directory.add(Member { identity: self.token(), role: Role::Viewer }, key, Some(until))?;
        directory.save()
    }

    fn take_back(&self) -> Result<(), Failure> {
        let mut directory = Directory::open(&self.arguments.change.at.keys)?;
        if directory.register().find(&self.token()).is_some() {
            directory.remove(&self.token())?;
        }
        directory.save()
    }

    /// Waits for the machine's key, has it approved, writes it, and answers.
    async fn approve(
        &self,
        agent: &Identity,
        presented: &mut (impl futures::Stream<Item = Inbound> + Unpin),
    ) -> Result<(), Failure> {
        let machine = &self.arguments.machine;
        while let Some(inbound) = presented.next().await {
            let Some(reply) = inbound.reply.clone() else { continue };
            let Some(key) = key_of(machine, inbound) else {
                let why = "it is no key of this machine";
                let refusal = Refusal::new(RefusalCode::Invalid, "present a key", why, "update muster-agent");
                self.bus.answer(&reply, Body::Refusal((&refusal).into()), Authority::default()).await;
                continue;
            };
            eprintln!(
                "muster: {machine} presents the key {key}; its log says the same, if it is the machine that you mean"
            );
            confirm(&format!("let {machine} in"), &[agent.to_string()], self.arguments.yes).await?;
            let_in(self.arguments, agent, &key)?;
            self.bus.answer(&reply, Body::EnrollAnswer(EnrollAnswer { public_key: key }), Authority::default()).await;
            self.bus.settled().await?;
            return Ok(());
        }
        Err(self.nobody_came())
    }

    fn nobody_came(&self) -> Failure {
        let machine = &self.arguments.machine;
        Failure::TimedOut(format!(
            "enroll {machine}: it presented no key, and its token is worth nothing now; begin again"
        ))
    }
}

/// The key that a machine presents; none where it is none, or another machine's.
fn key_of(machine: &MachineId, inbound: Inbound) -> Option<String> {
    match body(inbound.envelope.ok()?).ok()? {
        Body::EnrollRequest(request) if request.machine == machine.as_str() && is_public_key(&request.public_key) => {
            Some(request.public_key)
        }
        _ => None,
    }
}
