//! Telling people: by e-mail, by a POST to a webhook, or by a command that the administrator configured.
//!
//! Responsible for one attempt within a deadline, and for saying why it failed. Not for what is said, to whom, nor for another attempt.
//! A user names a command and never gives one: what may run on this host is the administrator's.

mod mail;

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use muster_model::NotifyTarget;
use muster_model::text::cut;
use serde_json::Value;

pub use self::mail::{MailServer, Mailer};
use crate::http::Client;
use crate::program::Program;
use crate::{Deadline, DriverError, tls};

/// One attempt may take so long.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// Longest reason for a failure that is kept, bytes.
const REASON_BYTES_MAX: usize = 300;

/// What is said.
#[derive(Debug, Clone)]
pub struct Message {
    /// What tells this notice from all others, the same in every attempt: letters, digits, `-` and `.`.
    pub id: String,
    /// One line.
    pub subject: String,
    /// For people.
    pub text: String,
    /// The same for programs: the body of a webhook, and in the environment of a command.
    pub document: Value,
}

/// The ways by which people are told here.
#[derive(Debug, Default)]
pub struct Ways {
    /// The mail server; none where there is no e-mail.
    pub mailer: Option<Mailer>,
    /// Commands by name: a program and its arguments.
    pub commands: BTreeMap<String, Vec<String>>,
}

impl Ways {
    /// Says why a target can not be told from here; nothing where it can.
    ///
    /// # Errors
    /// Why not, and what there is.
    pub fn check(&self, target: &NotifyTarget) -> Result<(), String> {
        match target {
            NotifyTarget::Mail(_) if self.mailer.is_none() => {
                Err("this service has no mail server (its argument --smtp)".into())
            }
            NotifyTarget::Command(name) if !self.commands.contains_key(name) => {
                let known: Vec<_> = self.commands.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(format!("this service has no command `{name}` for notices; it has {known}"))
            }
            NotifyTarget::None | NotifyTarget::Mail(_) | NotifyTarget::Webhook(_) | NotifyTarget::Command(_) => Ok(()),
        }
    }

    /// Makes one attempt, within [`ATTEMPT_MAX`].
    ///
    /// # Errors
    /// Why it failed, for people.
    pub async fn tell(&self, target: &NotifyTarget, message: &Message) -> Result<(), String> {
        self.check(target)?;
        let deadline = Deadline::within(ATTEMPT_MAX);
        let told = match target {
            NotifyTarget::None => Ok(()),
            NotifyTarget::Mail(address) => match &self.mailer {
                Some(mailer) => mailer.send(address, message, deadline).await,
                None => Ok(()),
            },
            NotifyTarget::Webhook(url) => post(url, message, deadline).await,
            NotifyTarget::Command(name) => run(self.commands.get(name), message, deadline).await,
        };
        told.map_err(|error| cut(&error.to_string(), REASON_BYTES_MAX).to_owned())
    }
}

/// Posts the document. What the other side answers is never told: only whether it took it.
async fn post(url: &str, message: &Message, deadline: Deadline) -> Result<(), DriverError> {
    let client = Client::new(url, tls::system()?, Vec::new())?;
    let answered = client.ask(Method::POST, client.path_and_query(), Some(&message.document), deadline).await?;
    match answered.status.is_success() {
        true => Ok(()),
        false => Err(DriverError::Refused(format!("the webhook answered {}", answered.status))),
    }
}

/// Runs a command without a shell. What it is to say is in its environment, so that no word of a user becomes an argument.
async fn run(command: Option<&Vec<String>>, message: &Message, deadline: Deadline) -> Result<(), DriverError> {
    let Some((program, arguments)) = command.and_then(|words| words.split_first()) else {
        return Err(DriverError::Unable("the command is empty".into()));
    };
    let mut program = Program::owned((program.clone(), arguments.to_vec()));
    program.hide("MUSTER_NOTICE_ID", message.id.clone());
    program.hide("MUSTER_NOTICE_SUBJECT", message.subject.clone());
    program.hide("MUSTER_NOTICE_TEXT", message.text.clone());
    program.hide("MUSTER_NOTICE", message.document.to_string());
    program.succeed(deadline).await.map(drop)
}
