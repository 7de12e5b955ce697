//! A baseboard controller by IPMI, through the program `ipmitool`.

use std::collections::BTreeSet;

use muster_model::power::{IpmitoolPower, Secret};
use muster_model::{MachineId, PowerAction, PowerState};

use crate::program::{Program, first_line};
use crate::{Answer, Deadline, Done, DriverError, PowerDriver, secret};

/// The variable in which ipmitool takes a password that is not to be seen in its arguments (-E).
const PASSWORD_VARIABLE: &str = "IPMI_PASSWORD";

/// Power by IPMI.
pub(crate) struct Power {
    ipmitool: IpmitoolPower,
    machine: MachineId,
}

impl Power {
    pub(crate) fn new(ipmitool: &IpmitoolPower, machine: &MachineId) -> Self {
        Self { ipmitool: ipmitool.clone(), machine: machine.clone() }
    }

    /// The program with who is asked, and by whom. The password is in a file that it reads, or in its environment.
    fn program(&self, words: &[&str]) -> Result<Program, DriverError> {
        let spec = &self.ipmitool;
        let (interface, port) = (spec.interface.to_string(), spec.port.to_string());
        let (host, user) = (spec.host.fill(&self.machine), spec.user.fill(&self.machine));
        let cipher = spec.cipher.map(|cipher| cipher.to_string());
        let mut arguments = vec!["-I", &interface, "-H", &host, "-p", &port, "-U", &user];
        if let Some(cipher) = &cipher {
            arguments.extend(["-C", cipher]);
        }
        // Read here all the same: what is missing is told before anything is asked.
        let password = secret::read(&spec.secret, &self.machine)?;
        match &spec.secret {
            Secret::File(file) => {
                let file = file.fill(&self.machine);
                Ok(Program::new("ipmitool", &[&arguments, &["-f", &file][..], words].concat()))
            }
            Secret::Environment(_) => {
                let mut program = Program::new("ipmitool", &[&arguments, &["-E"][..], words].concat());
                program.hide(PASSWORD_VARIABLE, password);
                Ok(program)
            }
        }
    }
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        PowerAction::ALL.into()
    }

    fn reads_state(&self) -> bool {
        true
    }

    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            let said = self.program(&["chassis", "power", "status"])?.succeed(deadline).await?;
            Ok(judge(&said))
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        let word = match action {
            PowerAction::On => "on",
            PowerAction::Off => "off",
            PowerAction::Cycle => "cycle",
            PowerAction::Reset => "reset",
            // A diagnostic interrupt: an NMI for the kernel.
            PowerAction::Dump => "diag",
        };
        Box::pin(async move { self.program(&["chassis", "power", word])?.succeed(deadline).await.map(|_| Done::Done) })
    }
}

/// `Chassis Power is on`, word for word.
fn judge(said: &str) -> PowerState {
    match first_line(said) {
        Some("Chassis Power is on") => PowerState::On,
        Some("Chassis Power is off") => PowerState::Off,
        Some(_) | None => PowerState::Unknown,
    }
}
