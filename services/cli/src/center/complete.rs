//! Completion over the commands themselves: what may stand at the end of a line. Pure.

use std::collections::BTreeMap;

use clap::{Arg, Command};

/// At most so many proposals are made.
const PROPOSED_MAX: usize = 200;

/// Names that the pool knows now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Modules of the catalogue, with their parameters.
    pub(crate) modules: BTreeMap<String, Vec<String>>,
    /// Machine ids.
    pub(crate) machines: Vec<String>,
    /// Live jobs.
    pub(crate) jobs: Vec<String>,
    /// Live processes.
    pub(crate) dpids: Vec<String>,
}

/// What may be put in place of the word that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) value: String,
    pub(crate) help: Option<String>,
    /// The word is complete with it.
    pub(crate) whole: bool,
}

impl Proposal {
    fn new(value: impl Into<String>, help: Option<String>) -> Self {
        Self { value: value.into(), help, whole: true }
    }
}

/// Proposals for the word `current`, after the words `before` it. `root` was built.
pub(crate) fn complete(root: &Command, before: &[String], current: &str, names: &Names) -> Vec<Proposal> {
    let mut place = Place { command: root, pending: None, positional: 0, first: None };
    before.iter().for_each(|word| place.step(word));
    let mut proposals = place.proposals(current, names);
    proposals.retain(|proposal| proposal.value.starts_with(current));
    proposals.truncate(PROPOSED_MAX);
    proposals
}

/// Where in the tree of commands a line stands.
struct Place<'a> {
    command: &'a Command,
    /// An option whose value comes next.
    pending: Option<&'a Arg>,
    /// How many words without a dash were given to the command.
    positional: usize,
    /// The first of them.
    first: Option<String>,
}

impl<'a> Place<'a> {
    fn step(&mut self, word: &str) {
        if self.pending.take().is_some() {
            return;
        }
        if word.starts_with('-') {
            self.pending = self.option(word).filter(|arg| takes_next_word(arg) && !word.contains('='));
            return;
        }
        match self.command.find_subcommand(word).filter(|_| self.positional == 0) {
            Some(sub) => *self = Place { command: sub, pending: None, positional: 0, first: None },
            None => {
                self.first.get_or_insert_with(|| word.to_owned());
                self.positional += 1;
            }
        }
    }

