//! Which task of a plan each process is of, from the plan's events as protobuf JSON, in which what is 0 or empty is left out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Tasks of a plan; empty for a job that is none.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Step and task, by their place in the plan.
    names: Vec<(String, String)>,
    /// Places by first process number and attempt, with how many follow.
    placed: BTreeMap<(i64, i64), (i64, usize)>,
    with_processes: BTreeSet<usize>,
    ended: BTreeMap<usize, (String, String, String)>,
}

/// A task that never had processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Untried {
    pub(super) step: String,
    pub(super) task: String,
    pub(super) state: String,
    pub(super) verdict: String,
    pub(super) reason: String,
}

impl Tasks {
    /// Takes an event of the plan.
    pub(super) fn take(&mut self, kind: &str, detail: &Value) {
        match kind {
            "plan_started" => self.started(detail),
            "plan_task_placed" => self.placed(detail),
            "plan_tasks_ended" => self.ended(detail),
            _ => {}
        }
    }

    fn started(&mut self, plan: &Value) {
        for step in items(&plan["steps"]) {
            let names = items(&step["tasks"]).map(|task| (word(step, "name"), word(task, "name")));
            self.names.extend(names);
        }
    }

    fn placed(&mut self, placed: &Value) {
        let (task, attempt) = (place(placed), number(placed, "process_attempt"));
        self.with_processes.insert(task);
        for placement in items(&placed["parts"]).flat_map(|part| items(&part["placements"])) {
            self.placed.insert((number(placement, "first"), attempt), (number(placement, "count"), task));
        }
    }

    fn ended(&mut self, ended: &Value) {
        for end in items(&ended["ends"]) {
            let lower = |name: &str, prefix: &str| word(end, name).replace(prefix, "").to_lowercase();
            let told = (lower("state", "TASK_STATE_"), lower("verdict", "VERDICT_"), word(end, "reason"));
            self.ended.insert(place(end), told);
        }
    }

    /// Step and task of an attempt of a process.
    pub(super) fn of_process(&self, process: i64, attempt: i64) -> Option<(String, String)> {
        // Attempts of one process may be placed one by one: the newest placement of the number, or of this attempt, says its task.
        let of_attempt = |attempt: i64| {
            let mut before = self.placed.iter().filter(|((first, of), _)| *first <= process && *of == attempt);
            before.next_back().filter(|((first, _), (count, _))| process < first + count).map(|(_, (_, task))| *task)
        };
        let task = (1..=attempt).rev().find_map(of_attempt)?;
        self.names.get(task).cloned()
    }

    /// Tasks that never had processes.
    pub(super) fn without_processes(&self) -> impl Iterator<Item = Untried> {
        let untried = self.names.iter().enumerate().filter(|(place, _)| !self.with_processes.contains(place));
        untried.map(|(place, (step, task))| {
            let (state, verdict, reason) = self.ended.get(&place).cloned().unwrap_or_default();
            Untried { step: step.clone(), task: task.clone(), state, verdict, reason }
        })
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn word(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

fn number(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or_default()
}

fn place(object: &Value) -> usize {
    usize::try_from(number(object, "task")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan() -> Tasks {
        let mut tasks = Tasks::default();
        tasks.take(
            "plan_started",
            &json!({"steps": [{"name": "first", "tasks": [{"name": "a"}]}, {"name": "second", "tasks": [{"name": "b"}, {"name": "c"}]}]}),
        );
        tasks.take(
            "plan_task_placed",
            &json!({"process_attempt": 1, "parts": [{"placements": [{"first": 1, "count": 2}]}]}),
        );
        tasks.take(
            "plan_task_placed",
            &json!({"task": 1, "process_attempt": 1, "parts": [{"placements": [{"first": 3, "count": 1}]}]}),
        );
        tasks.take(
            "plan_tasks_ended",
            &json!({"ends": [{"task": 2, "state": "TASK_STATE_SKIPPED", "reason": "a failed"}]}),
        );
        tasks
    }

    #[test]
    fn each_process_is_of_the_task_that_it_was_placed_for() {
        let tasks = plan();
        let of = |process, attempt| tasks.of_process(process, attempt).map(|(step, task)| format!("{step}/{task}"));
        assert_eq!(of(1, 1).as_deref(), Some("first/a"));
        assert_eq!(of(2, 3).as_deref(), Some("first/a"), "a process that was replaced stays of its task");
        assert_eq!(of(3, 1).as_deref(), Some("second/b"));
        assert_eq!(of(4, 1), None);
        assert_eq!(Tasks::default().of_process(1, 1), None);
    }

    #[test]
    fn a_task_that_was_never_tried_says_why() {
        let untried: Vec<Untried> = plan().without_processes().collect();
        assert_eq!((untried.len(), untried[0].task.as_str(), untried[0].state.as_str()), (1, "c", "skipped"));
        assert_eq!(untried[0].reason, "a failed");
    }
}
