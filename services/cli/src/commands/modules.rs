//! `muster module`: the catalogue of test modules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::{Session, manifest, module_test, not_found, resources::kind_name, upload};
use crate::arguments::{ModuleAddArguments, ModuleCommand};
use crate::client::unexpected;
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Format, Table};

/// Name of the manifest in a module's folder.
const MANIFEST: &str = "module.toml";

pub(super) async fn run(session: &Session, command: ModuleCommand) -> Result<(), Failure> {
    match command {
        ModuleCommand::Add(arguments) => add(session, &arguments).await,
        ModuleCommand::List => {
            let modules = modules(session, "list modules", "").await?;
            session.print(&table(&modules)).await
        }
        ModuleCommand::Show { name } => show(session, &name).await,
        ModuleCommand::Remove { name, yes } => remove(session, name, yes).await,
        ModuleCommand::Test(arguments) => {
            // It waits for the module as a thread does.
            let format = session.format;
            let tested = tokio::task::spawn_blocking(move || module_test::run(&arguments, format));
            tested.await.context("test the module")?
        }
    }
}

async fn add(session: &Session, arguments: &ModuleAddArguments) -> Result<(), Failure> {
    let path = manifest_path(&arguments.path);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read the manifest {}", path.display()))?;
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let manifest = manifest::parse(&text).map_err(wrong)?;
    let mut module = manifest::module(&manifest).map_err(wrong)?;
    let what = format!("add {}", module.name);
    let beside = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let directory = arguments.artifacts.clone().unwrap_or(beside);
    let mut prepared = Vec::new();
    for artifact in &manifest.artifacts {
        prepared.push(upload::prepare(&what, artifact, &directory).await?);
    }
    prepared.sort_by(|a, b| a.artifact.architecture.cmp(&b.artifact.architecture));
    if let Some(twice) = prepared.windows(2).find(|p| p[0].artifact.architecture == p[1].artifact.architecture) {
        return Err(wrong(format!("two artifacts for {}", twice[0].artifact.architecture)));
    }
    module.artifacts = prepared.iter().map(|prepared| prepared.artifact.clone()).collect();
    for artifact in prepared {
        upload::upload(session.client.bus(), artifact).await?;
    }
    let kind = job_command::Kind::AddModule(v1::AddModule { module: Some(module) });
    print_change(session, session.client.job_command(&what, kind).await?).await
}

pub(super) fn manifest_path(given: &Path) -> PathBuf {
    if given.is_dir() { given.join(MANIFEST) } else { given.to_path_buf() }
}

async fn remove(session: &Session, name: String, yes: bool) -> Result<(), Failure> {
    let what = format!("remove {name}");
    let found = modules(session, &what, &name).await?;
    if found.is_empty() {
        return Err(missing(what, &name));
    }
    confirm(&what, &[format!("module {name}, which can no longer be started")], yes).await?;
    let kind = job_command::Kind::RemoveModule(v1::RemoveModule { name });
    print_change(session, session.client.job_command(&what, kind).await?).await
}

async fn print_change(session: &Session, reply: job_reply::Kind) -> Result<(), Failure> {
    let job_reply::Kind::ModuleChanged(changed) = reply else { return Err(unexpected("scheduler")) };
    let change = match (changed.unchanged, changed.version.is_empty()) {
        (true, _) => "unchanged",
        (false, true) => "removed",
        (false, false) => "added",
    };
    let mut table = Table::new(["module", "version", "change"].into_iter().map(Column::new).collect());
    table.push(vec![Cell::text(changed.name), Cell::text(changed.version), Cell::text(change)]);
    session.print(&table).await
}

async fn modules(session: &Session, what: &str, name: &str) -> Result<Vec<v1::Module>, Failure> {
    let query = job_query::Kind::Modules(v1::ListModules { name: name.to_owned() });
    match session.client.job_query(what, query).await? {
        job_reply::Kind::Modules(list) => Ok(list.modules),
        _ => Err(unexpected("scheduler")),
    }
}

fn missing(what: String, name: &str) -> Failure {
    not_found(what, format!("module `{name}` in the catalogue"), "`muster module list` shows all")
}

fn table(modules: &[v1::Module]) -> Table {
    let names = ["module", "version", "requires", "architectures", "description"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["parameters", "artifacts", "stop_grace_seconds", "ends_by_itself", "roles"].map(Column::programs));
    let mut table = Table::new(columns);
    for module in modules {
        table.push(vec![
            Cell::text(&module.name),
            Cell::text(&module.version),
            Cell::List(module.requirements.iter().map(requirement).collect()),
            Cell::List(module.artifacts.iter().map(|artifact| artifact.architecture.clone()).collect()),
            Cell::text(&module.description),
            Cell::List(module.parameters.iter().map(|parameter| parameter.name.clone()).collect()),
            Cell::List(module.artifacts.iter().map(|artifact| artifact.sha256.clone()).collect()),
            Cell::Span(Duration::from_millis(module.stop_grace_ms)),
            Cell::Flag(module.ends_by_itself),
            Cell::List(module.roles.clone()),
        ]);
    }
    table
}

fn requirement(required: &v1::Requirement) -> String {
    let kind = kind_name(required.kind());
    match (required.count, required.weight_milli) {
        (1, 1000) => kind.into(),
        (count, 1000) => format!("{count} {kind}"),
        (count, weight) => format!("{count} {kind} ({:.2})", f64::from(weight) / 1000.0),
    }
}

/// People see the module and then its parameters; programs see the parameters, for the module stands in the list.
async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let found = modules(session, "show a module", name).await?;
    let Some(module) = found.first() else { return Err(missing(format!("show {name}"), name)) };
    if session.format == Format::Table {
        session.print(&table(&found).upright()).await?;
        if module.parameters.is_empty() {
            return Ok(());
        }
        crate::output::write("\n")?;
    }
    let names = ["parameter", "type", "default", "minimum", "maximum", "values", "required", "live", "help"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for parameter in &module.parameters {
        table.push(vec![
            Cell::text(&parameter.name),
            Cell::text(type_name(parameter.r#type())),
            Cell::text(&parameter.default),
            Cell::text(&parameter.minimum),
            Cell::text(&parameter.maximum),
            Cell::List(parameter.values.clone()),
            Cell::Flag(parameter.required),
            Cell::Flag(parameter.live),
            Cell::text(&parameter.help),
        ]);
    }
    session.print(&table).await
}

fn type_name(kind: v1::ParameterType) -> &'static str {
    match kind {
        v1::ParameterType::Unspecified => "unknown",
        v1::ParameterType::Text => "text",
        v1::ParameterType::Integer => "integer",
        v1::ParameterType::Boolean => "boolean",
        v1::ParameterType::Size => "size",
        v1::ParameterType::Duration => "duration",
        v1::ParameterType::Choice => "choice",
    }
}
