//! A spool: numbered batches on the disk, in the order in which they were said, until they are acknowledged. Which segment is
//! read, appended to or dropped is decided in `core::window`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::atomic;
use crate::core::window::{Gap, Segment, Window};

/// A segment is closed when it is larger than this.
const SEGMENT_BYTES_MAX: u64 = 1 << 20;
/// A batch larger than this is not one of ours: the file is damaged.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// Length and checksum before each batch.
const HEAD_BYTES: usize = 12;

/// Batches on the disk.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    size_bytes_max: u64,
    window: Window,
    /// The newest segment, open for appending.
    open: Option<File>,
    /// Batches of the segment that is being sent, so that each file is read once.
    loaded: Option<(u64, Vec<Bytes>)>,
}

impl Spool {
    /// Opens a spool; what a crash tore at the end is cut off.
    pub(crate) fn open(directory: &Path, size_bytes_max: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut segments = Vec::new();
        for first in segment_numbers(directory)? {
            let path = segment_path(directory, first);
            let (batches, whole_bytes) = read_segment(&path)?;
            if batches.is_empty() {
                std::fs::remove_file(&path)?;
                continue;
            }
            File::options().write(true).open(&path)?.set_len(whole_bytes)?;
            segments.push(Segment { first, last: first + batches.len() as u64 - 1, size_bytes: whole_bytes });
        }
        let acknowledged = read_number(&directory.join("acknowledged"));
        let window = Window::new(segments, acknowledged);
        Ok(Self { directory: directory.into(), size_bytes_max, window, open: None, loaded: None })
    }

    /// Number of the newest batch; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.window.last()
    }

    /// Number of the newest acknowledged batch.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.window.acknowledged()
    }

    /// Appends batch number [`Spool::last`] + 1. Returns when it is on the disk. What had to go for it is told as a gap.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<Option<Gap>> {
        let new_segment = self.window.open_segment(SEGMENT_BYTES_MAX).is_none();
        let mut framed = Vec::with_capacity(batch.len() + HEAD_BYTES);
        framed.extend_from_slice(&u32::try_from(batch.len()).map_err(io::Error::other)?.to_le_bytes());
        framed.extend_from_slice(&blake3::hash(batch).as_bytes()[..HEAD_BYTES - 4]);
        framed.extend_from_slice(batch);
        let result = self.write_framed(&framed, new_segment);
        if result.is_err() {
            self.open = None;
        }
        result?;
        self.window.appended(framed.len() as u64, new_segment);
        if self.loaded.as_ref().is_some_and(|(first, batches)| first + batches.len() as u64 == self.last())
            && !new_segment
        {
            self.loaded.iter_mut().for_each(|(_, batches)| batches.push(Bytes::copy_from_slice(batch)));
        }
        let (dropped, gap) = self.window.shrink(self.size_bytes_max);
        self.remove(&dropped);
        Ok(gap)
    }

    fn write_framed(&mut self, framed: &[u8], new_segment: bool) -> io::Result<()> {
        let open_first = self.window.open_segment(SEGMENT_BYTES_MAX).map(|segment| (segment.first, segment.size_bytes));
        let (first, size) = open_first.unwrap_or((self.window.last() + 1, 0));
        let path = segment_path(&self.directory, first);
        if new_segment || self.open.is_none() {
            self.open = Some(File::options().create(true).truncate(new_segment).write(true).open(&path)?);
        }
        let Some(file) = &mut self.open else { return Err(io::Error::other("no segment is open")) };
        // What an earlier, failed write left behind is overwritten, and cut if it was longer.
        file.seek(SeekFrom::Start(size))?;
        file.write_all(framed)?;
        file.set_len(size + framed.len() as u64)?;
        file.sync_data()?;
        if new_segment { atomic::sync_directory_of(&path) } else { Ok(()) }
    }

    /// The oldest batch that is not acknowledged, with its number.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let Some((number, segment)) = self.window.next() else { return Ok(None) };
        let first = segment.first;
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != first) {
            self.loaded = Some((first, read_segment(&segment_path(&self.directory, first))?.0));
        }
        let place = usize::try_from(number - first).map_err(io::Error::other)?;
        let batch = self.loaded.as_ref().and_then(|(_, batches)| batches.get(place));
        Ok(batch.map(|batch| (number, batch.clone())))
    }

    /// The batch was stored where it goes: it and all before it leave.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        let spent = self.window.acknowledge(number);
        self.remove(&spent);
        // Not made durable: after a crash of the machine a batch is sent again, and dropped by its number.
        let text = self.window.acknowledged().to_string();
        if let Err(error) = std::fs::write(self.directory.join("acknowledged"), text) {
            tracing::warn!(%error, "the acknowledged number could not be written: batches may be sent again");
        }
    }

    fn remove(&mut self, segments: &[Segment]) {
        for segment in segments {
            if let Err(error) = std::fs::remove_file(segment_path(&self.directory, segment.first)) {
                tracing::warn!(%error, "a spent segment of the spool could not be removed");
            }
            if self.loaded.as_ref().is_some_and(|(first, _)| *first == segment.first) {
                self.loaded = None;
            }
        }
    }
}

fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.seg"))
}

fn segment_numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|name| name.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_number(path: &Path) -> u64 {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Whole batches of a segment, and how many bytes they take.
fn read_segment(path: &Path) -> io::Result<(Vec<Bytes>, u64)> {
    let mut content = Vec::new();
    File::open(path)?.read_to_end(&mut content)?;
    let content = Bytes::from(content);
    let mut batches = Vec::new();
    let mut at = 0;
    while let Some(batch) = read_batch(&content, at) {
        at += HEAD_BYTES + batch.len();
        batches.push(batch);
    }
    Ok((batches, at as u64))
}

fn read_batch(content: &Bytes, at: usize) -> Option<Bytes> {
    let head = content.get(at..at + HEAD_BYTES)?;
    let (length, sum) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let begin = at + HEAD_BYTES;
    if length > BATCH_BYTES_MAX || content.len() < begin + length {
        return None;
    }
    let batch = content.slice(begin..begin + length);
    (&blake3::hash(&batch).as_bytes()[..HEAD_BYTES - 4] == sum).then_some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Spool {
        Spool::open(path, 1 << 30).unwrap()
    }

    fn drain(spool: &mut Spool) -> Vec<(u64, Bytes)> {
        let mut all = Vec::new();
        while let Some((number, batch)) = spool.next().unwrap() {
            spool.acknowledge(number);
            all.push((number, batch));
        }
        all
    }

    #[test]
    fn batches_leave_in_order_and_numbers_go_on_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path());
        for batch in [b"one".as_slice(), b"two", b"three"] {
            assert_eq!(spool.append(batch).unwrap(), None);
        }
        assert_eq!(spool.next().unwrap(), Some((1, Bytes::from_static(b"one"))));
        spool.acknowledge(1);
        let mut spool = open(directory.path());
        assert_eq!(drain(&mut spool), [(2, Bytes::from_static(b"two")), (3, Bytes::from_static(b"three"))]);
        let mut spool = open(directory.path());
        assert_eq!((spool.last(), spool.acknowledged()), (3, 3));
        spool.append(b"four").unwrap();
        assert_eq!(drain(&mut spool), [(4, Bytes::from_static(b"four"))]);
    }

    #[test]
    fn a_batch_torn_at_any_byte_is_cut_and_the_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path());
        spool.append(b"one").unwrap();
        let path = segment_path(directory.path(), 1);
        let before = std::fs::read(&path).unwrap().len();
        spool.append(b"two").unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in before..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut spool = open(directory.path());
            assert_eq!(spool.last(), 1, "cut at {cut}");
            spool.append(b"new").unwrap();
            assert_eq!(drain(&mut spool).len(), 2);
            std::fs::remove_file(directory.path().join("acknowledged")).unwrap();
        }
    }

    #[test]
    fn beyond_its_bound_the_oldest_go_and_the_gap_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 3 << 20).unwrap();
        let batch = vec![7; 600 << 10];
        let gaps: Vec<Gap> = (0..12).filter_map(|_| spool.append(&batch).unwrap()).collect();
        assert_eq!(gaps.first().map(|gap| gap.from), Some(1));
        let kept = drain(&mut spool);
        assert_eq!(kept.first().map(|kept| kept.0), gaps.last().map(|gap| gap.to + 1));
        assert_eq!(kept.last().map(|kept| kept.0), Some(12));
    }
}
