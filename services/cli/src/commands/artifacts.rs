//! `muster artifact`: lists files of processes, and fetches them from the object store; each is checked by its SHA-256.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use muster_bus::Bucket;
use muster_model::text::hex;
use muster_model::{FiringId, Refusal, RefusalCode};
use muster_proto::v1::{self, cell::Value, report_query};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Session, not_found, reports};
use crate::arguments::{ArtifactCommand, ArtifactGetArguments, ArtifactListArguments};
use crate::exit::Failure;
use crate::output;

/// Files are copied in pieces of this size.
const PIECE_SIZE: usize = 128 * 1024;
/// Names of files that crashes left begin so; the machine follows.
const CRASH: &str = "crash/";

pub(super) async fn run(session: &Session, command: ArtifactCommand) -> Result<(), Failure> {
    reports::catch_up(session).await?;
    match command {
        ArtifactCommand::List(arguments) => list(session, &arguments).await,
        ArtifactCommand::Get(arguments) => get(session, arguments).await,
    }
}

async fn list(session: &Session, arguments: &ArtifactListArguments) -> Result<(), Failure> {
    let named = arguments.process;
    let filter = v1::ReportFilter {
        run: named.and_then(|name| name.run).map_or(arguments.run, |run| run.0),
        job: named.map_or(0, |name| name.dpid.job.0),
        ..Default::default()
    };
    let query = v1::ArtifactQuery {
        filter: Some(filter),
        process: named.map_or(0, |name| name.dpid.process.0),
        corruption: arguments.corruption.unwrap_or(0),
        name: String::new(),
        firing: bytes_of(arguments.firing),
        crash_files: arguments.crash_files,
    };
    reports::show(session, &ask(session, "artifact list", query).await?)
}

async fn get(session: &Session, arguments: ArtifactGetArguments) -> Result<(), Failure> {
    let ArtifactGetArguments { name, corruption, firing, to } = arguments;
    let query = v1::ArtifactQuery {
        corruption: corruption.unwrap_or(0),
        name: name.clone().unwrap_or_default(),
        firing: bytes_of(firing),
        ..Default::default()
    };
    let reply = ask(session, "artifact get", query).await?;
    let files: Vec<Stored> = reply.rows.iter().filter_map(|row| Stored::of(&reply.columns, row)).collect();
    if files.is_empty() {
        let thing = match (corruption, firing) {
            (Some(number), _) => format!("stored file of corruption {number}"),
            (None, Some(firing)) => format!("stored file of the firing {firing}"),
            (None, None) => format!("stored file `{}`", name.unwrap_or_default()),
        };
        let next = "its agent brings files within seconds, where the machine is up; `muster artifact list` shows what there is";
        return Err(not_found("artifact get".into(), thing, next));
    }
    for file in &files {
        let to = if firing.is_some() { to.join(file.origin()?) } else { to.clone() };
        tokio::fs::create_dir_all(&to).await.with_context(|| format!("make the directory {}", to.display()))?;
        let path = fetch(session, file, &to).await?;
        output::write(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

fn bytes_of(firing: Option<FiringId>) -> Bytes {
    firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into()
}

async fn ask(session: &Session, what: &str, query: v1::ArtifactQuery) -> Result<v1::ReportReply, Failure> {
    session.client.report(what, report_query::Kind::Artifact(query)).await
}

/// A file as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    bucket: Bucket,
    name: String,
    sha256: String,
}

impl Stored {
    fn of(columns: &[v1::Column], row: &v1::Row) -> Option<Self> {
        let text = |name: &str| {
            let at = columns.iter().position(|column| column.name == name)?;
            match row.cells.get(at)?.value.as_ref()? {
                Value::Text(text) => Some(text.clone()),
                Value::Number(_) | Value::Integer(_) => None,
            }
        };
        let bucket = text("bucket")?;
        let bucket = Bucket::ALL.into_iter().find(|known| known.as_str() == bucket)?;
        Some(Self { bucket, name: text("name")?, sha256: text("sha256")? })
    }

    /// What its file is called here: the last part of its name, which a process chose. It leads nowhere else.
    fn file_name(&self) -> Result<&str, Failure> {
        self.checked(self.name.rsplit('/').next().unwrap_or_default())
    }

    /// Whose it is, as a name of a directory: of the machine that crashed, or of the process.
    fn origin(&self) -> Result<&str, Failure> {
        let of_crash = self.name.strip_prefix(CRASH);
        self.checked(of_crash.unwrap_or(&self.name).split('/').next().unwrap_or_default())
    }

    fn checked<'a>(&self, part: &'a str) -> Result<&'a str, Failure> {
        if matches!(part, "" | "." | "..") || part.chars().any(char::is_control) {
            return Err(refusal(self, "its name can not be a file's", "read it with the tools of NATS"));
        }
        Ok(part)
    }
}

/// Fetches a file into a directory: under another name first, so that what bears its name is whole and right.
async fn fetch(session: &Session, file: &Stored, directory: &Path) -> Result<PathBuf, Failure> {
    let path = directory.join(file.file_name()?);
    if path.exists() {
        return Err(refusal(file, &format!("{} is there already", path.display()), "give another directory with --to"));
    }
    let Some(object) = session.client.bus().get_object(file.bucket, &file.name).await? else {
        let next =
            "the object store keeps files for a limited time; the report of the corruption keeps its first sector";
        return Err(not_found("artifact get".into(), format!("`{}` in the object store any more", file.name), next));
    };
    let partial = path.with_file_name(format!("{}.partial", file.file_name()?));
    let found =
        copy(object, &partial).await.with_context(|| format!("fetch {} into {}", file.name, partial.display()))?;
    if found != file.sha256 {
        // The report is the trouble to tell; a file that is left says by its name that it is not whole.
        let _ = tokio::fs::remove_file(&partial).await;
        let why = format!("its SHA-256 is {found}, but its agent stored {}", file.sha256);
        return Err(refusal(file, &why, "it was replaced or damaged in the object store; trust the report instead"));
    }
    tokio::fs::rename(&partial, &path).await.with_context(|| format!("name {}", path.display()))?;
    Ok(path)
}

/// Copies an object to a new file; its SHA-256.
async fn copy(mut object: impl AsyncRead + Unpin, path: &Path) -> io::Result<String> {
    let mut file = File::create(path).await?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE_SIZE]);
    loop {
        let read = object.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        file.write_all(&piece[..read]).await?;
    }
    file.sync_all().await?;
    Ok(hex(&hash.finalize()))
}

fn refusal(file: &Stored, why: &str, next: &str) -> Failure {
    Refusal::new(RefusalCode::Refused, format!("artifact get {}", file.name), why, next).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_process_leads_out_of_no_directory() {
        let named = |name: &str| Stored { bucket: Bucket::Artifacts, name: name.into(), sha256: String::new() };
        assert_eq!(named("1-00010001-1/a.bin").file_name().ok(), Some("a.bin"));
        assert_eq!(named("1-00010001").file_name().ok(), Some("1-00010001"));
        for bad in ["1-00010001-1/..", "1-00010001-1/.", "1-00010001-1/", "", "a/b\nc"] {
            assert!(named(bad).file_name().is_err(), "{bad:?}");
        }
        assert_eq!(named("crash/node-1/0193/vmcore").origin().ok(), Some("node-1"));
        assert_eq!(named("1-00010001-1/history-3-01.csv").origin().ok(), Some("1-00010001-1"));
        assert!(named("../x").origin().is_err() && named("crash/../0193/x").origin().is_err());
    }
}
