use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::MachineId;

const POWER: [&str; 10] = [
    "ipmitool host=bmc-{machine} user=admin password-file=/etc/muster/bmc",
    "ipmitool host=10.0.0.7 port=9001 user=admin password-env=BMC_PASSWORD interface=lan cipher=17 domain=rack-3",
    "command on='pdu on {machine}' off='pdu off {machine}' state='pdu state {machine}' state-on=ON",
    r"command cycle='sh -c '\''echo it'\''\'\'''\''s on'\'''",
    "libvirt uri=qemu:///system guest={machine} dump-file=/dumps/{machine}",
    "redfish url=https://bmc-{machine}/redfish/v1/Systems/1 user=root password-file=/etc/muster/bmc ca-file=/etc/ca.pem",
    "qemu socket=/run/{machine}.qmp start='qemu-system-x86_64 -qmp unix:/run/{machine}.qmp,server=on,wait=off'",
    "qemu socket=/s start='vm start' kernel-folder=/kernels command-line='console=ttyS0 root=/dev/vda1'",
    "manual domain=lab",
    "simulated",
];

const SNAPSHOTS: [&str; 6] = [
    "command revert='snap back {machine}' take='snap take {machine}' exists='snap has {machine}'",
    "libvirt uri=qemu:///system guest={machine} name=before-test",
    "manual",
    "qemu socket=/run/{machine}.qmp",
    "qemu-overlay socket=/run/{machine}.qmp start='vm start {machine}' base=/img/base.raw overlay=/run/{machine}.qcow2 base-format=raw",
    "simulated directory=/tmp/lab name=fresh",
];

#[test]
fn settings_are_printed_as_they_are_typed() {
    for text in POWER {
        assert_eq!(text.parse::<PowerSpec>().expect(text).to_string(), text);
    }
    for text in SNAPSHOTS {
        assert_eq!(text.parse::<SnapshotSpec>().expect(text).to_string(), text);
    }
}

#[test]
fn what_a_driver_assumes_is_not_printed() {
    let typed = r#"ipmitool  user="admin" host=bmc port=623 interface=lanplus password-file=/f"#;
    let printed = "ipmitool host=bmc user=admin password-file=/f";
    assert_eq!(typed.parse::<PowerSpec>().map(|spec| spec.to_string()), Ok(printed.to_owned()));
    let typed = "qemu socket=/s name=clean".parse::<SnapshotSpec>();
    assert_eq!(typed.map(|spec| spec.to_string()), Ok("qemu socket=/s".to_owned()));
}

