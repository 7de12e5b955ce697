//! The program ipmitool against the simulator of OpenIPMI, over the loopback.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use muster_drivers::{DriverError, Outcome, PowerDriver, act_and_read_back};
use muster_model::{PowerAction, PowerState};

use crate::support::*;

/// A controller: the simulator speaks IPMI, a script of ours is the power that it switches.
struct Controller {
    _simulator: Server,
    folder: tempfile::TempDir,
    port: u16,
}

const CHASSIS: &str = r#"cd "$(dirname "$0")"; shift
case $1 in
get) shift; for word; do echo "$word:$(cat $word 2>/dev/null || echo 0)"; done ;;
set) echo "$2 $3" >> journal; echo $3 > $2 ;;
esac"#;

const EMULATION: &str =
    "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";

/// A variable that cargo gives to tests: the environment of a running program is not to be changed.
const PASSWORD_VARIABLE: &str = "CARGO_PKG_NAME";

impl Controller {
    async fn start() -> Self {
        Self::start_with(CHASSIS).await
    }

    async fn start_with(chassis: &str) -> Self {
        packaged(&["ipmitool", "ipmi_sim"]);
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let chassis = script(folder.path(), "chassis", chassis);
        let password = env!("CARGO_PKG_NAME");
        let configuration = format!(
            "name \"muster\"\nchassis_control \"{} 0x20\"\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n\
             allowed_auths_callback md5\nallowed_auths_user md5\nallowed_auths_operator md5\nallowed_auths_admin md5\n\
             guid a123456789abcdefa123456789abcdef\nendlan\n\
             user 2 true \"muster\" \"hidden\" admin 10\nuser 3 true \"other\" \"{password}\" admin 10\n",
            chassis.display()
        );
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it is written");
        write("lan.conf", &configuration);
        write("emulation", EMULATION);
        write("password", "hidden\n");
        write("wrong", "guessed\n");
        let mut command = Command::new("ipmi_sim");
        command.args(["-n", "-c", "lan.conf", "-f", "emulation", "-s", "."]).current_dir(&folder).stdin(Stdio::null());
        let simulator = Server::start(&mut command, &folder.path().join("log"));
        let controller = Self { _simulator: simulator, folder, port };
        until("the simulator answers", || udp_is_taken(port)).await;
        controller
    }

    /// Settings name the cipher suite: this simulator can not list its own, and the program asks for the list for ten seconds.
    fn power(&self, more: &str) -> Box<dyn PowerDriver> {
        power(&format!("ipmitool host=127.0.0.1 port={} {more}", self.port))
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

fn udp_is_taken(port: u16) -> bool {
    UdpSocket::bind(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn a_controller_is_driven_by_ipmi() {
    let controller = Controller::start().await;
    let driver =
        controller.power(&format!("user=muster cipher=3 password-file={}", controller.file("password").display()));
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off));
    for action in [PowerAction::On, PowerAction::Off, PowerAction::Cycle, PowerAction::Reset] {
        confirmed(&*driver, action).await;
    }
    let journal = std::fs::read_to_string(controller.file("journal")).expect("it is kept");
    let journal: Vec<&str> = journal.lines().collect();
    assert_eq!(journal, ["power 1", "power 0", "power 0", "power 1", "reset 1"]);
    // OpenIPMI's simulator does not know the diagnostic interrupt: the controller's own words come through.
    let error = failed(&*driver, PowerAction::Dump, LIMIT).await;
    let expected = "`ipmitool` ended with 1: Set Chassis Power Control to Diag failed: Invalid data field in request";
    assert_eq!(error, DriverError::Refused(expected.into()));
}

#[tokio::test]
async fn a_controller_that_lies_is_found_out() {
    let controller = Controller::start_with("[ $2 != get ] || echo power:0").await;
    let driver =
        controller.power(&format!("user=muster cipher=3 password-file={}", controller.file("password").display()));
    let acted = act_and_read_back(&*driver, PowerAction::On, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen, acted.complaint), (Outcome::Differs, PowerState::Off, None));
}

#[tokio::test]
async fn the_password_may_be_in_the_environment_and_the_protocol_an_old_one() {
    let controller = Controller::start().await;
    let login = format!("user=other password-env={PASSWORD_VARIABLE}");
    for more in ["interface=lan", "cipher=3"] {
        let driver = controller.power(&format!("{login} {more}"));
        assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off), "{more}");
    }
    let error = state(&*controller.power("user=other password-env=NOT_SET"), LIMIT).await.expect_err("no variable");
    assert!(!error.was_begun() && error.to_string().contains("no variable NOT_SET"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_missing_one_is_not_tried() {
    let controller = Controller::start().await;
    let with = |file: &str| {
        controller.power(&format!("user=muster cipher=3 password-file={}", controller.file(file).display()))
    };
    let error = failed(&*with("wrong"), PowerAction::On, LIMIT).await;
    assert!(matches!(&error, DriverError::Refused(said) if said.starts_with("`ipmitool` ended with 1: ")), "{error}");
    let error = failed(&*with("nowhere"), PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().starts_with("read the password file "), "{error}");
    assert!(!controller.file("journal").exists());
}

/// Arguments of every ipmitool that asks a port.
fn arguments(port: u16) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let lines = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with("ipmitool\0") && line.contains(&format!("\0{port}\0"))).collect()
}

#[tokio::test]
async fn a_silent_controller_ends_by_the_deadline_and_no_password_is_seen_meanwhile() {
    packaged(&["ipmitool"]);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it has an address").port();
    let setting = format!("ipmitool host=127.0.0.1 port={port} user=muster password-env={PASSWORD_VARIABLE}");
    let asking = tokio::spawn(async move { failed(&*power(&setting), PowerAction::Off, SHORT).await });
    let mut seen = Vec::new();
    until("the program runs", || {
        seen = arguments(port);
        !seen.is_empty()
    })
    .await;
    assert!(seen.iter().all(|line| !line.contains(env!("CARGO_PKG_NAME")) && line.contains("\0-E\0")), "{seen:?}");
    let error = asking.await.expect("it ends");
    assert_eq!(error, DriverError::Unclear(format!("`ipmitool` did not end within {SHORT:?} and was killed")));
    until("the program is gone", || arguments(port).is_empty()).await;
}
