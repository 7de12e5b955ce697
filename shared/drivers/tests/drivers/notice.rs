//! Telling people: a mail server, a webhook and commands that take it, refuse it, or hang.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_drivers::notice::{ATTEMPT_MAX, MailServer, Mailer, Message, Ways};
use muster_model::NotifyTarget;
use muster_testkit::{Reception, Sink};
use serde_json::json;

/// What a deadline may be overrun by, on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(10);

fn message() -> Message {
    Message {
        id: "muster-4-7-ready-0-user".into(),
        subject: "Muster: reservation 4 is ready".into(),
        text: "reservation 4 is ready.\n\nMachines: 1\n.\n  m1  ssh m1\n".into(),
        document: json!({ "notice": "ready", "reservation": 4 }),
    }
}

fn ways(port: u16, commands: &[(&str, &[&str])]) -> Ways {
    let server = MailServer {
        url: format!("smtp://127.0.0.1:{port}"),
        user: None,
        password_file: None,
        ca_file: None,
        from: "muster@lab.example".into(),
    };
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let commands: BTreeMap<_, _> = commands.iter().map(|(name, line)| ((*name).to_owned(), words(line))).collect();
    Ways { mailer: Some(Mailer::new(server).expect("it is a server")), commands }
}

fn mail() -> NotifyTarget {
    NotifyTarget::Mail("anna@example.com".into())
}

fn command(name: &str) -> NotifyTarget {
    NotifyTarget::Command(name.into())
}

#[tokio::test]
async fn a_mail_says_who_what_and_which_it_is() {
    let sink = Sink::mail(&[Reception::Take]).expect("it listens");
    ways(sink.port(), &[]).tell(&mail(), &message()).await.expect("it is taken");
    let got = sink.got();
    assert_eq!(got.len(), 1);
    for line in [
        "To: anna@example.com",
        "Subject: Muster: reservation 4 is ready",
        "Message-ID: <muster-4-7-ready-0-user@lab.example>",
        "m1  ssh m1",
    ] {
        assert!(got[0].contains(line), "{line}: {}", got[0]);
    }
}

#[tokio::test]
async fn a_mail_server_that_refuses_is_told_of_and_one_that_hangs_is_left() {
    let sink = Sink::mail(&[Reception::Fail, Reception::Hang]).expect("it listens");
    let ways = ways(sink.port(), &[]);
    let refused = ways.tell(&mail(), &message()).await.expect_err("it refuses");
    assert!(refused.contains("nobody of that name"), "{refused}");
    let begun = Instant::now();
    let hung = ways.tell(&mail(), &message()).await.expect_err("it hangs");
    assert!(begun.elapsed() < ATTEMPT_MAX + SLACK, "{hung}");
    assert!(sink.got().is_empty());
}

#[tokio::test]
async fn a_webhook_gets_the_document_and_its_failure_is_one() {
    let sink = Sink::webhook(&[Reception::Fail, Reception::Take, Reception::Hang]).expect("it listens");
    let target = NotifyTarget::Webhook(format!("http://127.0.0.1:{}/hook?key=1", sink.port()));
    let ways = Ways::default();
    let failed = ways.tell(&target, &message()).await.expect_err("it answers 500");
    assert!(failed.contains("500"), "{failed}");
    ways.tell(&target, &message()).await.expect("it is taken");
    assert_eq!(sink.got(), [message().document.to_string()]);
    let begun = Instant::now();
    let hung = ways.tell(&target, &message()).await.expect_err("it hangs");
    assert!(begun.elapsed() < ATTEMPT_MAX + SLACK && hung.contains("did not answer"), "{hung}");
}

#[tokio::test]
async fn a_command_reads_what_it_is_to_say_from_its_environment() {
    let folder = tempfile::tempdir().expect("a folder is made");
    let file = folder.path().join("said");
    let script = format!("printf '%s|%s' \"$MUSTER_NOTICE_SUBJECT\" \"$MUSTER_NOTICE\" > {}", file.display());
    let lines: &[(&str, &[&str])] = &[
        ("file", &["/bin/sh", "-c", &script]),
        ("wrong", &["/bin/sh", "-c", "echo no pager >&2; exit 3"]),
        ("hangs", &["/bin/sh", "-c", "sleep 600"]),
    ];
    let ways = ways(9, lines);
    ways.tell(&command("file"), &message()).await.expect("it runs");
    let said = std::fs::read_to_string(&file).expect("it wrote");
    assert_eq!(said, format!("Muster: reservation 4 is ready|{}", message().document));
    let failed = ways.tell(&command("wrong"), &message()).await.expect_err("it fails");
    assert!(failed.contains("ended with 3: no pager"), "{failed}");
    let begun = Instant::now();
    let hung = ways.tell(&command("hangs"), &message()).await.expect_err("it hangs");
    assert!(begun.elapsed() < ATTEMPT_MAX + SLACK && hung.contains("was killed"), "{hung}");
    let none = ways.tell(&command("other"), &message()).await.expect_err("there is none");
    assert!(none.contains("file, hangs, wrong"), "{none}");
}

#[test]
fn a_server_that_is_none_is_refused_at_the_start() {
    let server = |url: &str, from: &str, user: Option<&str>| {
        let (user, url, from) = (user.map(str::to_owned), url.to_owned(), from.to_owned());
        Mailer::new(MailServer { url, user, password_file: None, ca_file: None, from })
    };
    assert!(server("smtp://mail:25", "muster", None).is_err());
    assert!(server("mail", "muster@lab.example", None).is_err());
    assert!(server("http://mail", "muster@lab.example", None).is_err());
    for url in ["smtp://mail:25", "smtp://mail:587?tls=opportunistic"] {
        let error = server(url, "muster@lab.example", Some("muster")).expect_err("the password would be readable");
        assert!(error.to_string().contains("tls=required"), "{error}");
    }
    for url in ["smtps://mail", "smtp://mail:587?tls=required"] {
        assert!(server(url, "muster@lab.example", Some("muster")).is_ok(), "{url}");
    }
}
