//! The owning services: a job starts and stops, a machine is checked out and given back. What they send is what they do: appends,
//! projections, snapshots, leases, commands, answers.

use muster_e2e::{SETTLE_LIMIT, job_number, lab};
use muster_testkit::lab::Lab;
use muster_testkit::{Client, Effects, wait_until};
use serde_json::Value;

use super::{End, Part, Scenario, none_differs};

macro_rules! service {
    ($name:literal) => {
        Part {
            name: $name,
            program: concat!("muster-", $name),
            effects: Effects::OfBus,
            process: |lab| lab.service(concat!($name, "-a")),
            comes_back: false,
            before: |_| Ok(()),
            scenario,
            forgives: |_, _| (),
        }
    };
}

fn scenario(_: &Lab) -> Scenario {
    Box::new(|client| {
        let epoch = settled(client)?["epoch"].as_u64().unwrap_or_default();
        let job = job_number(&client.json(&["start", "idle", "--processes", "2", "--wait", "--timeout", "60s"])?)?;
        client.ok(&["stop", &job.to_string(), "--wait", "--timeout", "60s"])?;
        let reserved = client.json(&["reserve", "node-1", "--for", "1h", "--wait", "--timeout", "60s"])?;
        let reservation = reserved[0]["reservation"].as_u64().unwrap_or_default();
        client.ok(&["checkin", &reservation.to_string()])?;
        let machine = settled(client)?;
        let of = |rows: Value, names: &[&str]| {
            let rows = rows.as_array().cloned().unwrap_or_default();
            rows.iter().map(|row| names.iter().map(|name| row[*name].to_string()).collect()).collect::<Vec<Vec<_>>>()
        };
        let processes = client.json(&["ps", "--all", "--job", &job.to_string()])?;
        let jobs = client.json(&["jobs", "--all"])?.as_array().map_or(0, Vec::len);
        let reservations = client.json(&["reservation", "list", "--all"])?;
        let known = reservations.as_array().map_or(0, Vec::len);
        let own = client.json(&["reservation", "show", &reservation.to_string()])?;
        let words = ["state", "verdict", "exit_status", "attempt", "reason"];
        Ok(End::from([
            ("processes", format!("{:?}", of(processes, &words))),
            ("jobs beside it", (jobs as u64 - job).to_string()),
            ("the reservation", format!("{:?}", of(own, &["state", "end", "reason", "machines"]))),
            ("reservations beside it", (known as u64 - reservation).to_string()),
            ("the machine", format!("{:?}", of(Value::from(vec![machine.clone()]), &["phase", "tenure", "user"]))),
            ("epochs", (machine["epoch"].as_u64().unwrap_or_default() - epoch).to_string()),
        ]))
    })
}

/// The machine, once it is the pool's and fenced.
fn settled(client: &Client) -> anyhow::Result<Value> {
    let mut machine = Value::Null;
    wait_until("the machine is the pool's", SETTLE_LIMIT, || {
        machine = client.json(&["machine", "list"]).map(|rows| rows[0].clone()).unwrap_or_default();
        machine["tenure"] == "pool" && machine["health"] == "up" && machine["fenced_epoch"] == machine["epoch"]
    })?;
    Ok(machine)
}

#[test]
fn a_kill_before_anything_that_an_owning_service_sends_changes_no_end() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    none_differs(&mut lab, &[service!("scheduler"), service!("machine-lifecycle"), service!("reservation")]);
    lab.down().expect("nothing is left running");
}
