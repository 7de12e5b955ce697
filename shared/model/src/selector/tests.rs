use std::borrow::Cow;

use proptest::prelude::*;

use super::{Facts, Selector, SelectorTerm, Sets, glob_matches, natural_order};
use crate::RefusalCode;

/// A machine with four CPUs, 16 GiB, kernel 6.10 and two tags.
struct Machine;

impl Facts for Machine {
    fn name(&self) -> &str {
        "node-1"
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        match key {
            "arch" => vec!["x86_64".into()],
            "type" => vec!["Model 7".into()],
            "kernel" => vec!["6.10.3-cloud".into()],
            "cpus" => vec!["4".into()],
            "memory" => vec![(16_u64 << 30).to_string().into()],
            "disks" => vec!["2".into()],
            "tag" => vec!["fast".into(), "lab2".into()],
            _ => vec![],
        }
    }
}

fn check(text: &str, selected: bool) {
    let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{error}; {}", error.hint));
    assert_eq!(selector.matches(&Machine), selected, "{text}");
    assert_eq!(Selector::parse(&selector.to_string()), Ok(selector), "{text}");
}

#[track_caller]
fn check_wrong(text: &str, place: &str, message: &str, hint: &str) {
    let error = Selector::parse(text).expect_err(text);
    assert_eq!(&text[error.from..error.to], place, "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(error.hint.contains(hint), "{}", error.hint);
    let refusal = error.into_refusal("list machines");
    assert_eq!(refusal.code, RefusalCode::Invalid);
    assert_eq!(refusal.place.map(|place| place.text).as_deref(), Some(text));
}

#[test]
fn names_globs_and_lists_select() {
    for text in ["", "  ", "*", "node-1", "node-*", "n?de-1", "a,b,node-1", "name=node-*", "not other", "*-1"] {
        check(text, true);
    }
    for text in ["node-2", "ode-1", "a,b", "name!=node-1", "not *", "node-1?"] {
        check(text, false);
    }
}

#[test]
fn counts_compare_as_numbers_and_sizes() {
    for text in
        ["cpus>=4", "cpus=4", "cpus<10", "memory>=4GiB", "memory=16GiB", "memory<17GB and memory>17000MB", "disks!=3"]
    {
        check(text, !text.contains("<17GB"));
    }
    for text in ["cpus>4", "cpus!=4", "nics>=0", "memory>16GiB"] {
        check(text, false);
    }
}

#[test]
fn text_compares_with_globs_and_natural_order() {
    for text in
        ["arch=x86_64", "arch=x86*", "kernel>=6.9", "kernel<6.11", "type=\"Model 7\"", "tag=slow,fast", "tag=lab*"]
    {
        check(text, true);
    }
    for text in ["tag=slow", "tag!=fast", "kernel<6.9", "type=Model"] {
        check(text, false);
    }
    assert!(natural_order("6.1", "6.1-rc").is_lt());
}

#[test]
fn not_binds_more_than_and_and_more_than_or() {
    check("cpus>=4 and arch=x86_64 and not tag=slow", true);
    check("tag=slow and cpus>=4 or arch=x86_64", true);
    check("tag=slow and (cpus>=4 or arch=x86_64)", false);
    check("not (tag=fast and tag=slow)", true);
    check("not tag=fast or tag=fast", true);
}

#[test]
fn the_wrong_place_is_marked_and_the_hint_says_what_is_right() {
    check_wrong("cpu>=4", "cpu", "not a key", "did you mean `cpus`?");
    check_wrong("flavour=4", "flavour", "not a key", "keys are name, arch");
    check_wrong("cpus>=many", "many", "number or a size", "whole number");
    check_wrong("memory>=4G", "4G", "number or a size", "GiB");
    check_wrong("cpus>=4 and", "", "a term is missing", "comparison");
    check_wrong("and cpus>=4", "and", "before `and`", "both sides");
    check_wrong("(cpus>=4", "", "`)` is missing", "close");
    check_wrong("cpus>=4)", ")", "no `(`", "remove");
    check_wrong("a b", "b", "not joined", "comma");
    check_wrong("a && b", "&&", "do not join", "`and`");
    check_wrong("a AND b", "AND", "not joined", "`and`");
    check_wrong("cpus==4", "==", "not an operator", "`=`");
    check_wrong("!a", "!", "not an operator", "`not`");
    check_wrong("tag=\"x", "\"x", "not closed", "end");
    check_wrong("Node-1", "Node-1", "not a machine's name", "a-z");
    check_wrong("cpus>4,5", ",", "one value", "any of them");
    check_wrong("a,", "", "a name is missing", "glob");
    check_wrong("tag=", "", "a value is missing", "`tag`");
    check_wrong("tag=[a]", "[", "can not stand", "quotes");
    check_wrong(&"(".repeat(100), "(", "too deep", "fewer");
}

#[test]
fn plain_names_are_listed_for_checking() {
    let selector = Selector::parse("a,b-* or not c and tag=d").unwrap();
    assert_eq!(selector.plain_names(), ["a", "c"]);
    assert!(Selector::parse("").unwrap().is_all());
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9*?._-]{1,8}".prop_filter("keyword", |word| !["and", "or", "not"].contains(&word.as_str())),
        Just("\"and\"".into()),
        "\"[ -!#-~]{0,8}\""
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let name = "[a-m*?][a-m0-9*?_-]{0,6}".prop_filter("keyword", |word| word != "and");
    let leaf = prop_oneof![
        proptest::collection::vec(name, 1..4).prop_map(|names| names.join(", ")),
        (
            proptest::sample::select(&["name", "arch", "type", "kernel", "tag"][..]),
            proptest::sample::select(&["=", "!=", " < ", "<=", ">", ">= "][..]),
            value()
        )
            .prop_map(|(key, operator, value)| format!("{key}{operator}{value}")),
        proptest::collection::vec(value(), 1..4).prop_map(|values| format!("tag={}", values.join(","))),
        (0_u32..99).prop_map(|n| format!("memory>={n}MiB")),
    ];
    leaf.prop_recursive(4, 32, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not {part}")),
            inner.clone().prop_map(|part| format!("({part})")),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" and ")),
            proptest::collection::vec(inner, 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_the_same(text in expression()) {
        let selector = Selector::parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let printed = selector.to_string();
        let again = Selector::parse(&printed);
        prop_assert_eq!(again.as_ref(), Ok(&selector), "{}", printed);
    }

    #[test]
    fn no_text_panics(text in "(\\PC|[ ()=<>!,\"a-z]){0,60}") {
        match Selector::parse(&text) {
            Ok(selector) => { let _ = selector.matches(&Machine); }
            Err(error) => { prop_assert!(text.get(error.from..error.to).is_some()); }
        }
    }
}

