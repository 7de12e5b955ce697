//! How QEMU starts a kernel from outside of the machine: part of the setting `power=qemu`, for the boot driver qemu-direct.

use super::error::SpecError;
use super::fields::Fields;
use super::template::Template;

/// How QEMU starts a kernel from outside of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectSpec {
    /// Where kernels are kept, in a folder for each machine.
    pub folder: Template,
    /// What the command line begins with; empty for nothing.
    pub command_line: String,
}

impl DirectSpec {
    /// Reads it; none where kernels never come from outside.
    pub(super) fn read(fields: &Fields) -> Result<Option<Self>, SpecError> {
        let line = fields.text("command-line");
        let Some(folder) = fields.template("kernel-folder")? else {
            return match line {
                None => Ok(None),
                Some(_) => {
                    Err(fields.missing("kernel-folder", "where the kernels are kept that have this command line"))
                }
            };
        };
        if fields.text("start").is_none() {
            return Err(fields.missing("start", "the program that starts QEMU, also with a kernel from outside"));
        }
        Ok(Some(Self { folder, command_line: line.unwrap_or_default().to_owned() }))
    }

    /// The command line, where it says anything.
    pub(super) fn said_command_line(&self) -> Option<&String> {
        Some(&self.command_line).filter(|line| !line.is_empty())
    }
}
