//! The node agent: see `muster_node_agent`.

use clap::Parser;

fn main() -> std::process::ExitCode {
    muster_node_agent::begin();
    let arguments = muster_node_agent::Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("muster-agent", &common, |stop| muster_node_agent::run(arguments, stop))
}
