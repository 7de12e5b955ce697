//! Passwords, read at the moment of use: a changed file counts at once, and no value of ours holds one for long.

use muster_model::MachineId;
use muster_model::power::Secret;

use crate::DriverError;

/// The password itself, for a protocol that we speak ourselves.
pub(crate) fn read(secret: &Secret, machine: &MachineId) -> Result<String, DriverError> {
    match secret {
        Secret::File(file) => {
            let path = file.fill(machine);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| DriverError::Unable(format!("read the password file {path}: {error}")))?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
        Secret::Environment(variable) => std::env::var(variable).map_err(|_| {
            DriverError::Unable(format!("the environment has no variable {variable}; start the service with it"))
        }),
    }
}
