//! Tape drives. A tape may carry anything, and nothing is read to find out: that would move it.

use std::path::Path;

use muster_proto::v1::{Resource, ResourceKind};

use super::{cleaned, read};

const TAPES: &str = "/sys/class/scsi_tape";

/// Every tape drive.
pub(super) fn resources() -> Vec<Resource> {
    resources_in(Path::new(TAPES))
}

/// A drive has several devices there, by mode and by whether it is rewound; the plain one names it.
fn resources_in(tapes: &Path) -> Vec<Resource> {
    let entries = std::fs::read_dir(tapes).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_drive = |name: &String| {
        name.strip_prefix("st").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    names.filter(is_drive).map(|name| resource(tapes, &name)).collect()
}

fn resource(tapes: &Path, name: &str) -> Resource {
    let value = |file: &str| read(tapes.join(name).join(file));
    let model = value("device/model");
    let wwn = [value("device/wwid"), value("device/wwn")].into_iter().find(|wwn| !wwn.is_empty());
    Resource {
        id: format!("tape-{}", cleaned(name)),
        kind: ResourceKind::Tape.into(),
        device_type: if model.is_empty() { "tape".into() } else { model },
        // The one that is not rewound when it is closed.
        path: format!("/dev/n{name}"),
        shared_name: wwn.unwrap_or_default(),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_one_resource_however_many_devices_it_has() {
        let tapes = tempfile::tempdir().unwrap();
        for name in ["st0", "st0l", "nst0", "nst0a", "st12"] {
            std::fs::create_dir_all(tapes.path().join(name).join("device")).unwrap();
        }
        std::fs::write(tapes.path().join("st0/device/model"), "ULTRIUM-TD8  \n").unwrap();
        std::fs::write(tapes.path().join("st0/device/wwid"), "naa.5000\n").unwrap();
        let mut found = resources_in(tapes.path());
        found.sort_by(|a, b| a.id.cmp(&b.id));
        let seen: Vec<_> = found
            .iter()
            .map(|tape| (tape.id.as_str(), tape.path.as_str(), tape.device_type.as_str(), tape.shared_name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [("tape-st0", "/dev/nst0", "ULTRIUM-TD8", "naa.5000"), ("tape-st12", "/dev/nst12", "tape", "")]
        );
        assert!(found.iter().all(|tape| tape.kind() == ResourceKind::Tape));
    }
}
