//! `muster kernel`: images that machines can be booted into.

use std::path::Path;

use anyhow::Context;
use muster_bus::Bucket;
use muster_kernel_image::{IMAGE_BYTES_MAX, KernelImage};
use muster_model::text::hex;
use muster_model::{KernelName, Refusal, RefusalCode};
use muster_proto::v1::{self, machine_command};
use sha2::{Digest, Sha256};

use super::upload::{self, Hashed};
use super::{Session, not_found};
use crate::arguments::{KernelAddArguments, KernelCommand};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: KernelCommand) -> Result<(), Failure> {
    match command {
        KernelCommand::Add(arguments) => add(session, arguments).await,
        KernelCommand::List => {
            let kernels = session.client.kernels("list kernels", "").await?;
            session.print(&table(&kernels)).await
        }
        KernelCommand::Show { name } => {
            let kernel = one(session, format!("show the kernel {name}"), &name).await?;
            session.print(&table(&[kernel]).upright()).await
        }
        KernelCommand::Remove { name, yes } => remove(session, &name, yes).await,
    }
}

async fn add(session: &Session, arguments: KernelAddArguments) -> Result<(), Failure> {
    let path = arguments.image.clone();
    let what = format!("add {}", path.display());
    let image = upload::hashed(&path).await?;
    let read = tokio::task::spawn_blocking({
        let what = what.clone();
        move || read_image(&what, &path)
    });
    let (said, sha256) = read.await.context("read the image")??;
    if sha256 != image.sha256 {
        return Err(anyhow::anyhow!("{} changed while it was read; try again", arguments.image.display()).into());
    }
    if said.build_id.is_none() && !arguments.no_build_id {
        let why = "it has no GNU build id, so another build of the same release would pass for it";
        let next = "build it with one (it is the default: `ld --build-id`), or say --no-build-id";
        return Err(Refusal::new(RefusalCode::Invalid, what, why, next).into());
    }
    let initrd = match &arguments.initrd {
        Some(path) => Some(upload::hashed(path).await.context("find the initial RAM disk")?),
        None => None,
    };
    let name = arguments.name.as_deref().unwrap_or(&said.release);
    let name = KernelName::new(name).map_err(|error| Failure::Usage(format!("{what}: {error}; give it a --name")))?;
    let kernel = kernel(&name, &said, &image, initrd.as_ref(), arguments.cmdline);
    // What is in the list has its files; what has the name of another one is refused, and nothing of it is put.
    if session.client.kernels(&what, name.as_str()).await?.is_empty() {
        for file in std::iter::once(image).chain(initrd) {
            upload::put(session.client.bus(), Bucket::Kernels, file).await?;
        }
    }
    let kind = machine_command::Kind::AddKernel(v1::AddKernel { kernel: Some(kernel) });
    let changed = session.client.kernel_command(&what, kind).await?;
    session.print(&table(&changed.kernel.into_iter().collect::<Vec<_>>())).await
}

/// What an image says of itself, and its digest.
fn read_image(what: &str, path: &Path) -> Result<(KernelImage, String), Failure> {
    let size = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    let invalid = |why: String| {
        let next = "give the image that a boot loader is given, like /boot/vmlinuz-6.1.0-18-amd64";
        Failure::from(Refusal::new(RefusalCode::Invalid, what, why, next))
    };
    if size > IMAGE_BYTES_MAX {
        return Err(invalid(format!("it has {size} bytes, which is more than any kernel image")));
    }
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let said = muster_kernel_image::read(&bytes).map_err(|error| invalid(error.to_string()))?;
    Ok((said, hex(&Sha256::digest(&bytes))))
}

fn kernel(
    name: &KernelName,
    said: &KernelImage,
    image: &Hashed,
    initrd: Option<&Hashed>,
    command_line: String,
) -> v1::Kernel {
    v1::Kernel {
        name: name.to_string(),
        release: said.release.clone(),
        build_id: said.build_id.clone().unwrap_or_default(),
        architecture: said.architecture.into(),
        image_sha256: image.sha256.clone(),
        image_size_bytes: image.size_bytes,
        initrd_sha256: initrd.map_or_else(String::new, |initrd| initrd.sha256.clone()),
        initrd_size_bytes: initrd.map_or(0, |initrd| initrd.size_bytes),
        command_line,
        added_ns: 0,
    }
}

async fn remove(session: &Session, name: &str, yes: bool) -> Result<(), Failure> {
    let what = format!("remove the kernel {name}");
    one(session, what.clone(), name).await?;
    confirm(&what, &[format!("kernel {name}, which can no longer be booted")], yes).await?;
    let kind = machine_command::Kind::RemoveKernel(v1::RemoveKernel { name: name.to_owned() });
    let changed = session.client.kernel_command(&what, kind).await?;
    for sha256 in &changed.unused {
        session.client.bus().delete_object(Bucket::Kernels, sha256).await?;
    }
    session.print(&table(&changed.kernel.into_iter().collect::<Vec<_>>())).await
}

async fn one(session: &Session, what: String, name: &str) -> Result<v1::Kernel, Failure> {
    let found = session.client.kernels(&what, name).await?.into_iter().next();
    let missing = || not_found(what, format!("kernel `{name}`"), "`muster kernel list` shows all");
    found.filter(|_| !name.is_empty()).ok_or_else(missing)
}

fn table(kernels: &[v1::Kernel]) -> Table {
    let names = ["kernel", "release", "architecture", "build_id", "image_bytes", "initrd_bytes", "added_time"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["image_sha256", "initrd_sha256", "command_line"].map(Column::programs));
    let mut table = Table::new(columns);
    for kernel in kernels {
        let has_initrd = !kernel.initrd_sha256.is_empty();
        table.push(vec![
            Cell::text(&kernel.name),
            Cell::text(&kernel.release),
            Cell::text(&kernel.architecture),
            Cell::text(&kernel.build_id),
            Cell::Bytes(kernel.image_size_bytes),
            if has_initrd { Cell::Bytes(kernel.initrd_size_bytes) } else { Cell::None },
            Cell::time_ns(kernel.added_ns),
            Cell::text(&kernel.image_sha256),
            Cell::text(&kernel.initrd_sha256),
            Cell::text(&kernel.command_line),
        ]);
    }
    table
}
