//! The setting `power=`: how power is given to a machine, taken from it and looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::action::PowerAction;
use super::direct::DirectSpec;
use super::error::SpecError;
use super::fields::{self, Fields};
use super::key::PowerDriverKind;
use super::print::Line;
use super::template::{CommandLine, Secret, Template};
use crate::{IdError, PowerDomain};

/// UDP port of IPMI.
const IPMI_PORT: u16 = 623;

/// What the setting `power=` of a machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerSpec {
    /// The driver, with what it needs.
    pub means: PowerMeans,
    /// What the power of this machine hangs on together with that of others.
    pub domain: Option<PowerDomain>,
}

/// A driver, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerMeans {
    /// Programs of the operator.
    Command(CommandPower),
    /// A baseboard controller by IPMI.
    Ipmitool(IpmitoolPower),
    /// A virtual machine of libvirt.
    Libvirt(LibvirtPower),
    /// A person is asked.
    Manual,
    /// A virtual machine that QEMU runs by itself.
    Qemu(QemuPower),
    /// A baseboard controller by Redfish.
    Redfish(RedfishPower),
    /// A file of a lab.
    Simulated(SimulatedPower),
}

/// Programs of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandPower {
    /// What is run for each action; at least one.
    pub programs: BTreeMap<PowerAction, CommandLine>,
    /// What says the state.
    pub state: Option<CommandLine>,
    /// Words of its output that mean on.
    pub state_on: String,
    /// Words of its output that mean off.
    pub state_off: String,
}

/// A baseboard controller by IPMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpmitoolPower {
    /// Its name or address.
    pub host: Template,
    /// Its UDP port.
    pub port: u16,
    /// Who logs in.
    pub user: Template,
    /// The password.
    pub secret: Secret,
    /// How it is talked to.
    pub interface: IpmiInterface,
    /// The cipher suite, where it is not the program's own choice.
    pub cipher: Option<u8>,
}

/// How a controller is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpmiInterface {
    /// IPMI 1.5, without encryption.
    Lan,
    /// IPMI 2.0.
    Lanplus,
}

/// A virtual machine of libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtPower {
    /// The hypervisor.
    pub uri: Template,
    /// The name of the virtual machine.
    pub guest: Template,
    /// Where its memory is written.
    pub dump_file: Option<Template>,
}

/// A virtual machine that QEMU runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuPower {
    /// The QMP socket.
    pub socket: Template,
    /// What starts QEMU.
    pub start: Option<CommandLine>,
    /// Where its memory is written.
    pub dump_file: Option<Template>,
    /// How it is started with a kernel from outside; none where it is not.
    pub direct: Option<DirectSpec>,
}

/// A baseboard controller by Redfish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedfishPower {
    /// The ComputerSystem.
    pub url: Template,
    /// Who logs in.
    pub user: Template,
    /// The password.
    pub secret: Secret,
    /// Whose certificates are trusted.
    pub trust: Trust,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system.
    System,
    /// Those of a file.
    File(Template),
    /// Any, and none as well (plain http).
    Any,
}

/// A file of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedPower {
    /// The folder with a file for each machine.
    pub directory: Option<Template>,
}

impl PowerSpec {
    /// How the machine is started with a kernel from outside; none where it is not.
    #[must_use]
    pub fn direct(&self) -> Option<&DirectSpec> {
        match &self.means {
            PowerMeans::Qemu(qemu) => qemu.direct.as_ref(),
            PowerMeans::Command(_)
            | PowerMeans::Ipmitool(_)
            | PowerMeans::Libvirt(_)
            | PowerMeans::Manual
            | PowerMeans::Redfish(_)
            | PowerMeans::Simulated(_) => None,
        }
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> PowerDriverKind {
        match self.means {
            PowerMeans::Command(_) => PowerDriverKind::Command,
            PowerMeans::Ipmitool(_) => PowerDriverKind::Ipmitool,
            PowerMeans::Libvirt(_) => PowerDriverKind::Libvirt,
            PowerMeans::Manual => PowerDriverKind::Manual,
            PowerMeans::Qemu(_) => PowerDriverKind::Qemu,
            PowerMeans::Redfish(_) => PowerDriverKind::Redfish,
            PowerMeans::Simulated(_) => PowerDriverKind::Simulated,
        }
    }

    /// What can be done to the machine. A cycle is off and on, where both are there.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<PowerAction> {
        let mut all = BTreeSet::from(PowerAction::ALL);
        match &self.means {
            PowerMeans::Command(command) => {
                let has = |action| command.programs.contains_key(&action);
                let cycles = has(PowerAction::On) && has(PowerAction::Off);
                all.retain(|action| has(*action) || (*action == PowerAction::Cycle && cycles));
            }
            PowerMeans::Qemu(qemu) if qemu.start.is_none() => {
                all.retain(|action| !matches!(action, PowerAction::On | PowerAction::Cycle));
            }
            // A person is asked for what can be done with a hand on the machine.
            PowerMeans::Manual => all.retain(|action| *action != PowerAction::Dump),
            PowerMeans::Ipmitool(_)
            | PowerMeans::Libvirt(_)
            | PowerMeans::Qemu(_)
            | PowerMeans::Redfish(_)
            | PowerMeans::Simulated(_) => {}
        }
        all
    }

