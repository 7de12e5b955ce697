//! `muster reserve`, `muster reservation`, `muster extend` and `muster checkin`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use muster_model::{NotifyTarget, SnapshotName};

use super::jobs::parse_parameter;
use crate::moment::Moment;
use crate::target::ProcessName;
use crate::times::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct ReserveArguments {
    /// Which machines: names, globs, or an expression like `cpus>=4 and not tag=slow`; any without it
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) selector: String,
    /// How many machines
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Take fewer, once it has waited five minutes
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) minimum: Option<u32>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Until when, instead of for how long: `18:00`, `fri 18:00`, `2026-12-04 18:00`
    #[arg(long, value_name = "TIME", conflicts_with = "duration")]
    pub(crate) until: Option<Moment>,
    /// Before those with a lower one, from 0 to 100
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u32,
    /// Boot them into this kernel: they are ready when it is proven to run
    #[arg(long)]
    pub(crate) kernel: Option<String>,
    /// Take them back to this snapshot first: machines whose setting `snapshot=` names it; before the kernel where there is one
    #[arg(long, value_name = "SNAPSHOT", value_parser = parse_image)]
    pub(crate) image: Option<SnapshotName>,
    /// Set the machine up for this test, and stop right before it would run: scripts in root's home start it and keep the machine for longer
    #[arg(long, conflicts_with_all = ["like", "each"])]
    pub(crate) module: Option<String>,
    /// Set the machine up as it was for this process: module, parameters, seed, resources, kernel, and the same machine where no
    /// other is named
    #[arg(long, value_name = "DPID", conflicts_with = "each")]
    pub(crate) like: Option<ProcessName>,
    /// A parameter of the test; may be given often
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// How long what runs there may take to end; it is stopped at once without it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub(crate) drain: Duration,
    /// They are clients of this reservation: they end with it, and when nothing is heard of its machines
    #[arg(long, value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) master: Option<u64>,
    /// So many reservations of one machine each, to be used as they become ready
    #[arg(long, conflicts_with_all = ["minimum", "kernel", "wait"])]
    pub(crate) each: bool,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    #[command(flatten)]
    pub(crate) notify: NotifyArguments,
    /// Give it back when nobody has shown up so long after you were told, or `none`; what the service says without it, and none with
    /// --wait
    #[arg(long, value_name = "DURATION", value_parser = parse_no_show)]
    pub(crate) no_show: Option<Duration>,
    /// Install this ssh public key for the time of the reservation, where a machine's policy permits: its file, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_key: Option<PathBuf>,
    /// Wait until the machines are ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) within: Duration,
}

/// Where the user is told of a reservation.
#[derive(Debug, Args)]
pub(crate) struct NotifyArguments {
    /// Tell me when it is ready, before it ends and when it is over: an e-mail address, a URL that is posted to, `command:NAME` as the
    /// administrator named it, or `none`; what the service says without it
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    notify: Option<NotifyTarget>,
}

impl NotifyArguments {
    /// As it travels; empty where nothing was said.
    pub(crate) fn to_wire(&self) -> String {
        self.notify.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

fn parse_target(text: &str) -> Result<NotifyTarget, String> {
    NotifyTarget::parse(text).map_err(|error| error.to_string())
}

fn parse_image(text: &str) -> Result<SnapshotName, String> {
    SnapshotName::new(text).map_err(|error| error.to_string())
}

/// None is a time of zero.
fn parse_no_show(text: &str) -> Result<Duration, String> {
    if text == "none" { Ok(Duration::ZERO) } else { parse_duration(text) }
}

#[derive(Debug, Args)]
pub(crate) struct ReservationNumber {
    /// Number of the reservation
    #[arg(value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) reservation: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReservationCommand {
    /// List reservations
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
        /// Clients of this reservation alone
        #[arg(long, value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..))]
        master: Option<u64>,
    },
    /// Show a reservation
    Show(ReservationNumber),
    /// Say that you are there: it does not end for want of a holder
    Accept(ReservationNumber),
}

#[derive(Debug, Args)]
pub(crate) struct DismissArguments {
    #[command(flatten)]
    pub(crate) number: ReservationNumber,
    /// The machine
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
pub(crate) struct HeldReservation {
    /// Number of the reservation
    #[arg(value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..), required_unless_present = "here")]
    pub(crate) reservation: Option<u64>,
    /// The one that has this machine: asked through the machine's agent, as root and with no other credentials
    #[arg(long, conflicts_with = "reservation")]
    pub(crate) here: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArguments {
    #[command(flatten)]
    pub(crate) number: HeldReservation,
    /// By how much
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, required_unless_present_any = ["until", "no_deadline"])]
    pub(crate) by: Option<Duration>,
    /// Until when: `18:00`, `fri 18:00`, `2026-12-04 18:00`
    #[arg(long, value_name = "TIME", conflicts_with_all = ["by", "here"])]
    pub(crate) until: Option<Moment>,
    /// Without any deadline, where your quota permits it
    #[arg(long, conflicts_with_all = ["by", "until", "here"])]
    pub(crate) no_deadline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckinArguments {
    #[command(flatten)]
    pub(crate) number: HeldReservation,
    /// Take back what somebody else has: administrators may
    #[arg(long, requires = "reason", conflicts_with = "here")]
    pub(crate) revoke: bool,
    /// Why, for its user
    #[arg(long, requires = "revoke", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Do not ask
    #[arg(long, requires = "revoke")]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// List quotas, and what users have and have had
    List,
    /// Say what somebody may have
    #[command(after_help = QUOTA_HELP)]
    Set(QuotaSetArguments),
}

#[derive(Debug, Args)]
pub(crate) struct QuotaSetArguments {
    /// A user, a group of users as `group:NAME`, or `*` for everybody who has no quota
    pub(crate) name: String,
    /// `NAME=VALUE`, as below
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

const QUOTA_HELP: &str = "\
What can be set; `NAME=` is no limit again:

  machines=20          # machines at once; of all members together where it is a group
  length=48h           # longest time of one reservation, with its extensions
  ahead=7d             # no deadline lies further ahead
  priority=10          # highest priority
  share=2              # fair share: who has twice the share gets twice the machine time; 1 without it
  no-deadline=yes      # reservations may be extended to have no deadline
  members=anna,ben     # who belongs to the group";
