//! What is mounted where, in this process's name space.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The newest mount at a place is of this device.
pub(crate) fn is_mounted(device: &Path, place: &Path) -> bool {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((number, source)) = newest_at(&text, &place.to_string_lossy()) else { return false };
    let Some(wanted) = number_of(device) else { return false };
    // File systems of several devices (btrfs) have numbers of their own, but name one of their disks.
    number == wanted || number_of(Path::new(&source)) == Some(wanted)
}

/// Numbers `major:minor` of a device.
fn number_of(device: &Path) -> Option<String> {
    let number = std::fs::metadata(device).ok()?.rdev();
    Some(format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
}

/// Device number and source of the newest mount at a place, as mountinfo of proc(5) tells it.
fn newest_at(text: &str, place: &str) -> Option<(String, String)> {
    let escaped = place.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some(escaped.as_str()))?;
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    Some((line.split(' ').nth(2)?.to_owned(), source.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        42 27 7:0 / /state/areas/disk-a rw,nosuid,nodev - ext4 /dev/loop0 rw\n\
        43 42 0:51 / /state/areas/disk\\040b rw master:1 - btrfs /dev/loop1 rw\n\
        44 42 7:2 / /state/areas/disk-a rw - xfs /dev/loop2 rw\n";

    #[test]
    fn the_newest_mount_at_a_place_counts() {
        let found = |place| newest_at(TEXT, place);
        assert_eq!(found("/state/areas/disk-a"), Some(("7:2".into(), "/dev/loop2".into())));
        assert_eq!(found("/state/areas/disk b"), Some(("0:51".into(), "/dev/loop1".into())));
        assert_eq!(found("/state/areas"), None);
        assert!(!is_mounted(Path::new("/no/such/device"), Path::new("/")));
    }
}