    /// Whether the driver can look at the state; a person's answer is another matter.
    #[must_use]
    pub fn reads_state(&self) -> bool {
        match &self.means {
            PowerMeans::Command(command) => command.state.is_some(),
            PowerMeans::Manual => false,
            PowerMeans::Ipmitool(_)
            | PowerMeans::Libvirt(_)
            | PowerMeans::Qemu(_)
            | PowerMeans::Redfish(_)
            | PowerMeans::Simulated(_) => true,
        }
    }
}

impl FromStr for PowerSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let drivers = PowerDriverKind::ALL.map(PowerDriverKind::as_str).join(", ");
        let (word, words) = fields::split(text, &drivers)?;
        let kind = PowerDriverKind::parse(&word).ok_or(SpecError::UnknownDriver { word, drivers })?;
        let fields = Fields::parse(kind.as_str(), kind.keys(), &words)?;
        let means = match kind {
            PowerDriverKind::Command => PowerMeans::Command(command(&fields)?),
            PowerDriverKind::Ipmitool => PowerMeans::Ipmitool(ipmitool(&fields)?),
            PowerDriverKind::Libvirt => PowerMeans::Libvirt(libvirt(&fields)?),
            PowerDriverKind::Manual => PowerMeans::Manual,
            PowerDriverKind::Qemu => PowerMeans::Qemu(qemu(&fields)?),
            PowerDriverKind::Redfish => PowerMeans::Redfish(redfish(&fields)?),
            PowerDriverKind::Simulated => {
                PowerMeans::Simulated(SimulatedPower { directory: fields.template("directory")? })
            }
        };
        Ok(Self { means, domain: fields.parsed("domain", |error: IdError| error.rule)? })
    }
}

fn command(fields: &Fields) -> Result<CommandPower, SpecError> {
    let mut programs = BTreeMap::new();
    for action in PowerAction::ALL {
        if let Some(program) = fields.command(action.as_str())? {
            programs.insert(action, program);
        }
    }
    if programs.is_empty() {
        return Err(fields.missing("on= or off= or cycle= or reset", "a program that does something"));
    }
    let said = |key, default: &str| match fields.text(key) {
        Some(text) if !text.contains(char::is_alphanumeric) => Err(fields.invalid(key, "write a word of the output")),
        text => Ok(text.unwrap_or(default).to_owned()),
    };
    let (state_on, state_off) = (said("state-on", "on")?, said("state-off", "off")?);
    if state_on.eq_ignore_ascii_case(&state_off) {
        return Err(fields.invalid("state-on", "on and off would be the same word"));
    }
    Ok(CommandPower { programs, state: fields.command("state")?, state_on, state_off })
}

fn ipmitool(fields: &Fields) -> Result<IpmitoolPower, SpecError> {
    let interface = match fields.text("interface") {
        None | Some("lanplus") => IpmiInterface::Lanplus,
        Some("lan") => IpmiInterface::Lan,
        Some(_) => return Err(fields.invalid("interface", "write `lanplus` or `lan`")),
    };
    Ok(IpmitoolPower {
        host: fields.needed_template("host")?,
        port: fields.parsed("port", |_| "write a number from 0 to 65535")?.unwrap_or(IPMI_PORT),
        user: fields.needed_template("user")?,
        secret: fields.secret()?,
        interface,
        cipher: fields.parsed("cipher", |_| "write the number of a cipher suite, like 17")?,
    })
}

