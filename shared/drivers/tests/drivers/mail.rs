//! Mail through a server that is not ours (aiosmtpd) and asks for TLS and a login.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use muster_drivers::notice::{MailServer, Mailer, Message, Ways};
use muster_model::NotifyTarget;
use serde_json::json;

use crate::support::*;

/// The server, pinned.
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// A mail server with TLS and one user.
struct Server {
    _server: crate::support::Server,
    folder: tempfile::TempDir,
    url: String,
}

impl Server {
    /// Starts one: `starttls` secures a connection when it is asked to, `wrapped` from the first byte.
    async fn start(way: &str) -> Self {
        packaged(&["openssl"]);
        let packages = python_package(AIOSMTPD);
        let folder = tempfile::tempdir().expect("a folder");
        certify(folder.path());
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("password"), "hidden\n").expect("it is written");
        std::fs::write(path("wrong"), "guessed\n").expect("it is written");
        let port = free_port();
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("mail_server.py")]).arg(folder.path()).args([&port.to_string(), way]);
        command.env("PYTHONPATH", &packages).stdin(Stdio::null());
        let server = crate::support::Server::start(&mut command, &path("log"));
        until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        let url = match way {
            "wrapped" => format!("smtps://127.0.0.1:{port}"),
            _ => format!("smtp://127.0.0.1:{port}?tls=required"),
        };
        Self { _server: server, folder, url }
    }

    /// Sends one mail with a password and certificates of these files, or says why not.
    async fn send(&self, password: &str, ca_file: Option<PathBuf>) -> Result<(), String> {
        let server = MailServer {
            url: self.url.clone(),
            user: Some("muster".into()),
            password_file: Some(self.folder.path().join(password)),
            ca_file,
            from: "muster@lab.example".into(),
        };
        let ways = Ways { mailer: Some(Mailer::new(server).expect("it is a server")), ..Ways::default() };
        let message = Message {
            id: "muster-4-7-ready-0-user".into(),
            subject: "Muster: reservation 4 is ready".into(),
            text: "reservation 4 is ready.\n".into(),
            document: json!({}),
        };
        ways.tell(&NotifyTarget::Mail("anna@example.com".into()), &message).await
    }

    fn authority(&self) -> Option<PathBuf> {
        Some(self.folder.path().join("ca.pem"))
    }

    fn mails(&self) -> usize {
        let mails = std::fs::read_to_string(self.folder.path().join("mail")).unwrap_or_default();
        mails.matches("Subject: Muster: reservation 4 is ready").count()
    }
}

#[tokio::test]
async fn a_mail_goes_out_over_tls_with_a_login() {
    for way in ["starttls", "wrapped"] {
        let server = Server::start(way).await;
        server.send("password", server.authority()).await.unwrap_or_else(|why| panic!("{way}: {why}"));
        assert_eq!(server.mails(), 1, "{way}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_believed_gets_neither_password_nor_mail() {
    for way in ["starttls", "wrapped"] {
        let server = Server::start(way).await;
        let stranger = tempfile::tempdir().expect("a folder");
        certify(stranger.path());
        for ca_file in [None, Some(stranger.path().join("ca.pem"))] {
            let why = server.send("password", ca_file).await.expect_err("nobody vouches for it");
            assert!(why.contains("invalid peer certificate"), "{way}: {why}");
        }
        let why = server.send("password", Some("/nowhere".into())).await.expect_err("there are none");
        assert!(why.contains("read the certificates of the mail server in /nowhere"), "{way}: {why}");
        let why = server.send("wrong", server.authority()).await.expect_err("it is the wrong password");
        assert!(why.contains("535"), "{way}: {why}");
        assert_eq!(server.mails(), 0, "{way}");
    }
}
