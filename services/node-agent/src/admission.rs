//! How this machine comes into its pool: with the key that it has, or by a token with which it presents a key that it makes.
//!
//! Responsible for the agent's own key and for presenting it. Not for who approves it (`muster admin enroll`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_bus::{
    Access, Authority, Bus, BusError, BusOptions, Credentials, CredentialsError, Identity, body, subjects,
};
use muster_chassis::CommonArguments;
use muster_model::{MachineId, Refusal};
use muster_proto::v1::{EnrollRequest, envelope::Body};

/// The agent's key in its state directory, where no other file was named.
const OWN: &str = "credentials";
/// A person may take so long to approve a key before it is presented again.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Between attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How this agent comes onto the bus.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// With what it has.
    Ready(Access),
    /// By a token.
    Join {
        /// What the machine may present a key with.
        token: Credentials,
        /// Where the key is kept once it was approved.
        own: PathBuf,
    },
}

impl Admission {
    /// What follows from the arguments, and from what is on the disk.
    ///
    /// # Errors
    /// When nothing was said, or what was named is no use to this machine.
    pub(crate) fn new(
        common: &CommonArguments,
        join: Option<&Path>,
        machine: &MachineId,
        state: &Path,
    ) -> anyhow::Result<Self> {
        let own = common.credentials.clone().unwrap_or_else(|| state.join(OWN));
        if common.insecure_local {
            return Ok(Self::Ready(common.access()?));
        }
        if own.exists() {
            let access = Access::new(Some(&own), false)?;
            check(access.identity(), &Identity::Agent(machine.clone()), &own)?;
            return Ok(Self::Ready(access));
        }
        let Some(token) = join else {
            return Err(CredentialsError::Neither).context("`muster admin enroll` gives a token for --join FILE");
        };
        let token = Credentials::open(token)?;
        check(Some(token.identity()), &Identity::Enrollment(machine.clone()), token.path())?;
        Ok(Self::Join { token, own })
    }

    /// The way onto the bus; waits for as long as it takes until a key of this machine was approved.
    pub(crate) async fn access(self, nats: &str, machine: &MachineId) -> Access {
        let (token, own) = match self {
            Self::Ready(access) => return access,
            Self::Join { token, own } => (token, own),
        };
        let joining = Joining { nats, machine, token, presented: own.with_extension("presented"), own };
        loop {
            match joining.attempt().await {
                Ok(Some(access)) => return access,
                Ok(None) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "this machine's key is not approved yet: presenting it again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn check(found: Option<&Identity>, wanted: &Identity, path: &Path) -> anyhow::Result<()> {
    let found = found.map(ToString::to_string).unwrap_or_default();
    ensure!(found == wanted.to_string(), "use {}: it is of {found}, and this is {wanted}", path.display());
    Ok(())
}

struct Joining<'a> {
    nats: &'a str,
    machine: &'a MachineId,
    token: Credentials,
    /// The key until it is known to be approved.
    presented: PathBuf,
    own: PathBuf,
}

impl Joining<'_> {
    /// Tries the key; where it is not let in, presents it. The answer to that is only a hint: what counts is being let in.
    async fn attempt(&self) -> anyhow::Result<Option<Access>> {
        let key = self.key()?;
        let options = |access| BusOptions::new(self.nats, &format!("agent/{}", self.machine), access);
        match Bus::connect(&options(Access::Credentials(key.clone()))).await {
            Ok(_) => {
                std::fs::rename(&self.presented, &self.own).with_context(|| format!("keep {}", self.own.display()))?;
                tracing::info!(machine_id = %self.machine, "this machine's key was approved");
                return Ok(Some(Access::new(Some(&self.own), false)?));
            }
            Err(BusError::NotAdmitted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let bus = Bus::connect(&options(Access::Credentials(self.token.clone()))).await.context("use the token")?;
        self.present(&bus, key.public_key()?).await?;
        Ok(None)
    }

    fn key(&self) -> anyhow::Result<Credentials> {
        if self.presented.exists() {
            return Ok(Credentials::open(&self.presented)?);
        }
        Ok(Credentials::make(&self.presented, Identity::Agent(self.machine.clone()))?)
    }

    async fn present(&self, bus: &Bus, public_key: String) -> anyhow::Result<()> {
        tracing::info!(machine_id = %self.machine, public_key, "presenting this machine's key");
        let request = EnrollRequest { machine: self.machine.to_string(), public_key };
        let envelope = bus.envelope(Body::EnrollRequest(request), Authority::default());
        let answer = bus.request(&subjects::enrollment(self.machine), &envelope, APPROVAL_TIMEOUT).await;
        match body(answer.context("present the key")?).map_err(anyhow::Error::msg)? {
            Body::Refusal(refusal) => anyhow::bail!("{}", Refusal::from(refusal)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn admission(state: &Path, more: &[&str], join: Option<&Path>) -> anyhow::Result<Admission> {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            common: CommonArguments,
        }
        let arguments = Arguments::parse_from(["agent"].iter().chain(more));
        Admission::new(&arguments.common, join, &MachineId::new("node-1").expect("valid"), state)
    }

    #[test]
    fn a_machine_needs_a_key_a_token_or_to_say_that_it_has_none() {
        let state = tempfile::tempdir().expect("a folder");
        let refused = format!("{:#}", admission(state.path(), &[], None).expect_err("nothing was said"));
        assert!(refused.contains("--credentials") && refused.contains("--join"), "{refused}");
        assert!(matches!(
            admission(state.path(), &["--insecure-local"], None),
            Ok(Admission::Ready(Access::InsecureLocal))
        ));
        let token = state.path().join("token");
        Credentials::make(&token, "enrollment/node-1".parse().expect("valid")).expect("made");
        assert!(matches!(admission(state.path(), &[], Some(&token)), Ok(Admission::Join { .. })));
        Credentials::make(&state.path().join(OWN), "agent/node-1".parse().expect("valid")).expect("made");
        let found = admission(state.path(), &[], Some(&token)).expect("it has a key");
        assert!(matches!(found, Admission::Ready(Access::Credentials(_))), "the key counts, not the token");
    }

    #[test]
    fn what_is_of_another_is_refused() {
        let state = tempfile::tempdir().expect("a folder");
        let token = state.path().join("token");
        Credentials::make(&token, "enrollment/node-2".parse().expect("valid")).expect("made");
        assert!(admission(state.path(), &[], Some(&token)).is_err());
        let path = state.path().join("other");
        Credentials::make(&path, "agent/node-2".parse().expect("valid")).expect("made");
        let named = path.to_string_lossy().into_owned();
        let refused = admission(state.path(), &["--credentials", &named], None).expect_err("of another machine");
        assert!(refused.to_string().contains("agent/node-2"), "{refused}");
    }
}
