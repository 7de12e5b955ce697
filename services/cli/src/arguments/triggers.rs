//! Commands about triggers.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Arm machines: say what they do when the trigger fires
    Arm(ArmArguments),
    /// Take arms away
    Disarm(DisarmArguments),
    /// List what is armed, or what fired
    List {
        /// The newest firings, with what became of them on each machine
        #[arg(long)]
        fired: bool,
    },
    /// Fire a trigger
    Fire(FireArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ArmArguments {
    /// Trigger, 0 to 255
    #[arg(value_name = "N")]
    pub(crate) number: u32,
    /// Which machines: names, globs, or an expression like `tag=victim`
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) on: String,
    /// Who may fire it: a job by its number, or machines by a selector; may be given often. Without it whatever runs for the same
    /// holder may, and a person always
    #[arg(long, value_name = "JOB|SELECTOR")]
    pub(crate) from: Vec<String>,
    /// What they do: crash, sysrq KEY, command NAME, dump-history, packet, or stop-job [JOB]. The first three only where the
    /// policy file of the machine permits it
    #[arg(long, num_args = 1..=2, value_names = ["ACTION", "ARGUMENT"])]
    pub(crate) action: Vec<String>,
    /// Machines of this reservation
    #[arg(long, value_name = "R", default_value_t = 0, hide_default_value = true)]
    pub(crate) reservation: u64,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["numbers", "all"]))]
pub(crate) struct DisarmArguments {
    /// Triggers
    #[arg(value_name = "N")]
    pub(crate) numbers: Vec<u32>,
    /// Every trigger
    #[arg(long)]
    pub(crate) all: bool,
    /// Only on these machines
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) on: String,
}

#[derive(Debug, Args)]
pub(crate) struct FireArguments {
    /// Trigger, 0 to 255
    #[arg(value_name = "N")]
    pub(crate) number: u32,
    /// Why, for those who look at it later
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
    /// In the name of this reservation
    #[arg(long, value_name = "R", default_value_t = 0, hide_default_value = true)]
    pub(crate) reservation: u64,
    /// Wait until every armed machine has said what became of it, and print that
    #[arg(long)]
    pub(crate) wait: bool,
    /// Do not ask before machines crash
    #[arg(long)]
    pub(crate) yes: bool,
}
