//! E-mail through one SMTP server: a connection for each message, because there are few and none may wait for another.

use std::path::{Path, PathBuf};

use hyper::Uri;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
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
    /// File with the certificates that the server is believed by: read for each message. The system's, where none is given.
    pub ca_file: Option<PathBuf>,
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
    /// When the URL or the address is none, or when a password or certificates are given for a connection that would not be secured.
    pub fn new(server: MailServer) -> Result<Self, DriverError> {
        let unable = |why: String| DriverError::Unable(format!("{why}; look at the arguments of this service"));
        let from = server.from.parse();
        let from = from.map_err(|error| unable(format!("read the address `{}`: {error}", server.from)))?;
        let read = AsyncSmtpTransport::<Tokio1Executor>::from_url(&server.url);
        read.map_err(|error| unable(format!("read the mail server's URL: {error}")))?;
        if !is_secured(&server.url) && (server.user.is_some() || server.ca_file.is_some()) {
            let why = "a password or certificates are for a connection that is secured, and this one is not: \
                       say smtps://HOST or smtp://HOST:587?tls=required";
            return Err(unable(format!("use the mail server `{}`: {why}", server.url)));
        }
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
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&self.server.url);
        let builder = builder.map_err(|error| DriverError::Unable(chain(&error)))?.timeout(Some(ATTEMPT_MAX));
        let builder = match &self.server.ca_file {
            None => builder,
            Some(file) => builder.tls(secured_by(&self.server.url, file)?),
        };
        let Some(user) = &self.server.user else { return Ok(builder.build()) };
        let password = match &self.server.password_file {
            None => String::new(),
            Some(file) => password_of(file)?,
        };
        Ok(builder.credentials(Credentials::new(user.clone(), password)).build())
    }
}

/// Whether nothing is said to the server before the connection is encrypted.
fn is_secured(url: &str) -> bool {
    url.parse().is_ok_and(|uri: Uri| {
        is_wrapped(&uri) || uri.query().unwrap_or_default().split('&').any(|pair| pair == "tls=required")
    })
}

/// Whether the connection is encrypted from its first byte (RFC 8314), and not by STARTTLS (RFC 3207).
fn is_wrapped(uri: &Uri) -> bool {
    uri.scheme_str() == Some("smtps")
}

/// How a connection is secured where only the certificates of a file are believed.
fn secured_by(url: &str, ca_file: &Path) -> Result<Tls, DriverError> {
    let unable = |why: String| {
        DriverError::Unable(format!("read the certificates of the mail server in {}: {why}", ca_file.display()))
    };
    let pem = std::fs::read(ca_file).map_err(|error| unable(error.to_string()))?;
    let certificates = Certificate::from_pem(&pem).map_err(|error| unable(chain(&error)))?;
    let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| unable(error.to_string()))?;
    let parameters = TlsParameters::builder(uri.host().unwrap_or_default().to_owned())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(certificates)
        .build()
        .map_err(|error| unable(chain(&error)))?;
    Ok(if is_wrapped(&uri) { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn password_of(file: &Path) -> Result<String, DriverError> {
    let read = std::fs::read_to_string(file).map_err(|error| {
        DriverError::Unable(format!("read the password of the mail server in {}: {error}", file.display()))
    })?;
    Ok(read.lines().next().unwrap_or_default().to_owned())
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