    /// The option that a word with a dash names.
    fn option(&self, word: &str) -> Option<&'a Arg> {
        let mut arguments = self.command.get_arguments();
        match word.strip_prefix("--") {
            Some(long) => {
                let name = long.split_once('=').map_or(long, |(name, _)| name);
                arguments.find(|arg| arg.get_long() == Some(name))
            }
            None => {
                let short = word.chars().nth(1)?;
                arguments.find(|arg| arg.get_short() == Some(short))
            }
        }
    }

    fn proposals(&self, current: &str, names: &Names) -> Vec<Proposal> {
        if let Some(arg) = self.pending {
            return self.values(arg, names);
        }
        if let Some((name, _)) = current.split_once('=').filter(|_| current.starts_with("--")) {
            let values = self.option(name).map(|arg| self.values(arg, names)).unwrap_or_default();
            return values.into_iter().map(|p| Proposal { value: format!("{name}={}", p.value), ..p }).collect();
        }
        if current.starts_with('-') {
            return self.options();
        }
        let subs = self.command.get_subcommands().filter(|sub| !sub.is_hide_set() && self.positional == 0);
        let mut proposals: Vec<Proposal> =
            subs.map(|sub| Proposal::new(sub.get_name(), sub.get_about().map(ToString::to_string))).collect();
        let last = self.command.get_positionals().last().filter(|arg| takes_many(arg));
        if let Some(arg) = self.command.get_positionals().nth(self.positional).or(last) {
            proposals.extend(self.values(arg, names));
        }
        if proposals.is_empty() && current.is_empty() { self.options() } else { proposals }
    }

    fn options(&self) -> Vec<Proposal> {
        let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_long().is_some());
        let proposal = |arg: &Arg| {
            let help = arg.get_help().map(ToString::to_string);
            Proposal::new(format!("--{}", arg.get_long().unwrap_or_default()), help)
        };
        shown.map(proposal).collect()
    }

    /// Values of an argument: those that it lists, or names of the pool.
    fn values(&self, arg: &Arg, names: &Names) -> Vec<Proposal> {
        let listed = arg.get_possible_values();
        if !listed.is_empty() {
            return listed.iter().map(|value| Proposal::new(value.get_name(), None)).collect();
        }
        let plain = |values: &[String]| values.iter().map(|value| Proposal::new(value, None)).collect::<Vec<_>>();
        let shown = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        match (self.command.get_name(), arg.get_id().as_str(), shown) {
            (_, "module", _) | ("show" | "remove", "name", _) => {
                names.modules.keys().map(|name| Proposal::new(name, None)).collect()
            }
            (_, "parameters", _) => {
                let of_module = self.first.as_ref().and_then(|module| names.modules.get(module));
                let all = names.modules.values().flatten();
                let mut found: Vec<&String> = of_module.map_or_else(|| all.collect(), |own| own.iter().collect());
                found.sort();
                found.dedup();
                found
                    .into_iter()
                    .map(|name| Proposal { whole: false, ..Proposal::new(format!("{name}="), None) })
                    .collect()
            }
            (_, _, "JOB|DPID") => [plain(&names.jobs), plain(&names.dpids)].concat(),
            (_, _, "DPID") => plain(&names.dpids),
            (_, _, "JOB" | "JOB|RUN") | (_, "job", _) => plain(&names.jobs),
            (_, "on" | "selector", _) | (_, _, "MACHINE") => plain(&names.machines),
            _ => Vec::new(),
        }
    }
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// The option is followed by a word that is its value.
fn takes_next_word(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.takes_values()) && !arg.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Cli;

    fn names() -> Names {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Names {
            modules: [("high-io".to_owned(), list(&["block", "depth"])), ("tcp".to_owned(), list(&["streams"]))].into(),
            machines: list(&["node-1", "node-2"]),
            jobs: list(&["12", "13"]),
            dpids: list(&["000C0001"]),
        }
    }

    /// What is proposed after the bar: words before, the word being typed.
    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let mut root = Cli::command();
        root.build();
        let (before, current) = line.rsplit_once(' ').unwrap_or(("", line));
        let before: Vec<String> = before.split_whitespace().map(str::to_owned).collect();
        let found = complete(&root, &before, current, &names());
        let values: Vec<&str> = found.iter().map(|proposal| proposal.value.as_str()).collect();
        assert_eq!(values, expected, "{line}");
    }

    #[test]
    fn commands_and_their_subcommands_are_proposed() {
        check("mac", &["machine"]);
        check("machine l", &["list", "load-pool"]);
        check("run-id ", &["show", "new", "help"]);
        check("generat", &[]);
        check("nonsense x", &[]);
    }

    #[test]
    fn names_of_the_pool_stand_where_they_may() {
        check("start ", &["high-io", "tcp"]);
        check("start high-io --on node-", &["node-1", "node-2"]);
        check("start high-io -n 3 -p d", &["depth="]);
        check("start --processes 3 t", &["tcp"]);
        check("module show h", &["high-io"]);
        check("stop 1", &["12", "13"]);
        check("stop 12 0", &["000C0001"]);
        check("wait 1", &["12", "13"]);
        check("machine show node-2", &["node-2"]);
        check("logs 0", &["000C0001"]);
        check("logs --agent n", &["node-1", "node-2"]);
        check("ps --machine n", &["node-1", "node-2"]);
    }

    #[test]
    fn options_and_listed_values_are_proposed() {
        check("ps --a", &["--all"]);
        check("clock --o", &["--output"]);
        check("jobs --output j", &["json"]);
        check("jobs --output=c", &["--output=csv"]);
        check("start tcp --wait=e", &["--wait=end"]);
        check("report perf --by dev", &["device", "device-type"]);
    }
}
