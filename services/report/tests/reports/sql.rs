//! The views that other programs read: documented, and all that the role for reading may see.

use std::fmt::Write as _;
use std::path::Path;

use muster_store::REPORT_ROLE;

use crate::world::World;

const PAGE: &str = "docs/sql.md";
/// Set to write the page instead of comparing it.
const WRITE: &str = "MUSTER_WRITE_PAGES";

const INTRODUCTION: &str = "\
# Reading the store with SQL

Other programs may read the views below. Their names and columns stay as they are: columns are only added, at the end. Every other table and
view belongs to Muster and may change with any version. Times are pool time. A run, a job and a process together name a process; `dpid` is
how people write job and process.

The role `muster_reader` may read these views and nothing else. It can not log in by itself: `CREATE ROLE grafana LOGIN PASSWORD '...' IN ROLE
muster_reader`. Where Muster's own user may not make roles, a superuser runs `CREATE ROLE muster_reader NOLOGIN` before Muster is installed.
`deploy/grafana/muster.json` is a dashboard over these views for Grafana's own PostgreSQL data source.

This page is made from the comments in the database: `MUSTER_WRITE_PAGES=1 cargo test --workspace --test reports sql`.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_views_is_what_the_database_says() {
    let world = World::recorded().await;
    let page = page(&world).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "{PAGE} is stale: run with {WRITE}=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_for_reading_reads_its_views_and_nothing_else() {
    let world = World::recorded().await;
    let client = world.store.client().await.expect("a connection");
    let views = views(&world).await;
    assert!(views.len() >= 12, "{views:?}");
    client.batch_execute("SET ROLE muster_reader").await.expect("the migration made it");
    for (view, _) in &views {
        client
            .query(&format!("SELECT * FROM {view} LIMIT 10"), &[])
            .await
            .unwrap_or_else(|error| panic!("{view}: {error}"));
    }
    for refused in
        ["SELECT * FROM archive", "INSERT INTO run VALUES (9, now())", "DELETE FROM series", "CREATE TABLE own (x int)"]
    {
        let error = client.batch_execute(refused).await.expect_err(refused);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{refused}: {error}");
    }
    client.batch_execute("RESET ROLE").await.expect("back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_the_report_service_reads_everything_and_changes_nothing() {
    let world = World::recorded().await;
    let client = world.store.client().await.expect("a connection");
    client.batch_execute(&format!("SET ROLE {REPORT_ROLE}")).await.expect("the migration made it");
    let select = "SELECT c.oid::regclass::text, c.relkind::text FROM pg_class AS c \
        JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE n.nspname = current_schema() AND c.relkind IN ('v', 'r', 'p', 'm') ORDER BY 1";
    let rows = client.query(select, &[]).await.expect("the catalogue");
    assert!(rows.len() > 30, "{} tables and views", rows.len());
    for row in &rows {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        client.query(&format!("SELECT * FROM {name} LIMIT 1"), &[]).await.unwrap_or_else(|error| panic!("{error}"));
        let mut refused = vec![format!("INSERT INTO {name} DEFAULT VALUES"), format!("DELETE FROM {name}")];
        if kind != "v" {
            refused.extend([format!("TRUNCATE {name}"), format!("DROP TABLE {name}")]);
            refused.push(format!("ALTER TABLE {name} ADD COLUMN own int"));
        }
        for statement in refused {
            let error = client.batch_execute(&statement).await.expect_err(&statement);
            let code = error.code().map(|code| code.code());
            // A view over several tables is written to by nobody.
            assert!(code == Some("42501") || (kind == "v" && code == Some("55000")), "{statement}: {error:?}");
        }
    }
    for statement in ["CREATE TABLE own (x int)", "ALTER ROLE muster_report SUPERUSER"] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{statement}: {error}");
    }
    client.batch_execute("RESET ROLE").await.expect("back");
    // What is made later it may read too.
    client.batch_execute("CREATE TABLE later (x int)").await.expect("the owner may");
    let sql = "SELECT has_table_privilege('muster_report', 'later', 'SELECT')";
    assert!(client.query_one(sql, &[]).await.expect("the catalogue").get::<_, bool>(0));
    client.batch_execute("DROP TABLE later").await.expect("the owner may");
}

/// Views that the role may read, with their comments.
async fn views(world: &World) -> Vec<(String, String)> {
    let select = "SELECT c.relname::text, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c \
        JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE n.nspname = current_schema() AND c.relkind IN ('v', 'r', 'p', 'm') AND has_table_privilege('muster_reader', c.oid, 'SELECT') \
        ORDER BY 1 LIMIT 1000";
    let client = world.store.client().await.expect("a connection");
    let rows = client.query(select, &[]).await.expect("the catalogue");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn page(world: &World) -> String {
    let select = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(col_description(a.attrelid, a.attnum), '') \
        FROM pg_attribute AS a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LIMIT 1000";
    let client = world.store.client().await.expect("a connection");
    let mut page = String::from(INTRODUCTION);
    for (view, comment) in views(world).await {
        assert!(!comment.is_empty(), "the view {view} has no comment");
        let _ = write!(page, "\n## {view}\n{comment}\n\n| column | type | what |\n|---|---|---|\n");
        for row in client.query(select, &[&view]).await.expect("its columns") {
            let (column, kind, comment): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            assert!(!comment.is_empty(), "the column {view}.{column} has no comment");
            let _ = writeln!(page, "| {column} | {kind} | {comment} |");
        }
    }
    page
}
