//! fcntl locks of a file on a shared directory: one range of the file for each lock, which holds a control block, that says who had the
//! lock last and under which token, and the record. The locks are of open files (OFD), so that the threads of a process exclude each
//! other as processes do. The kernel promises who is alone, and no order.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_pattern::{Class, SECTOR_BYTES, Stamp, decode_header, fill, spoil};

use crate::core::{Before, Grant, Last, Mode, Writer, Wrong, dpid, record_of, target};
use crate::frame::{Frame, HEAD_BYTES};
use crate::history::now;
use crate::interrupt::Interrupts;
use crate::locks::{Break, Locks};
use crate::settings::Injection;
use crate::trouble::Trouble;
use crate::work::Work;

/// Bytes before a record: its control block.
const CONTROL_BYTES: u64 = SECTOR_BYTES as u64;
/// How often the file is opened again where it was removed meanwhile.
const OPEN_MAX: u32 = 100;
/// Exclusive locks of a taker before it does something wrong on purpose.
const AFTER_LOCKS: u64 = 16;
/// By how much a token goes back on purpose.
const BACK_BY: u64 = 8;
/// By how much the token of a forged record is ahead of its holder's: it is the token of no grant that follows.
const FORGED_AHEAD: u64 = 1_000;
/// Looks for another one's lock to write into, and the pause between two.
const FORGE_LOOKS: u32 = 10_000;
const FORGE_PAUSE: Duration = Duration::from_micros(100);

/// The file of all processes of a job.
pub(crate) struct LockFile<'w> {
    work: &'w Work<'w>,
    path: PathBuf,
    /// It has a shared lock on the last byte: whoever uses the file has.
    presence: File,
}

impl<'w> LockFile<'w> {
    /// Opens the file, and makes it where it is not there.
    pub(crate) fn open(work: &'w Work<'w>, directory: &Path) -> Result<Self, Trouble> {
        let (owner, settings) = (work.writer.owner, work.settings);
        let name = format!("muster-lock-{}-{}-{}x{}", owner.run, owner.job, settings.locks, settings.record_bytes);
        let path = directory.join(name);
        let failed = |error: Error| Trouble::Setting(format!("opening {} failed: {error}", path.display()));
        for _ in 0..OPEN_MAX {
            let presence = open(&path).map_err(failed)?;
            lock_range(&presence, libc::F_OFD_SETLKW, libc::F_RDLCK, presence_range(work)).map_err(failed)?;
            // The last one of others may have removed it in between.
            if presence.metadata().map_err(failed)?.nlink() > 0 {
                let bytes = presence_range(work).0 + 1;
                presence.set_len(bytes).map_err(failed)?;
                return Ok(Self { work, path, presence });
            }
        }
        Err(Trouble::Setting(format!("opening {} failed: it is removed again and again", path.display())))
    }

