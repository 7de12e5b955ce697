//! The disk of guests, made without root and without loop devices: GRUB in front of the first partition (ext4), which has the stock
//! kernel and the agent; systemd-boot in the second one (FAT), which firmware for EFI boots.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::tools::{packaged_in, run_in, unpacked};

const MIB: u64 = 1 << 20;
/// The first partition: kernels twice, the agent, its state.
const BOOT: (u64, u64) = (MIB, 256 * MIB);
/// The second one: kernels twice.
const ESP: (u64, u64) = (BOOT.0 + BOOT.1, 96 * MIB);
/// Types in the table of partitions.
const LINUX: u8 = 0x83;
const EFI: u8 = 0xef;
const SECTOR: u64 = 512;

/// Modules of GRUB. It reads `next_entry` only where it knows its terminal and can load its environment.
const MODULES: [&str; 17] = [
    "biosdisk",
    "part_msdos",
    "ext2",
    "normal",
    "linux",
    "loadenv",
    "test",
    "echo",
    "search",
    "search_fs_file",
    "terminal",
    "terminfo",
    "serial",
    "reboot",
    "minicmd",
    "configfile",
    "ls",
];
/// Modules without which `next_entry` is passed over.
const FOR_NEXT_ENTRY: [&str; 1] = ["loadenv"];

/// Whether a disk's GRUB takes what is to be booted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BootOnce {
    /// It does.
    Taken,
    /// It lacks the module for it.
    Ignored,
}

/// Makes a disk of folders with the content of its partitions.
pub(super) fn make(disk: &Path, boot: &Path, esp: &Path, scratch: &Path) -> anyhow::Result<()> {
    let file = File::create(disk).with_context(|| format!("write {}", disk.display()))?;
    file.set_len(ESP.0 + ESP.1).context("size the disk")?;
    write_table(&file).context("write the table of partitions")?;
    make_boot(disk, boot)?;
    make_esp(disk, esp)?;
    write_grub(disk, scratch, BootOnce::Taken)
}

fn write_table(file: &File) -> std::io::Result<()> {
    let row = |active: u8, kind: u8, (start, size): (u64, u64)| {
        let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).expect("the disk is small").to_le_bytes();
        let mut row = [0; 16];
        (row[0], row[4]) = (active, kind);
        row[8..12].copy_from_slice(&sectors(start));
        row[12..].copy_from_slice(&sectors(size));
        row
    };
    file.write_all_at(&[row(0x80, LINUX, BOOT), row(0, EFI, ESP)].concat(), 446)?;
    file.write_all_at(&[0x55, 0xaa], 510)
}

fn make_boot(disk: &Path, folder: &Path) -> anyhow::Result<()> {
    let program = packaged_in("mke2fs", "e2fsprogs")?;
    let (offset, size) = (format!("offset={}", BOOT.0), format!("{}M", BOOT.1 / MIB));
    let arguments = ["-q", "-F", "-t", "ext4", "-d", &text(folder), "-E", &offset, &text(disk), &size];
    run_in(folder, &text(&program), &arguments).context("make the first partition")
}

fn make_esp(disk: &Path, folder: &Path) -> anyhow::Result<()> {
    let (format, copy) = (packaged_in("mformat", "mtools")?, packaged_in("mcopy", "mtools")?);
    let (place, sectors) = (format!("{}@@{}", text(disk), ESP.0), (ESP.1 / SECTOR).to_string());
    run_in(folder, &text(&format), &["-i", &place, "-F", "-T", &sectors, "-v", "ESP", "::"])
        .context("format the ESP")?;
    let mut names: Vec<_> = std::fs::read_dir(folder).context("list the ESP")?.flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    for name in names {
        run_in(folder, &text(&copy), &["-i", &place, "-s", &text(&name.path()), "::"]).context("fill the ESP")?;
    }
    Ok(())
}

/// Puts GRUB in front of the first partition.
pub(super) fn write_grub(disk: &Path, scratch: &Path, boot_once: BootOnce) -> anyhow::Result<()> {
    let program = packaged_in("grub-mkimage", "grub-common")?;
    let files = unpacked("grub-pc-bin")?.join("usr/lib/grub/i386-pc");
    let core = scratch.join("core.img");
    let modules = MODULES.iter().filter(|module| boot_once == BootOnce::Taken || !FOR_NEXT_ENTRY.contains(module));
    let (from, to) = (text(&files), text(&core));
    let mut arguments = vec!["-O", "i386-pc", "-d", &from, "-p", "(hd0,msdos1)/grub", "-o", &to];
    arguments.extend(modules);
    run_in(scratch, &text(&program), &arguments).context("make GRUB's image")?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let (first, core) = (read(&files.join("boot.img"))?, read(&core)?);
    ensure!(core.len() as u64 <= BOOT.0 - SECTOR, "GRUB's image is too large for the place in front of the partition");
    let file = OpenOptions::new().write(true).open(disk).context("open the disk")?;
    file.write_all_at(&first[..440], 0).context("write GRUB's first sector")?;
    file.write_all_at(&core, SECTOR).context("write GRUB's image")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
