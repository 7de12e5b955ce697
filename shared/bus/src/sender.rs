//! Who sent a request: what the subject proves, and in whose name that identity may speak.
//!
//! Pure. That nobody publishes on another's subject is the servers' to enforce (permissions.rs).

use muster_model::{Refusal, RefusalCode};

use crate::Identity;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// Nobody can say: the bus lets everybody in.
    Unproven,
    /// The identity whose key the connection has.
    Proven(Identity),
}

impl Sender {
    /// The identity, as logs keep it; empty where nobody can say.
    #[must_use]
    pub fn as_logged(&self) -> String {
        match self {
            Self::Unproven => String::new(),
            Self::Proven(identity) => identity.to_string(),
        }
    }

    /// Checks the name that a request says that it is given in.
    ///
    /// A person speaks for nobody else. An agent speaks for its machine, and for the people whose processes ask it; a service for itself.
    ///
    /// # Errors
    /// The refusal of who says another's name.
    pub fn check(&self, actor: &str) -> Result<(), Refusal> {
        let Self::Proven(identity) = self else { return Ok(()) };
        let (kind, name) = actor.split_once(':').unwrap_or(("", actor));
        let may = match identity {
            Identity::User(user) => kind == "user" && name == user.as_str(),
            Identity::Agent(machine) => kind == "user" || kind == "machine" && name == machine.as_str(),
            Identity::Service(_) => kind == "service",
            Identity::Enrollment(_) | Identity::Operator => false,
        };
        if may || actor.is_empty() { Ok(()) } else { Err(refusal(identity, actor)) }
    }
}

fn refusal(identity: &Identity, actor: &str) -> Refusal {
    let what = format!("act in the name of {actor}");
    let why = format!("it was sent with the key of {identity}");
    Refusal::new(
        RefusalCode::Refused,
        what,
        why,
        "give the --credentials FILE of who asks, or leave the other name out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_in_the_name_of_another() {
        let may = |identity: &str, actor: &str| {
            Sender::Proven(identity.parse().expect("valid")).check(actor).map_err(|refusal| refusal.why)
        };
        for (identity, actor) in [
            ("user/anna", "user:anna"),
            ("user/anna", ""),
            ("agent/node-1", "machine:node-1"),
            ("agent/node-1", "user:anna"),
            ("service/scheduler", ""),
        ] {
            assert_eq!(may(identity, actor), Ok(()), "{identity} {actor}");
        }
        for (identity, actor) in [
            ("user/anna", "user:bert"),
            ("user/anna", "user:Anna"),
            ("user/anna", "anna"),
            ("user/node-1", "machine:node-1"),
            ("agent/node-1", "machine:node-2"),
            ("agent/node-1", "service:scheduler"),
            ("enrollment/node-1", "user:anna"),
        ] {
            assert_eq!(may(identity, actor), Err(format!("it was sent with the key of {identity}")), "{actor}");
        }
        assert!(Sender::Unproven.check("user:anyone").is_ok(), "on an open bus everybody is believed");
    }
}
