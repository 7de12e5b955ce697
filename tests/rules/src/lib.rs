//! Rules of this repository, as tests: layers, generated files, sizes. Depends on no crate of ours, so that it can generate the
//! code that they are built from.

pub mod codegen;
pub mod lock;
pub mod metrics;

use std::path::{Path, PathBuf};

/// Root of the project.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

/// A source file of the project.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every Rust file of the project that a person wrote.
#[must_use]
pub fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["shared", "services", "modules", "tests", "xtask"] {
        collect(&root, &root.join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("gen") && !path.ends_with("target") {
                collect(root, &path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    }
}
