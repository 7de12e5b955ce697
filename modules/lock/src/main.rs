//! `muster-lock`: see the library's head.

use std::process::ExitCode;

fn main() -> ExitCode {
    muster_lock::main()
}