fn libvirt(fields: &Fields) -> Result<LibvirtPower, SpecError> {
    Ok(LibvirtPower {
        uri: fields.needed_address("uri")?,
        guest: fields.needed_template("guest")?,
        dump_file: fields.template("dump-file")?,
    })
}

fn qemu(fields: &Fields) -> Result<QemuPower, SpecError> {
    Ok(QemuPower {
        socket: fields.needed_template("socket")?,
        start: fields.command("start")?,
        dump_file: fields.template("dump-file")?,
        direct: DirectSpec::read(fields)?,
    })
}

fn redfish(fields: &Fields) -> Result<RedfishPower, SpecError> {
    let insecure = match fields.text("insecure") {
        None | Some("no") => false,
        Some("yes") => true,
        Some(_) => return Err(fields.invalid("insecure", "write `yes` or `no`")),
    };
    let trust = match (fields.template("ca-file")?, insecure) {
        (Some(_), true) => return Err(SpecError::Both { one: "ca-file", other: "insecure" }),
        (Some(file), false) => Trust::File(file),
        (None, true) => Trust::Any,
        (None, false) => Trust::System,
    };
    let url = fields.needed_address("url")?;
    let is_plain = url.as_str().starts_with("http://");
    if !is_plain && !url.as_str().starts_with("https://") {
        return Err(fields.invalid("url", "it begins with https://"));
    }
    if is_plain && trust != Trust::Any {
        return Err(fields.invalid("url", "the password would be sent in the clear; write https://, or insecure=yes"));
    }
    Ok(RedfishPower { url, user: fields.needed_template("user")?, secret: fields.secret()?, trust })
}

impl fmt::Display for IpmiInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lan => "lan",
            Self::Lanplus => "lanplus",
        })
    }
}

impl fmt::Display for PowerSpec {
    /// As it is typed, without what a driver would assume.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line::new(self.driver().as_str());
        let line = match &self.means {
            PowerMeans::Command(command) => print_command(line, command),
            PowerMeans::Ipmitool(ipmitool) => line
                .key("host", &ipmitool.host)
                .unless("port", &ipmitool.port, &IPMI_PORT)
                .key("user", &ipmitool.user)
                .secret(&ipmitool.secret)
                .unless("interface", &ipmitool.interface, &IpmiInterface::Lanplus)
                .maybe("cipher", ipmitool.cipher.as_ref()),
            PowerMeans::Libvirt(libvirt) => line
                .key("uri", &libvirt.uri)
                .key("guest", &libvirt.guest)
                .maybe("dump-file", libvirt.dump_file.as_ref()),
            PowerMeans::Manual => line,
            PowerMeans::Qemu(qemu) => line
                .key("socket", &qemu.socket)
                .maybe("start", qemu.start.as_ref())
                .maybe("dump-file", qemu.dump_file.as_ref())
                .maybe("kernel-folder", qemu.direct.as_ref().map(|direct| &direct.folder))
                .maybe("command-line", qemu.direct.as_ref().and_then(DirectSpec::said_command_line)),
            PowerMeans::Redfish(redfish) => print_redfish(line, redfish),
            PowerMeans::Simulated(simulated) => line.maybe("directory", simulated.directory.as_ref()),
        };
        line.maybe("domain", self.domain.as_ref()).write(f)
    }
}

fn print_command(line: Line, command: &CommandPower) -> Line {
    let programs = command.programs.iter();
    programs
        .fold(line, |line, (action, program)| line.key(action.as_str(), program))
        .maybe("state", command.state.as_ref())
        .unless("state-on", &command.state_on, &"on".to_owned())
        .unless("state-off", &command.state_off, &"off".to_owned())
}

fn print_redfish(line: Line, redfish: &RedfishPower) -> Line {
    let line = line.key("url", &redfish.url).key("user", &redfish.user).secret(&redfish.secret);
    match &redfish.trust {
        Trust::System => line,
        Trust::File(file) => line.key("ca-file", file),
        Trust::Any => line.key("insecure", &"yes"),
    }
}
