//! Generates the Rust of `proto/` with protox, so that nobody needs protoc. Not responsible for conversions to the model.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where the generated code is checked in, from the root of the project.
pub const GENERATED: &str = "shared/proto/src/gen/muster.v1.rs";
/// Where the descriptors that `muster decode` reads are checked in, from the root of the project.
pub const DESCRIPTORS: &str = "shared/proto/src/gen/muster.v1.binpb";

/// Compiles every file below `proto/` and writes code and descriptors below `output`.
pub fn generate(root: &Path, output: &Path) -> anyhow::Result<()> {
    let files = proto_files(root)?;
    let descriptors = protox::compile(&files, [root.join("proto")]).context("compile proto files")?;
    let mut stripped = descriptors.clone();
    for file in &mut stripped.file {
        file.source_code_info = None;
    }
    std::fs::create_dir_all(output).context("create output directory")?;
    std::fs::write(output.join("muster.v1.binpb"), prost::Message::encode_to_vec(&stripped))
        .context("write descriptors")?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).out_dir(output);
    config.compile_fds(descriptors).context("generate code")
}

fn proto_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = root.join("proto/muster/v1");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Regenerates the checked-in code of the project at `root`.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let output = root.join(GENERATED);
    generate(root, output.parent().context("find the folder of the generated code")?)?;
    println!("{GENERATED}\n{DESCRIPTORS}");
    Ok(())
}
