//! `muster at` and `muster diff`.

use clap::{Args, ValueEnum};

use crate::times::{Since, parse_bound};

#[derive(Debug, Args)]
pub(crate) struct AtArguments {
    /// The moment: so long ago like `2h`, or a time
    #[arg(value_name = "2h|TIME", value_parser = parse_bound, allow_hyphen_values = true)]
    pub(crate) time: Since,
    /// What is listed
    #[arg(value_enum)]
    pub(crate) listing: PastListing,
    /// Also what had ended by then
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The first moment: so long ago like `2h`, or a time
    #[arg(long, value_name = "2h|TIME", value_parser = parse_bound, allow_hyphen_values = true)]
    pub(crate) from: Since,
    /// The second moment; now without it
    #[arg(long, value_name = "1h|TIME", value_parser = parse_bound, allow_hyphen_values = true)]
    pub(crate) to: Option<Since>,
    /// Only this; may be given often
    #[arg(long = "only", value_enum)]
    pub(crate) only: Vec<PastListing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum PastListing {
    /// Machines.
    Machines,
    /// Reservations.
    Reservations,
    /// Jobs.
    Jobs,
    /// Processes.
    Ps,
}

impl PastListing {
    /// All listings, in the order in which changes are told.
    pub(crate) const ALL: [Self; 4] = [Self::Machines, Self::Reservations, Self::Jobs, Self::Ps];
}
