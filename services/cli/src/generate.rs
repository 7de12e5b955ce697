//! Generated pages of the documentation: docs/cli.md from the command line itself, docs/subjects.md from the tables of the bus; and
//! what packages have of the command line, completions and manual pages.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use clap::{Arg, Command, CommandFactory};
use muster_bus::{Bucket, streams, subjects};

use crate::arguments::Cli;
use crate::exit::EXIT_CODES;

pub(crate) const NOTE: &str = "<!-- generated: `muster generate";

/// docs/cli.md.
#[must_use]
pub fn cli_markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut page = format!("# Command line\n\n{NOTE} cli` prints this page -->\n\n");
    page.push_str(
        "Data go to stdout, everything else to stderr. Listings and reports have `--output table|json|csv|html|svg|parquet`: JSON is an array of objects \
         with stable fields, a page needs no network; times are RFC 3339 in UTC, durations are seconds, sizes are bytes. `muster events` prints one JSON \
         object a line, `muster decode` one.\n\nCommands carry an id that is kept on every retry: a command is done once, however \
         often it is asked for. Without an answer `muster` asks again until `--timeout`, and says on stderr what it waits for. \
         Destructive commands name what they will touch and ask; without a terminal they are refused unless `--yes`.\n\n",
    );
    page.push_str("## Exit codes\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    let keys = muster_model::Selector::KEYS.map(|key| format!("`{key}`")).join(", ");
    let resource_keys = muster_model::Selector::RESOURCE_KEYS.map(|key| format!("`{key}`")).join(", ");
    let _ = writeln!(
        page,
        "\n## Selectors\nOne grammar names machines everywhere: names and globs (`node-*`), lists (`a,b` is any of them), \
         comparisons with `=`, `!=`, `<`, `<=`, `>`, `>=`, and `and`, `or`, `not`, parentheses: `cpus>=4 and arch=x86_64 and not \
         tag=slow`. Empty, or `*`, is every machine. Keys: {keys}. A refusal marks the wrong place with carets.\n\nResources \
         are selected likewise (`--resources`): names and globs (`disk-*`) on every machine, or with theirs (`node-1/disk-*`). \
         Keys: {resource_keys}; `kind` is cpu, disk, nic, memory or tape, `size` bytes or bits per second.\n\n## Counts of a \
         start\n`--processes N` is the whole job; `--per-machine`, `--per-disk` and `--per-cpu` put exactly N on each machine that \
         fits, or each disk or CPU that may be used there. A disk that several machines reach is one. A start has at most 65,535 \
         processes, however they are counted. Processes of a module with roles form gangs: one of each role, all on different \
         machines, whole or not at all. So `--processes` is a multiple of the number of roles, and with the other counts each \
         machine carries its N members in turn of roles, where these make whole gangs; else the start is refused with the nearest \
         count that would fit."
    );
    page.push_str("\n## Options of every command\n");
    let global: Vec<&Arg> = command.get_arguments().filter(|argument| argument.is_global_set()).collect();
    arguments(&mut page, &global);
    for sub in command.get_subcommands().filter(|sub| is_shown(sub)) {
        section(&mut page, sub, "muster");
    }
    page
}

/// What completes a command line of `muster` in a shell.
#[must_use]
pub(crate) fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "muster", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes the manual pages of `muster` and of each of its commands into a directory.
///
/// # Errors
/// When one can not be written.
pub(crate) fn manual(directory: &Path) -> anyhow::Result<()> {
    let what = || format!("write the manual pages into {}", directory.display());
    std::fs::create_dir_all(directory).with_context(what)?;
    clap_mangen::generate_to(Cli::command(), directory).with_context(what)
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn section(page: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let subs: Vec<&Command> = command.get_subcommands().filter(|sub| is_shown(sub)).collect();
    if !subs.is_empty() {
        let _ = writeln!(page, "\n## {name}\n{about}.");
        for sub in subs {
            section(page, sub, &name);
        }
        return;
    }
    let level = if parent == "muster" { "##" } else { "###" };
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(page, "\n{level} {name}\n{about}.\n\n    {usage}");
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && !["help", "version"].contains(&argument.get_id().as_str()))
        .collect();
    if !own.is_empty() {
        page.push('\n');
        arguments(page, &own);
    }
    if let Some(help) = command.get_after_help() {
        let _ = writeln!(page, "\n{}", help.to_string().lines().map(fenced).collect::<Vec<_>>().join("\n"));
    }
}

