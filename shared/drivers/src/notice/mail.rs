//! E-mail through one SMTP server: a connection for each message, because there are few and none may wait for another.

use std::path::PathBuf;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use tokio::time::timeout_at;

use super::{ATTEMPT_MAX, Message};
use crate::{Deadline, DriverError};

/// Where mail is handed over, and as whom.
#[derive(Debug, Clone)]
pub struct MailServer {
    /// `smtp://HOST:PORT`, `smtp://HOST:587?tls=required`, `smtps://HOST`.
    pub url: String,
    /// User of the server; none where it asks for none.
    pub user: Option<String>,
    /// File with the password: read for each message, so that a changed one counts at once.
    pub password_file: Option<PathBuf>,
    /// Address that mail comes from.
    pub from: String,
}

/// The way to a mail server.
#[derive(Debug)]
pub struct Mailer {
    server: MailServer,
    from: Address,
}

impl Mailer {
    /// The way to a server. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL or the address is none.
    pub fn new(server: MailServer) -> Result<Self, DriverError> {
        let unable = |why: String| DriverError::Unable(format!("{why}; look at the arguments of this service"));
        let from = server.from.parse();
        let from = from.map_err(|error| unable(format!("read the address `{}`: {error}", server.from)))?;
        let read = AsyncSmtpTransport::<Tokio1Executor>::from_url(&server.url);
        read.map_err(|error| unable(format!("read the mail server's URL: {error}")))?;
        Ok(Self { server, from })
    }

    /// Sends one message.
    pub(super) async fn send(&self, to: &str, message: &Message, deadline: Deadline) -> Result<(), DriverError> {
        let mail = self.write(to, message)?;
        let transport = self.transport()?;
        match timeout_at(deadline.at(), transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(DriverError::Refused(chain(&error))),
            Err(_) => {
                Err(DriverError::Unclear(format!("the mail server did not answer within {:?}", deadline.given())))
            }
        }
    }

    /// The same message has the same id in every attempt, by which a mail program knows one that came twice.
    fn write(&self, to: &str, message: &Message) -> Result<lettre::Message, DriverError> {
        let unable = |why: String| DriverError::Unable(format!("write a mail to `{to}`: {why}"));
        let to: Address = to.parse().map_err(|error: lettre::address::AddressError| unable(error.to_string()))?;
        lettre::Message::builder()
            .from(Mailbox::new(Some("Muster".into()), self.from.clone()))
            .to(Mailbox::new(None, to.clone()))
            .subject(&message.subject)
            .message_id(Some(format!("<{}@{}>", message.id, self.from.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(message.text.clone())
            .map_err(|error| unable(error.to_string()))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, DriverError> {
        let unable = |why: String| DriverError::Unable(why);
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&self.server.url);
        let builder = builder.map_err(|error| unable(chain(&error)))?.timeout(Some(ATTEMPT_MAX));
        let Some(user) = &self.server.user else { return Ok(builder.build()) };
        let password = match &self.server.password_file {
            None => String::new(),
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| {
                    unable(format!("read the password of the mail server in {}: {error}", file.display()))
                })?
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        Ok(builder.credentials(Credentials::new(user.clone(), password)).build())
    }
}

/// An error with what it came from: the outermost one only says that it was the connection.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
