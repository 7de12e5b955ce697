//! A machine that is booted from outside: whatever its agent were told of a boot, it has no part in it.

use anyhow::bail;

use super::{Driver, Entry, Files, Target};

/// Why nothing is done here.
const WHY: &str = "this machine is booted from outside (qemu-direct), and its agent has no part in it";

/// Refuses.
pub(super) struct Outside;

impl Driver for Outside {
    fn install(&self, _: &Entry, _: &Files) -> anyhow::Result<()> {
        bail!(WHY)
    }

    fn boot(&self, _: &Target) -> anyhow::Result<()> {
        bail!(WHY)
    }

    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
