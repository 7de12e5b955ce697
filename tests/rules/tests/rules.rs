//! The rules of docs/architecture.md and of the style, checked on the sources themselves.

use std::collections::BTreeMap;

use muster_rules::{Source, codegen, lock, metrics, root, sources};

/// Longest file that a person wrote, lines.
const FILE_LINES_MAX: usize = 600;

fn is_test(source: &Source) -> bool {
    source.path.contains("/tests/") || source.path.starts_with("tests/") || source.path.ends_with("tests.rs")
}

/// Lines that are not comments.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn offenders(mut offends: impl FnMut(&Source, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in code(&source) {
            if offends(&source, line) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn async_nats_is_used_only_in_bus_and_ledger() {
    let found = offenders(|source, line| {
        line.contains("async_nats::")
            && !source.path.starts_with("shared/bus/")
            && !source.path.starts_with("shared/ledger/")
            && !source.path.starts_with("tests/rules/")
            && !is_test(source)
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn subjects_are_named_only_in_bus() {
    let found = offenders(|source, line| {
        line.contains("\"muster.v1.") && is_subject(line) && !source.path.starts_with("shared/bus/") && !is_test(source)
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A subject, and not the name of a message type, whose last token begins with a capital letter.
fn is_subject(line: &str) -> bool {
    line.split("\"muster.v1.").skip(1).any(|rest| {
        let name: String = rest.chars().take_while(|c| *c != '"').collect();
        !name.rsplit('.').next().is_some_and(|token| token.starts_with(|c: char| c.is_ascii_uppercase()))
            && !name.ends_with(".rs")
            && !name.ends_with(".binpb")
    })
}

#[test]
fn sql_is_written_only_in_store_and_telemetry() {
    let words = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "COPY ", "CREATE TABLE "];
    let found = offenders(|source, line| {
        words.iter().any(|word| line.contains(&format!("\"{word}")))
            && !source.path.starts_with("shared/store/")
            && !source.path.starts_with("shared/telemetry/")
            && !source.path.starts_with("tests/rules/")
            && !is_test(source)
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn cores_are_pure() {
    let words =
        ["tokio", "async ", "std::fs", "std::net", "Instant::now", "SystemTime", " rand::", "muster_bus", "HashMap"];
    let found = offenders(|source, line| {
        source.path.contains("/src/core/")
            && source.path.starts_with("services/")
            && !is_test(source)
            && words.iter().any(|word| line.contains(word))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX && !is_test(&source) {
            found.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_is_left_undone_or_skipped() {
    let todo = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let ignore = format!("#[{}", "ignore");
    let found = offenders(|source, line| {
        !source.path.starts_with("tests/rules/")
            && (todo.iter().any(|word| line.contains(word)) || line.contains(&ignore))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Layer of a crate by its folder; a crate uses only layers below its own.
fn layer(folder: &str) -> u8 {
    match folder {
        "shared/model" | "shared/pattern" | "shared/kernel-image" => 0,
        "shared/proto" | "shared/module-protocol" | "shared/pulse-page" | "shared/signing" => 1,
        "shared/bus" | "shared/drivers" => 2,
        "shared/ledger" | "shared/store" | "shared/chassis" => 3,
        "shared/telemetry" => 4,
        "modules/sdk" => 5,
        folder if folder.starts_with("services/") || folder.starts_with("modules/") => 6,
        _ => 7,
    }
}

#[test]
fn arrows_point_down_the_layers() {
    let mut folders = BTreeMap::new();
    for group in ["shared", "services", "modules", "tests"] {
        for entry in std::fs::read_dir(root().join(group)).expect("the group is there").flatten() {
            let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
            let name =
                manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned));
            if let Some(name) = name {
                folders.insert(name, (format!("{group}/{}", entry.file_name().to_string_lossy()), manifest));
            }
        }
    }
    let mut wrong = Vec::new();
    for (name, (folder, manifest)) in &folders {
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("[dev-dependencies]").next().unwrap_or_default();
        for line in dependencies.lines() {
            let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if let Some((other, _)) = folders.get(used) {
                let sideways = layer(folder) >= 6 && layer(folder) == layer(other) && layer(folder) < 7;
                if layer(other) > layer(folder) || sideways {
                    wrong.push(format!("{name} ({folder}) uses {used} ({other})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_generated_wire_is_what_the_proto_files_say() {
    let scratch = root().join("target/rules-drift");
    codegen::generate(&root(), &scratch).expect("the proto files compile");
    for checked_in in [codegen::GENERATED, codegen::DESCRIPTORS] {
        let name = checked_in.rsplit('/').next().expect("a path has a name");
        let fresh = std::fs::read(scratch.join(name)).expect("it was generated");
        let kept = std::fs::read(root().join(checked_in)).expect("it is checked in");
        assert!(fresh == kept, "{checked_in} is stale: run `cargo xtask codegen`");
    }
}

#[test]
fn no_number_of_the_wire_was_ever_changed() {
    let locked = lock::read(&root()).expect("the lock is checked in");
    let now = lock::numbers(&root()).expect("the proto files compile");
    assert_eq!(locked, now, "proto/lock.txt is stale: run `cargo xtask codegen`");
}

#[test]
fn every_field_of_the_wire_has_a_comment() {
    let mut bare = Vec::new();
    for entry in std::fs::read_dir(root().join("proto/muster/v1")).expect("the proto files are there").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("it is a text");
        let mut previous = "";
        for line in text.lines() {
            let is_field = line.trim_end().ends_with(';') && line.contains(" = ") && line.starts_with("  ");
            if is_field && !previous.trim_start().starts_with("//") {
                bare.push(format!("{}: {line}", entry.file_name().to_string_lossy()));
            }
            previous = line;
        }
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn metrics_are_named_by_rule_and_their_page_is_fresh() {
    for metric in metrics::metrics() {
        assert!(!metric.help.is_empty(), "{} in {} has no help", metric.name, metric.file);
        assert!(
            metric.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{}",
            metric.name
        );
    }
    let kept = std::fs::read_to_string(root().join(metrics::PAGE)).expect("the page is checked in");
    assert!(kept == metrics::page(), "{} is stale: run `cargo xtask codegen`", metrics::PAGE);
    let inline = offenders(|source, line| {
        ["counter!(\"", "gauge!(\"", "histogram!(\""].iter().any(|word| line.contains(word))
            && !source.path.starts_with("tests/rules/")
    });
    assert!(inline.is_empty(), "metrics are named in metrics.rs alone:\n{}", inline.join("\n"));
}
