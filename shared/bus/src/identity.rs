//! Who connects: the identities of a pool. Each has a key of its own, and an inbox that nobody else may listen on.
//!
//! Not responsible for what an identity may say and hear (permissions.rs), nor for its key (credentials.rs).

use std::fmt;
use std::str::FromStr;

use muster_model::MachineId;

use crate::subjects::Service;

/// What the inboxes of all identities begin with.
pub(crate) const INBOX: &str = "_INBOX";

/// Begins the part of an inbox that agents answer in. What clients make up for other answers is longer.
pub(crate) const FROM_AGENT: &str = "agent";

/// One identity, printed and parsed as `agent/node-1`, `service/scheduler`, `user/anna`, `enrollment/node-1` or `operator/servers`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The agent of a machine.
    Agent(MachineId),
    /// A service, with all of its instances.
    Service(Service),
    /// A person, or a program that works for one.
    User(UserName),
    /// A machine that has a token, and presents a key.
    Enrollment(MachineId),
    /// Who makes the servers read their configuration again; it is in the account of the system and hears nothing of the pool.
    Operator,
}

/// A text that names no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} names no identity: {reason}; there are agent/MACHINE, service/NAME, user/NAME")]
pub struct IdentityError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The only operator of a pool.
const OPERATOR: &str = "servers";

impl Identity {
    /// What kind of identity it is: the first half of its name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Service(_) => "service",
            Self::User(_) => "user",
            Self::Enrollment(_) => "enrollment",
            Self::Operator => "operator",
        }
    }

    /// Its name among its kind: the second half.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(machine) | Self::Enrollment(machine) => machine.as_str(),
            Self::Service(service) => service.as_str(),
            Self::User(name) => &name.0,
            Self::Operator => OPERATOR,
        }
    }

    /// It as two tokens of a subject: `user.anna`.
    #[must_use]
    pub fn tokens(&self) -> String {
        format!("{}.{}", self.kind(), self.name())
    }

    /// The identity that two tokens of a subject stand for; none where they stand for no one.
    #[must_use]
    pub fn from_tokens(tokens: &str) -> Option<Self> {
        let (kind, name) = tokens.split_once('.')?;
        format!("{kind}/{name}").parse().ok()
    }

    /// What every inbox of this identity begins with: `_INBOX.user.anna`.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("{INBOX}.{}", self.tokens())
    }

    /// The part of its inbox in which the agent of a machine answers it, and no other agent may: `_INBOX.user.anna.agent.node-1`.
    #[must_use]
    pub fn inbox_for_agent(&self, machine: &MachineId) -> String {
        format!("{}.{FROM_AGENT}.{machine}", self.inbox())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.kind(), self.name()))
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let wrong = |reason: String| IdentityError { text: text.to_owned(), reason };
        let (kind, name) = text.split_once('/').ok_or_else(|| wrong("it has no kind".into()))?;
        let machine = || MachineId::new(name).map_err(|error| wrong(error.to_string()));
        match kind {
            "agent" => Ok(Self::Agent(machine()?)),
            "enrollment" => Ok(Self::Enrollment(machine()?)),
            "service" => {
                let service = Service::ALL.into_iter().find(|service| service.as_str() == name);
                service.map(Self::Service).ok_or_else(|| wrong(format!("there is no service `{name}`")))
            }
            "user" => UserName::new(name).map(Self::User).map_err(wrong),
            "operator" if name == OPERATOR => Ok(Self::Operator),
            _ => Err(wrong(format!("there is no kind `{kind}` with that name"))),
        }
    }
}

/// Name of a person: one token of a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

impl UserName {
    /// Checks a name.
    ///
    /// # Errors
    /// Says the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if (1..=32).contains(&text.len()) && is_word {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no name of a person: 1 to 32 of a-z, A-Z, 0-9, `-` and `_`"))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person may do. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look at everything, and change nothing.
    Viewer,
    /// Start and stop tests, bring modules, reserve machines, fire triggers.
    Tester,
    /// Say what is on machines: activate, protect, set, switch, boot, bring kernels.
    Owner,
    /// Set the pool up and mend it: streams, logs, the store, and who may join.
    Administrator,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Tester, Self::Owner, Self::Administrator];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Tester => "tester",
            Self::Owner => "owner",
            Self::Administrator => "administrator",
        }
    }

    /// The role of a name; none where there is no such role.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_printed_as_they_are_parsed() {
        for text in
            ["agent/node-1", "service/machine-lifecycle", "user/Anna_2", "enrollment/node-1", "operator/servers"]
        {
            assert_eq!(text.parse::<Identity>().map(|identity| identity.to_string()), Ok(text.to_owned()));
        }
        let inbox = "user/anna".parse::<Identity>().map(|identity| identity.inbox());
        assert_eq!(inbox, Ok("_INBOX.user.anna".to_owned()));
    }

    #[test]
    fn tokens_of_a_subject_name_an_identity_or_nobody() {
        for text in ["agent/node-1", "service/scheduler", "user/Anna_2"] {
            let identity: Identity = text.parse().expect("valid");
            assert_eq!(Identity::from_tokens(&identity.tokens()), Some(identity));
        }
        for nobody in ["", "user", "user.", "user.a.b", "root.a", "user.*", "agent.Node"] {
            assert_eq!(Identity::from_tokens(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn what_could_reach_into_the_subjects_of_others_is_no_identity() {
        let wrong = [
            "agent/*",
            "agent/>",
            "user/a.b",
            "user/>",
            "user/",
            "user/a b",
            "service/nobody",
            "root/a",
            "anna",
            "operator/b",
        ];
        for text in wrong {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