/// Examples in help texts are indented by two; Markdown wants four.
fn fenced(line: &str) -> String {
    line.strip_prefix("  ").map_or_else(|| line.to_owned(), |example| format!("    {example}"))
}

fn arguments(page: &mut String, arguments: &[&Arg]) {
    page.push_str("| argument | meaning |\n|---|---|\n");
    for argument in arguments {
        let _ = writeln!(page, "| `{}` | {} |", spelled(argument).replace('|', "\\|"), meaning(argument));
    }
}

/// `--on SELECTOR`, `-f, --follow`, `SELECTOR`.
fn spelled(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let values = argument.get_num_args().is_some_and(|range| range.takes_values());
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let value = if value.is_empty() { argument.get_id().to_string().to_uppercase() } else { value };
    let optional = argument.get_num_args().is_some_and(|range| range.min_values() == 0);
    match argument.get_long() {
        Some(long) if values && optional => format!("{short}--{long}[={value}]"),
        Some(long) if values => format!("{short}--{long} {value}"),
        Some(long) => format!("{short}--{long}"),
        None => value,
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let takes_value = argument.get_num_args().is_some_and(|range| range.takes_values());
    let possible = argument.get_possible_values();
    if takes_value && !possible.is_empty() {
        let names = possible.iter().map(|value| format!("`{}`", value.get_name())).collect::<Vec<_>>().join(", ");
        let _ = write!(text, "; {names}");
    }
    let defaults = argument.get_default_values();
    if takes_value && !defaults.is_empty() && !argument.is_hide_default_value_set() {
        let _ = write!(text, "; default `{}`", defaults[0].to_string_lossy());
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, "; environment `{}`", variable.to_string_lossy());
    }
    text.replace('|', "\\|")
}

/// docs/subjects.md.
#[must_use]
pub fn subjects_markdown() -> String {
    let mut page = format!("# Subjects, streams and stores\n\n{NOTE} subjects` prints this page -->\n\n");
    page.push_str(
        "Everything that Muster says over NATS. `<m>` is a machine id, `<service>` one of the services, `<verb>` and `<kind>` as \
         named. The payload is always one `muster.v1.Envelope` (proto/muster/v1/envelope.proto), which `muster decode` turns \
         into JSON; the header `Muster-Type` says so.\n\n## Subjects\n| subject | transport | body | who | what for |\n\
         |---|---|---|---|---|\n",
    );
    for row in subjects::TABLE {
        let cells = [row.transport, row.body, row.parties, row.purpose].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(page, "| `{}` | {} |", row.subject, cells.join(" | "));
    }
    page.push_str("\n## Streams\nFiles, `discard new`; sizes are divided where a server has less room.\n\n");
    page.push_str("| stream | subjects | kept | greatest size |\n|---|---|---|---|\n");
    for row in streams::TABLE {
        let age = row.age_max.map_or("until purged by its owner".into(), muster_model::quantity::print_duration);
        let size = muster_model::quantity::print_size(u64::try_from(row.size_max_bytes).unwrap_or(0));
        let _ = writeln!(page, "| {} | `{}` | {age} | {size} |", row.name, row.subjects);
    }
    page.push_str("\n## Object stores\n");
    page.push_str(&Bucket::ALL.map(|bucket| format!("`{}`", bucket.as_str())).join(", "));
    let _ = writeln!(page, "\n\n## Buckets\n`{}`: leases of the leaders, by service.", streams::LEASES);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked_in(name: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn packages_have_every_command_in_completions_and_manual() {
        let folder = tempfile::tempdir().expect("a folder");
        manual(folder.path()).expect("written");
        let page = std::fs::read_to_string(folder.path().join("muster-machine-list.1")).expect("a page of its own");
        assert!(page.contains(".TH muster-machine-list 1") || page.contains(".TH \"muster-machine-list\""), "{page}");
        assert!(!folder.path().join("muster-generate.1").exists(), "what is hidden has none");
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            assert!(completions(shell).contains("checkin"), "{shell}");
        }
    }

    #[test]
    fn the_checked_in_pages_are_what_is_generated() {
        let again = "write it again with `muster generate`";
        assert_eq!(checked_in("cli.md"), cli_markdown(), "docs/cli.md: {again} cli");
        assert_eq!(checked_in("subjects.md"), subjects_markdown(), "docs/subjects.md: {again} subjects");
        let permissions = crate::permissions_page::permissions_markdown();
        assert_eq!(checked_in("permissions.md"), permissions, "docs/permissions.md: {again} permissions");
    }
}
