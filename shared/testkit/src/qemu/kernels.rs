//! Two of the distribution's kernels, small ones for virtual machines: unpacked, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::tools;

/// What depends on the distribution's present kernel for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";
/// The same for all machines: where there is no second one for virtual machines.
const GENERIC: &str = "linux-image-amd64";
const SUFFIX: &str = "-cloud-amd64";

/// A kernel of the distribution.
#[derive(Debug, Clone)]
pub struct GuestKernel {
    /// Release, as uname(2) tells it.
    pub release: String,
    /// The image.
    pub image: PathBuf,
    /// Folder with its modules.
    pub(super) modules: PathBuf,
}

/// Two kernels that differ: what a machine boots by itself, and what it is ordered into.
///
/// # Errors
/// When they can not be obtained.
pub(super) fn two() -> anyhow::Result<[GuestKernel; 2]> {
    let packages = packages()?;
    Ok([unpack(&packages.0)?, unpack(&packages.1)?])
}

/// Their packages: the same ones for as long as the folder of tools is kept.
fn packages() -> anyhow::Result<(String, String)> {
    let kept = tools::directory().join("guest-kernels");
    let text = std::fs::read_to_string(&kept).unwrap_or_default();
    if let Some((own, other)) = text.trim().split_once(' ') {
        return Ok((own.into(), other.into()));
    }
    let own = dependency(NEWEST)?;
    let other = match other_of(&own, &all()?) {
        Some(other) => other,
        None => dependency(GENERIC)?,
    };
    std::fs::create_dir_all(tools::directory()).context("make the folder of tools")?;
    std::fs::write(&kept, format!("{own} {other}\n")).with_context(|| format!("write {}", kept.display()))?;
    Ok((own, other))
}

fn unpack(package: &str) -> anyhow::Result<GuestKernel> {
    let folder = tools::unpacked(package)?;
    let release = package.strip_prefix("linux-image-").context("a kernel's package is called so")?.to_owned();
    let image = folder.join("boot").join(format!("vmlinuz-{release}"));
    let modules = [folder.join("lib/modules"), folder.join("usr/lib/modules")].map(|modules| modules.join(&release));
    let modules = modules.into_iter().find(|modules| modules.is_dir());
    ensure!(image.is_file(), "find {}", image.display());
    Ok(GuestKernel { modules: modules.context("find the kernel's modules")?.join("kernel"), release, image })
}

/// The package that a package without files depends on.
fn dependency(package: &str) -> anyhow::Result<String> {
    let find = || {
        let text = apt_cache(&["depends", package]).ok()?;
        let found = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-").map(str::to_owned));
        found.map(|rest| format!("linux-image-{rest}"))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let _ = tools::run_in(Path::new("/"), "apt-get", &["update", "-q"]);
    find().with_context(|| {
        format!("find what {package} depends on; the tests need a Debian system with its package lists")
    })
}

fn all() -> anyhow::Result<Vec<String>> {
    let names = apt_cache(&["pkgnames", "linux-image-"])?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// The newest one beside `own` of the same upstream version.
fn other_of(own: &str, names: &[String]) -> Option<String> {
    let number = |name: &str| -> Option<(String, u32)> {
        let (version, build) = name.strip_suffix(SUFFIX)?.rsplit_once('-')?;
        Some((version.to_owned(), build.parse().ok()?))
    };
    let (version, build) = number(own)?;
    let others = names.iter().filter_map(|name| Some((number(name)?, name)));
    let others = others.filter(|((other, number), _)| *other == version && *number != build);
    others.max_by_key(|((_, number), _)| *number).map(|(_, name)| name.clone())
}

fn apt_cache(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("apt-cache").args(arguments).output().context("run apt-cache")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_kernel_is_the_next_one_of_the_same_version() {
        let names = ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.0-99-cloud-amd64", "6.1.0-99-amd64"];
        let names = names.map(|name| format!("linux-image-{name}"));
        let other = other_of("linux-image-6.1.0-57-cloud-amd64", &names);
        assert_eq!(other.as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(other_of("linux-image-6.2.0-1-cloud-amd64", &names), None);
    }
}
