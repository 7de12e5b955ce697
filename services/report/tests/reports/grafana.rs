//! The dashboard: each of its queries runs, as the role for reading, with what Grafana puts in.

use std::path::Path;

use serde_json::Value;

use crate::world::World;

/// What Grafana makes of its macros and of the variables of the dashboard.
const REPLACED: [(&str, &str); 6] = [
    ("$__timeGroupAlias(at,$__interval)", "to_timestamp(floor(extract(epoch FROM at) / 60) * 60) AS \"time\""),
    (
        "$__timeGroupAlias(placed_at,$__interval)",
        "to_timestamp(floor(extract(epoch FROM placed_at) / 60) * 60) AS \"time\"",
    ),
    ("$__interval_ms", "60000"),
    ("${metric:sqlstring}", "'written_bytes'"),
    ("${module:sqlstring}", "'high-io', 'tcp'"),
    ("${run:sqlstring}", "'1'"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_runs_for_the_role_for_reading() {
    let world = World::recorded().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/muster.json");
    let text = std::fs::read_to_string(path).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() >= 12, "{queries:?}");
    let client = world.store.client().await.expect("a connection");
    client.batch_execute("SET ROLE muster_reader").await.expect("the migration made it");
    let mut rows = 0;
    for query in &queries {
        let query = put_in(query);
        let found = client.query(&query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        assert!(!found.is_empty(), "nothing was recorded for {query}");
        rows += found.len();
    }
    assert!(rows > queries.len(), "{rows}");
    client.batch_execute("RESET ROLE").await.expect("back");
}

/// All statements, of panels and of variables.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                match inner {
                    Value::String(text) if (name == "rawSql" || name == "query") && text.starts_with("SELECT ") => {
                        queries.push(text.clone());
                    }
                    inner => collect(inner, queries),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, queries)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `$__timeFilter(column)` becomes the time of the recorded runs.
fn put_in(query: &str) -> String {
    let mut text = query.to_owned();
    for (macro_text, put) in REPLACED {
        text = text.replace(macro_text, put);
    }
    while let Some(begin) = text.find("$__timeFilter(") {
        let rest = &text[begin + "$__timeFilter(".len()..];
        let column = rest[..rest.find(')').expect("the macro ends")].to_owned();
        let put = format!("{column} BETWEEN '2023-11-14T00:00:00Z' AND '2023-11-16T00:00:00Z'");
        text = text.replace(&format!("$__timeFilter({column})"), &put);
    }
    assert!(!text.contains('$'), "a macro is not known here: {text}");
    text
}
