//! `muster-high-io`: see the library's head.

use std::process::ExitCode;

fn main() -> ExitCode {
    muster_high_io::main()
}
