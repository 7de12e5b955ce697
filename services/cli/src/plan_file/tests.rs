//! Files of plans, good and bad.

use super::parse;

/// The example of docs/plans.md.
const EXAMPLE: &str = include_str!("../../../../docs/plans.md");

fn example() -> &'static str {
    let (_, from) = EXAMPLE.split_once("```toml\n").expect("the page has an example");
    from.split_once("```").expect("the example ends").0
}

#[test]
fn the_example_of_the_page_is_read() {
    let plan = parse(example(), "nightly").expect("the example is good");
    let after: Vec<(&str, Vec<&str>)> =
        plan.steps.iter().map(|step| (step.name.as_str(), step.after.iter().map(String::as_str).collect())).collect();
    assert_eq!(
        after,
        [("smoke", vec![]), ("load", vec!["smoke"]), ("net", vec!["smoke"]), ("last", vec!["load", "net"])]
    );
    let net = &plan.steps[2].tasks[0];
    let roles: Vec<(&str, u32)> = net
        .roles
        .iter()
        .map(|role| (role.name.as_str(), role.start.as_ref().map_or(0, |start| start.processes)))
        .collect();
    assert_eq!(roles, [("target", 1), ("load", 2)]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let task = "[[step.task]]\nname = \"t\"\nmodule = \"idle\"\nprocesses = 1\n";
    let step = "[[step]]\nname = \"s\"\n";
    for (text, expected) in [
        (String::new(), "it has no [[step]]"),
        (format!("colour = 1\n{step}{task}"), "line 1"),
        (format!("{step}after_all = []\n{task}"), "line 3"),
        (format!("{step}{task}colour = 1\n"), "line 7"),
        (step.to_owned(), "step s: it has no [[step.task]]"),
        (
            format!("{step}on_failure = \"panic\"\n{task}"),
            "step s: on_failure is stop, continue or checkout, not `panic`",
        ),
        (format!("{step}{task}per_machine = 1\n"), "step s: task t: give one of processes"),
        (format!("{step}{task}limit = \"soon\"\n"), "step s: task t: limit: "),
        (format!("{step}{task}limit = \"0s\"\n"), "step s: task t: limit is longer than nothing"),
        (format!("{step}{task}attempts = 0\n"), "step s: task t: attempts begin with 1"),
        (format!("{step}[[step.task]]\nname = \"t\"\n"), "step s: task t: it has neither a module nor"),
        (format!("{step}{task}[[step.task.role]]\nname = \"a\"\nmodule = \"idle\"\n"), "step s: task t: it has roles"),
    ] {
        let why = parse(&text, "x").expect_err(&text);
        assert!(why.contains(expected), "{why} for {text}");
    }
}

#[test]
fn parameters_are_words_numbers_or_flags() {
    let text = "[[step]]\nname = \"s\"\n[[step.task]]\nname = \"t\"\nmodule = \"idle\"\nprocesses = 1\n\
                parameters = { exit_after = \"1s\", exit_code = 1, hang = true }\n";
    let plan = parse(text, "x").expect("it is good");
    let start = plan.steps[0].tasks[0].roles[0].start.as_ref().expect("it starts something");
    let given: Vec<(&str, &str)> =
        start.parameters.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    assert_eq!(given, [("exit_after", "1s"), ("exit_code", "1"), ("hang", "true")]);
    assert_eq!(plan.name, "x");
}