fn refused(text: &str) -> String {
    let error = text.parse::<PowerSpec>().map(|spec| spec.to_string());
    error.expect_err(text).to_string()
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    for (text, expected) in [
        ("", "it is empty; write a driver and its keys: command, ipmitool, libvirt, manual, qemu, redfish, simulated"),
        ("ipmi host=b", "`ipmi` is no driver; write one of command, ipmitool, libvirt"),
        ("manual now", "`now` is no `key=value`"),
        ("manual domain=", "`domain=` is no `key=value`"),
        ("manual host=b", "manual has no key `host`; it takes domain"),
        ("manual domain=a domain=b", "`domain=` is there twice"),
        ("manual domain='a b'", "`domain=a b` is not valid: 1 to 64 of"),
        ("libvirt uri=qemu:///system domain=vm1", "libvirt needs `guest=`: the name of the virtual machine; `domain="),
        ("command on='pdu on", "a ' is never closed"),
        ("command on=\"pdu 'on\"", "`on=pdu 'on` is not valid: a ' is never closed"),
        ("command on=' '", "`on= ` is not valid: it names no program"),
        ("command state=s", "command needs `on= or off= or cycle= or reset=`"),
        ("command on=a state-on=x state-off=X", "`state-on=x` is not valid: on and off would be the same word"),
        ("command on='pdu {host}'", "`on=` has the placeholder `{host}`; the only one is {machine}"),
        ("ipmitool host=b user=u", "ipmitool needs `password-file= or password-env=`"),
        ("ipmitool host=b user=u password-file=/f password-env=E", "`password-file=` and `password-env=` are both"),
        ("ipmitool host=b user=u password-file=/f port=x", "`port=x` is not valid: write a number from 0 to 65535"),
        ("ipmitool host=b user=u password=hunter2", "`password=` has a password in it"),
        ("redfish url=https://u:p@bmc/x user=u password-file=/f", "`url=` has a password in it"),
        ("redfish url=http://bmc/x user=u password-file=/f", "`url=http://bmc/x` is not valid: the password would be"),
        ("redfish url=bmc user=u password-file=/f", "`url=bmc` is not valid: it begins with https://"),
        ("qemu socket=/s kernel-folder=/k", "qemu needs `start=`: the program that starts QEMU, also with a kernel"),
        ("qemu socket=/s start=vm command-line=quiet", "qemu needs `kernel-folder=`: where the kernels are kept"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
    assert!(!refused("ipmitool host=b user=u password=hunter2").contains("hunter2"), "it is told to nobody");
    assert!(refused(&format!("manual domain={}", "a".repeat(5000))).starts_with("it has 5014 bytes; write at most"));
}

#[test]
fn a_driver_tells_what_it_can_do() {
    use PowerAction::{Cycle, Dump, Off, On, Reset};
    for (text, actions, reads_state) in [
        ("manual", vec![On, Off, Cycle, Reset], false),
        ("simulated", vec![On, Off, Cycle, Reset, Dump], true),
        ("command on=a off=b", vec![On, Off, Cycle], false),
        ("command on=a state=s", vec![On], true),
        ("command cycle=a", vec![Cycle], false),
        ("qemu socket=/s", vec![Off, Reset, Dump], true),
    ] {
        let spec: PowerSpec = text.parse().expect(text);
        assert_eq!((spec.capabilities(), spec.reads_state()), (BTreeSet::from_iter(actions), reads_state), "{text}");
    }
}

#[test]
fn a_command_line_is_split_before_the_machine_is_filled_in() {
    let spec: PowerSpec = "command off='/bin/pdu --outlet \"rack 1/{machine}\" off'".parse().expect("it is right");
    let PowerMeans::Command(command) = spec.means else { panic!("another driver: {spec:?}") };
    let machine = MachineId::new("m1").expect("a name");
    let (program, arguments) = command.programs[&PowerAction::Off].fill(&machine);
    assert_eq!(
        (program.as_str(), arguments),
        ("/bin/pdu", ["--outlet", "rack 1/m1", "off"].map(String::from).to_vec())
    );
}

/// Texts with all that quoting has to bear, and no placeholder but the right one.
fn value() -> impl Strategy<Value = String> {
    "([a-z0-9'\"\\\\ $`%=:/{}-]|\\{machine\\}|\\PC){1,12}"
        .prop_filter("another placeholder", |text| Template::new(text).is_ok())
}

fn command_line() -> impl Strategy<Value = String> {
    prop::collection::vec(value(), 1..4).prop_map(|words| words::join(words.iter().map(String::as_str)))
}

fn key(name: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    value.prop_map(move |value| format!(" {name}={}", words::quote(&value)))
}

fn maybe(name: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::option::of(key(name, value)).prop_map(Option::unwrap_or_default)
}

fn login() -> impl Strategy<Value = String> {
    (key("user", value()), prop_oneof![key("password-file", value()), key("password-env", "[A-Z_][A-Z0-9_]{0,5}")])
        .prop_map(|(user, secret)| user + &secret)
}

/// Every driver, with keys at random.
fn power() -> impl Strategy<Value = String> {
    let command =
        (key("on", command_line()), maybe("state", command_line()), maybe("state-on", "[a-m]{2,4} [a-m]{1,2}"))
            .prop_map(|(on, state, state_on)| format!("command{on}{state}{state_on}"));
    let ipmitool = (key("host", value()), login(), maybe("port", "[1-9][0-9]{0,3}"), maybe("interface", "lan|lanplus"))
        .prop_map(|(host, login, port, interface)| format!("ipmitool{host}{login}{port}{interface}"));
    let libvirt = (key("guest", value()), maybe("dump-file", value()))
        .prop_map(|(guest, dump)| format!("libvirt uri=test:///default{guest}{dump}"));
    let qemu = (key("socket", value()), maybe("start", command_line()))
        .prop_map(|(socket, start)| format!("qemu{socket}{start}"));
    let redfish = (login(), prop_oneof![maybe("ca-file", value()), maybe("insecure", "yes|no")])
        .prop_map(|(login, trust)| format!("redfish url=https://bmc-{{machine}}/x{login}{trust}"));
    let simulated = maybe("directory", value()).prop_map(|directory| format!("simulated{directory}"));
    let driver = prop_oneof![command, ipmitool, libvirt, qemu, redfish, simulated, Just("manual".to_owned())];
    (driver, maybe("domain", "[a-zA-Z0-9_.:-]{1,64}")).prop_map(|(driver, domain)| driver + &domain)
}

fn snapshot() -> impl Strategy<Value = String> {
    let name = || maybe("name", "[a-z][a-z0-9.~+_-]{0,63}");
    let command = (key("revert", command_line()), maybe("take", command_line()))
        .prop_map(|(revert, take)| format!("command{revert}{take}"));
    let qemu = (key("socket", value()), name()).prop_map(|(socket, name)| format!("qemu{socket}{name}"));
    let overlay = (key("socket", value()), key("start", command_line()), maybe("base-format", "raw|qcow2"))
        .prop_map(|(socket, start, format)| format!("qemu-overlay base=/b overlay=/o{socket}{start}{format}"));
    prop_oneof![command, qemu, overlay, Just("manual".to_owned())]
}

proptest! {
    #[test]
    fn a_printed_power_setting_reads_back_as_the_same(text in power()) {
        let spec: PowerSpec = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(spec.to_string().parse::<PowerSpec>(), Ok(spec));
    }

    #[test]
    fn a_printed_snapshot_setting_reads_back_as_the_same(text in snapshot()) {
        let spec: SnapshotSpec = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(spec.to_string().parse::<SnapshotSpec>(), Ok(spec));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = (text.parse::<PowerSpec>(), text.parse::<SnapshotSpec>());
    }
}
