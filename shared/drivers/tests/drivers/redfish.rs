//! Redfish against a service that is not ours (sushy-tools, of OpenStack), over TLS with a password, and against services that lie.

use std::process::{Command, Stdio};
use std::time::Duration;

use muster_drivers::{DriverError, Outcome, Pace, act_and_read_back};
use muster_model::{PowerAction, PowerState};

use crate::rude;
use crate::support::*;

/// The service, pinned: its fake machines take 1 to 11 s for what they are told, as hardware does.
const SUSHY: &str = "sushy-tools==2.2.0";
/// The system that it has without a configuration of its own.
const SYSTEM: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";

/// A Redfish service.
struct Service {
    _server: Server,
    folder: tempfile::TempDir,
    port: u16,
}

impl Service {
    async fn start() -> Self {
        packaged(&["openssl"]);
        let packages = python_package(SUSHY);
        let folder = tempfile::tempdir().expect("a folder");
        certify(folder.path());
        let hashed = "import bcrypt; print('admin:' + bcrypt.hashpw(b'hidden', bcrypt.gensalt(4)).decode())";
        let hashed = Command::new("python3").args(["-c", hashed]).env("PYTHONPATH", &packages).output();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("users"), hashed.expect("it is hashed").stdout).expect("it is written");
        std::fs::write(path("password"), "hidden\n").expect("it is written");
        std::fs::write(path("wrong"), "guessed\n").expect("it is written");
        let configuration = format!(
            "SUSHY_EMULATOR_AUTH_FILE = '{}'\nSUSHY_EMULATOR_STATE_DIR = '{}'\n",
            path("users").display(),
            folder.path().display()
        );
        std::fs::write(path("configuration"), configuration).expect("it is written");
        let port = free_port();
        let mut command = Command::new("python3");
        command.args(["-c", "from sushy_tools.emulator.main import main; main()", "--fake", "-i", "127.0.0.1"]);
        command.args(["-p", &port.to_string(), "--config"]).arg(path("configuration"));
        command.arg("--ssl-certificate").arg(path("server.pem")).arg("--ssl-key").arg(path("server.key"));
        command.env("PYTHONPATH", &packages).stdin(Stdio::null());
        let server = Server::start(&mut command, &path("log"));
        until("the service listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Self { _server: server, folder, port }
    }

    fn setting(&self, password: &str, trust: &str) -> String {
        let password = self.file(password);
        let port = self.port;
        format!(
            "redfish url=https://127.0.0.1:{port}/redfish/v1/Systems/{SYSTEM} user=admin password-file={password} {trust}"
        )
    }

    fn trusting(&self) -> String {
        format!("ca-file={}", self.file("ca.pem"))
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[tokio::test]
async fn a_controller_is_driven_by_redfish() {
    let service = Service::start().await;
    let driver = power(&service.setting("password", &service.trusting()));
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off));
    // The service answers at once, and the machine follows later.
    for action in [PowerAction::On, PowerAction::Reset] {
        confirmed(&*driver, action).await;
    }
    let error = failed(&*driver, PowerAction::Dump, LIMIT).await;
    assert!(error.was_begun() && error.to_string().contains("Nmi"), "its own words come through: {error}");
}

#[tokio::test]
async fn who_is_not_believed_is_told_nothing() {
    let service = Service::start().await;
    let driver = power(&service.setting("password", "insecure=yes"));
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off));
    let error = failed(&*power(&service.setting("password", "")), PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().contains("UnknownIssuer"), "{error}");
    let stranger = tempfile::tempdir().expect("a folder");
    certify(stranger.path());
    let trust = format!("ca-file={}", stranger.path().join("ca.pem").display());
    let error = failed(&*power(&service.setting("password", &trust)), PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().contains("invalid peer certificate"), "{error}");
    let error = failed(&*power(&service.setting("wrong", &service.trusting())), PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().ends_with("; look at user and password"), "{error}");
    let error = failed(&*power(&service.setting("password", "ca-file=/nowhere")), PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().starts_with("read the certificates of /nowhere: "), "{error}");
    let other = service.setting("password", &service.trusting()).replace(SYSTEM, "other");
    let error = state(&*power(&other), LIMIT).await.expect_err("there is no such system");
    assert!(error.to_string().contains("/redfish/v1/Systems"), "{error}");
}

fn answer(status: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A setting for a service of ours.
fn setting(port: u16) -> String {
    // The variable is one that cargo gives to tests.
    format!("redfish url=http://127.0.0.1:{port}/redfish/v1/Systems/1 user=u password-env=CARGO_PKG_NAME insecure=yes")
}

#[tokio::test]
async fn a_service_that_lies_is_found_out() {
    let lying = rude::web(|request| match request.starts_with("POST") {
        true => answer("204 No Content", ""),
        false => answer("200 OK", r#"{"PowerState": "Off"}"#),
    });
    let acted = act_and_read_back(&*power(&setting(lying)), PowerAction::On, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen, acted.complaint), (Outcome::Differs, PowerState::Off, None));
}

#[tokio::test]
async fn a_service_that_does_not_permit_an_action_is_not_asked_for_it() {
    let picky = rude::web(|request| {
        assert!(request.starts_with("GET"), "{request}");
        answer(
            "200 OK",
            r##"{"PowerState": "On", "Actions": {"#ComputerSystem.Reset":
            {"target": "/reset", "ResetType@Redfish.AllowableValues": ["On", "ForceOff"]}}}"##,
        )
    });
    let error = failed(&*power(&setting(picky)), PowerAction::Dump, LIMIT).await;
    assert_eq!(error, DriverError::Unable("the service has no Nmi; it permits On, ForceOff".into()));
}

#[tokio::test]
async fn a_service_that_hangs_breaks_off_or_talks_rubbish_is_no_evidence() {
    let silent = rude::web(|_| None);
    let error = state(&*power(&setting(silent)), SHORT).await.expect_err("it says nothing");
    assert_eq!(error, DriverError::Unclear(format!("127.0.0.1:{silent} did not answer within {SHORT:?}")));
    let silent_to_orders = rude::web(|request| match request.starts_with("POST") {
        true => None,
        false => answer("200 OK", r#"{"PowerState": "On"}"#),
    });
    let driver = power(&setting(silent_to_orders));
    let error = failed(&*driver, PowerAction::Off, SHORT).await;
    assert!(matches!(error, DriverError::Unclear(_)), "it may have been done: {error}");
    let rubbish = rude::web(|_| answer("200 OK", "<html>"));
    let error = state(&*power(&setting(rubbish)), LIMIT).await.expect_err("it is no JSON");
    assert_eq!(error.to_string(), "/redfish/v1/Systems/1 answers with something else than JSON");
    let other_word = rude::web(|_| answer("200 OK", r#"{"PowerState": 7}"#));
    assert_eq!(state(&*power(&setting(other_word)), LIMIT).await, Ok(PowerState::Unknown));
    let endless =
        rude::web(|_| Some(format!("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{}", "x".repeat(2 << 20))));
    assert!(state(&*power(&setting(endless)), LIMIT).await.is_err());
    let broken = rude::web(|_| Some("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{".into()));
    assert!(matches!(state(&*power(&setting(broken)), LIMIT).await, Err(DriverError::Unclear(_))));
    let nobody = free_port();
    let pace = Pace { look_max: Duration::from_secs(1), ..HASTY };
    let acted = act_and_read_back(&*power(&setting(nobody)), PowerAction::On, LIMIT, &pace).await;
    assert!(acted.complaint.is_some_and(|error| !error.was_begun()));
}