    /// The locks of one taker.
    pub(crate) fn taker(&self, interrupts: &'w Interrupts, number: usize) -> Result<FileLocks<'w>, Trouble> {
        let failed = |error: Error| Trouble::Setting(format!("opening {} failed: {error}", self.path.display()));
        let (file, path) = (open(&self.path).map_err(failed)?, self.path.clone());
        let injection = self.work.settings.inject.filter(|_| number == 0);
        Ok(FileLocks { work: self.work, interrupts, number, file, path, held: None, injection, exclusive: 0 })
    }

    /// Removes the file, where nobody else uses it.
    pub(crate) fn close(self) {
        let range = presence_range(self.work);
        let alone = lock_range(&self.presence, libc::F_OFD_SETLK, libc::F_UNLCK, range)
            .and_then(|()| lock_range(&self.presence, libc::F_OFD_SETLK, libc::F_WRLCK, range));
        if alone.is_ok() {
            // What can not be removed lies there: the next one with its name goes on with it.
            let _: std::io::Result<()> = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Bytes of the file that a lock stands for.
fn range(work: &Work<'_>, lock: u32) -> (u64, u64) {
    let bytes = CONTROL_BYTES + work.settings.record_bytes as u64;
    (u64::from(lock) * bytes, bytes)
}

fn presence_range(work: &Work<'_>) -> (u64, u64) {
    (range(work, work.settings.locks).0, 1)
}

/// Locks or unlocks a range: begin and length.
fn lock_range(file: &File, command: libc::c_int, kind: libc::c_int, range: (u64, u64)) -> std::io::Result<()> {
    let number = |bytes: u64| libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: a structure of integers, for which zeros are valid; OFD locks require a pid of 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or(0);
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or(0);
    (lock.l_start, lock.l_len) = (number(range.0), number(range.1));
    // SAFETY: the descriptor is open for as long as the borrow, and the structure lives through the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// What is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    lock: u32,
    mode: Mode,
    token: u64,
    /// Another process had it right before.
    after_other: bool,
}

/// What a control block says: nothing, or who had the lock last, under which token, and whether it is still open.
type Control = Option<(Writer, u64, bool)>;

/// The locks of one taker.
pub(crate) struct FileLocks<'w> {
    work: &'w Work<'w>,
    interrupts: &'w Interrupts,
    number: usize,
    file: File,
    path: PathBuf,
    held: Option<Held>,
    /// A fault to make, once.
    injection: Option<Injection>,
    /// Exclusive locks that it had.
    exclusive: u64,
}

impl FileLocks<'_> {
    fn failed(&self, what: &str, error: &Error) -> Break {
        Break::Trouble(Trouble::Setting(format!("{what} {} failed: {error}", self.path.display())))
    }

    /// Waits for a range; a signal looks whether the wait is over.
    fn wait(&self, lock: u32, mode: Mode) -> Result<(), Break> {
        let kind = match mode {
            Mode::Shared => libc::F_RDLCK,
            Mode::Exclusive => libc::F_WRLCK,
        };
        let (asked, range) = (Instant::now(), range(self.work, lock));
        loop {
            let waited =
                self.interrupts.waiting(self.number, asked, || lock_range(&self.file, libc::F_OFD_SETLKW, kind, range));
            match waited {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(self.failed("locking", &error)),
                Err(_) if self.work.is_over() => return Err(Break::Over),
                Err(_) if asked.elapsed() >= self.work.settings.wait_max => return Err(self.late(lock)),
                Err(_) => {}
            }
        }
    }

    fn late(&self, lock: u32) -> Break {
        let holder = match self.control(lock) {
            Ok(Some((writer, _, true))) => format!("{} had it last", dpid(writer.owner)),
            Ok(Some(_) | None) | Err(_) => "who holds it shared does not say so".to_owned(),
        };
        let seconds = self.work.settings.wait_max.as_secs();
        Break::Trouble(Trouble::Gone(format!(
            "lock {lock} of {} was not granted within {seconds} s: {holder}; a longer wait_max waits longer",
            self.path.display()
        )))
    }

    fn unlock(&self, lock: u32) -> Result<(), Break> {
        let unlocked = lock_range(&self.file, libc::F_OFD_SETLK, libc::F_UNLCK, range(self.work, lock));
        unlocked.map_err(|error| self.failed("unlocking", &error))
    }

    /// Reads a control block. One that is not sound is an error of its own kind.
    fn control(&self, lock: u32) -> std::io::Result<Control> {
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact_at(&mut head, range(self.work, lock).0)?;
        match Frame::decode(&head) {
            _ if head == [0; HEAD_BYTES] => Ok(None),
            Some((Frame::Control(writer, token, open), 0)) => Ok(Some((writer, token, open))),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn set_control(&self, lock: u32, token: u64, open: bool) -> Result<(), Break> {
        let block = Frame::Control(self.work.writer, token, open).encode(&[]);
        let written = self.file.write_all_at(&block, range(self.work, lock).0);
        written.map_err(|error| self.failed("writing", &error))
    }

    /// With the range locked: what that says.
    fn grant(&mut self, lock: u32, mode: Mode) -> Result<Grant, Break> {
        let control = match self.control(lock) {
            Ok(control) => control,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let what = "its control block is not sound".to_owned();
                return Err(Break::Wrong(lock, 0, Wrong { class: Class::Unknown.as_str(), by: None, what }));
            }
            Err(error) => return Err(self.failed("reading", &error)),
        };
        let newest = control.map_or(0, |(_, token, _)| token);
        let last = match control {
            None => Last::Never,
            Some((writer, token, false)) => Last::Written(writer, token),
            // Its holder was killed, or found the record wrong. Where it lives, it will see that there are two.
            Some((_, _, true)) => Last::Unknown,
        };
        let (token, before) = match mode {
            Mode::Shared => (newest, None),
            Mode::Exclusive => (newest + 1, control.map(|(writer, token, _)| Before { writer, ticket: 0, token })),
        };
        if mode == Mode::Exclusive {
            self.set_control(lock, token, true)?;
            self.exclusive += 1;
        }
        let after_other = before.is_some_and(|before| before.writer.owner != self.work.writer.owner);
        self.held = Some(Held { lock, mode, token, after_other });
        Ok(Grant { lock, mode, ticket: 0, token, last, before })
    }

    fn at(&self, lock: u32) -> u64 {
        range(self.work, lock).0 + CONTROL_BYTES
    }
}

/// What is done wrong on purpose.
impl FileLocks<'_> {
    fn due(&self) -> Option<Injection> {
        self.injection.filter(|_| self.exclusive >= AFTER_LOCKS)
    }

    fn done(&mut self, class: &str, into: &str, lock: u32) {
        self.injection = None;
        self.work.session.event("injected", &format!("{class} into {into} of {}", target(lock)));
    }

    /// Writes, without a lock, into what another process holds alone and has written already.
    fn forge(&mut self, lock: u32) {
        let bytes = self.work.settings.record_bytes;
        let mut record = vec![0; bytes];
        for _ in 0..FORGE_LOOKS {
            if self.work.is_over() {
                return;
            }
            std::thread::sleep(FORGE_PAUSE);
            let Ok(Some(open @ (writer, token, true))) = self.control(lock) else { continue };
            let written = self.file.read_exact_at(&mut record, self.at(lock)).ok().and_then(|()| under(&record));
            if writer.owner == self.work.writer.owner || written != Some((writer, token)) {
                continue;
            }
            let expectation = record_of(lock, bytes, self.work.writer, token + FORGED_AHEAD);
            fill(&mut record, &Stamp { expectation, time: now() });
            let forged = self.file.write_all_at(&record, self.at(lock)).is_ok();
            if forged && self.control(lock).is_ok_and(|control| control == Some(open)) {
                return self.done("FOREIGN", "what another one holds", lock);
            }
        }
    }

    fn spoil_written(&mut self, class: Class, lock: u32, record: &[u8]) -> std::io::Result<()> {
        let mut record = record.to_vec();
        self.spoil(class, &mut record);
        self.file.write_all_at(&record, self.at(lock))?;
        self.done(class.as_str(), "the record", lock);
        Ok(())
    }

    fn spoil(&self, class: Class, record: &mut [u8]) {
        if let Some((_, header)) = record.first_chunk().and_then(decode_header) {
            spoil(record, class, &header.stamp.expectation, self.work.session.seed());
        }
    }
}

/// Who wrote a record, and under which token, as it says itself.
fn under(record: &[u8]) -> Option<(Writer, u64)> {
    let (_, header) = record.first_chunk().and_then(decode_header)?;
    let said = header.stamp.expectation;
    Some((Writer { owner: said.owner, machine: said.machine }, said.sequence))
}

impl Locks for FileLocks<'_> {
    fn take(&mut self, lock: u32, mode: Mode) -> Result<Grant, Break> {
        if self.due() == Some(Injection::Beside) {
            self.forge(lock);
        }
        self.wait(lock, mode)?;
        let grant = self.grant(lock, mode);
        if grant.is_err() {
            self.unlock(lock)?;
        }
        grant
    }

    fn load(&mut self, lock: u32, record: &mut [u8]) -> Result<(), Break> {
        self.file.read_exact_at(record, self.at(lock)).map_err(|error| self.failed("reading", &error))?;
        let own = self.held.is_some_and(|held| under(record) == Some((self.work.writer, held.token)));
        if let Some(Injection::Record { class, passing: true }) = self.due().filter(|_| own) {
            self.spoil(class, record);
            self.done(class.as_str(), "a reading", lock);
        }
        Ok(())
    }

    fn store(&mut self, lock: u32, record: &[u8]) -> Result<(), Break> {
        let mut written = self.file.write_all_at(record, self.at(lock));
        if let Some(Injection::Record { class, passing: false }) = self.due() {
            written = written.and_then(|()| self.spoil_written(class, lock, record));
        }
        written.map_err(|error| self.failed("writing", &error))
    }

    fn give_back(&mut self, sound: bool) -> Result<(), Break> {
        let Some(Held { lock, mode, mut token, after_other }) = self.held.take() else { return Ok(()) };
        if mode == Mode::Exclusive {
            // Whoever comes next must have seen a greater one: the kernel may have given the lock to one process alone until now.
            if self.due() == Some(Injection::TokenBack) && token > BACK_BY && after_other {
                token -= BACK_BY;
                self.done("STALE", "the token", lock);
            }
            self.set_control(lock, token, !sound)?;
        }
        self.unlock(lock)
    }

    fn again(&mut self, reason: &str) -> Result<(), Break> {
        Err(Break::Trouble(Trouble::Setting(reason.to_owned())))
    }

    fn leave(&mut self) {}

    fn read_command(&self, lock: u32) -> Option<String> {
        let sector = self.at(lock) / SECTOR_BYTES as u64;
        let count = self.work.settings.record_bytes / SECTOR_BYTES;
        Some(format!("dd if={} bs=512 skip={sector} count={count} | xxd", self.path.display()))
    }
}