/// A disk of 100 GB.
struct Disk;

impl Facts for Disk {
    fn name(&self) -> &str {
        "disk-sda"
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        match key {
            "kind" => vec!["disk".into()],
            "type" => vec!["ssd".into()],
            "machine" => vec!["node-1".into()],
            "size" => vec!["100000000000".into()],
            _ => vec![],
        }
    }

    fn is_named(&self, pattern: &str) -> bool {
        glob_matches(pattern, "disk-sda") || glob_matches(pattern, "node-1/disk-sda")
    }
}

#[test]
fn resources_are_selected_by_the_same_grammar() {
    let cases = [
        ("", true),
        ("disk-sda", true),
        ("node-1/disk-sda", true),
        ("node-2/disk-sda", false),
        ("node-*/disk-*", true),
        ("kind=disk and type=ssd and size>=50GB", true),
        ("kind=cpu,disk and not machine=node-2", true),
        ("size<1GiB or type=hdd", false),
    ];
    for (text, selected) in cases {
        let selector = Selector::parse_resources(text).unwrap_or_else(|error| panic!("{error}; {}", error.hint));
        assert_eq!(selector.matches(&Disk), selected, "{text}");
        assert_eq!(Selector::parse_resources(&selector.to_string()), Ok(selector), "{text}");
    }
}

#[test]
fn wrong_selectors_of_resources_mark_their_place() {
    let cases = [
        ("kind=dsk", "dsk", "`dsk` is not a kind of resource", "kinds are cpu, disk, nic, memory, tape"),
        ("cpus>=4", "cpus", "`cpus` is not a key", "keys are kind, type, machine, size"),
        ("siez>1GB", "siez", "`siez` is not a key", "did you mean `size`? keys are kind, type, machine, size"),
        ("size>big", "big", "`size` is compared with a number or a size", ""),
        ("disk%a", "disk%a", "`disk%a` is not a resource's name", "names are like `disk-sda`"),
    ];
    for (text, place, message, hint) in cases {
        let error = Selector::parse_resources(text).expect_err(text);
        assert_eq!((&text[error.from..error.to], error.message.as_str()), (place, message));
        assert!(error.hint.starts_with(hint), "{}", error.hint);
    }
    assert!(Selector::parse("kind=disk").is_err(), "machines have no kind");
}

/// Answers for one thing.
struct One<'a>(&'a dyn Facts);

impl Sets for One<'_> {
    type Set = bool;

    fn term(&self, term: SelectorTerm<'_>) -> bool {
        match term {
            SelectorTerm::Names(names) => names.iter().any(|name| self.0.is_named(name)),
            SelectorTerm::Compare(comparison) => comparison.holds(self.0),
        }
    }

    fn not(&self, set: bool) -> bool {
        !set
    }

    fn and(&self, left: bool, right: bool) -> bool {
        left && right
    }

    fn or(&self, left: bool, right: bool) -> bool {
        left || right
    }
}

#[test]
fn terms_that_are_answered_apart_join_to_the_same() {
    let texts = [
        "cpus>=4 and not tag=slow or node-2",
        "not (node-* and cpus<2)",
        "tag=fast and tag!=lab2",
        "cpus>=4 and cpus<2",
    ];
    for text in texts {
        let selector = Selector::parse(text).expect("it is right");
        assert_eq!(selector.select(&One(&Machine)), selector.matches(&Machine), "{text}");
        let all = selector.conditions().iter().all(|condition| condition.matches(&Machine));
        assert_eq!(all, selector.matches(&Machine), "{text}");
    }
    let conditions = Selector::parse("cpus>=4 and cpus<2").expect("it is right").conditions();
    assert_eq!(conditions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["cpus>=4", "cpus<2"]);
}
