//! The process of a QEMU that does not answer: found by its socket in its own arguments, and killed.

use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills the QEMU that was started with a socket. False where there is none, or more than one.
pub(super) fn kill(socket: &Path) -> bool {
    let Some(socket) = socket.to_str() else { return false };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found = pids.filter(|pid| is_qemu_of(*pid, socket));
    let (Some(pid), None) = (found.next(), found.next()) else { return false };
    kill_if(pid, |pid| is_qemu_of(pid, socket))
}

/// Kills a process that is still the right one once its number can not become another's.
fn kill_if(pid: i32, is_right: impl Fn(i32) -> bool) -> bool {
    let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    is_right(pid) && pidfd_send_signal(process, Signal::KILL).is_ok()
}

fn is_qemu_of(pid: i32, socket: &str) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    name.is_some_and(|name| name.starts_with("qemu")) && arguments.split('\0').any(|word| names(word, socket))
}

/// Whether an argument has the path as a whole: `unix:PATH,server=on`, `socket,path=PATH`, `"path": "PATH"`.
fn names(argument: &str, path: &str) -> bool {
    argument.match_indices(path).any(|(at, _)| {
        let before = argument[..at].chars().next_back();
        let after = argument[at + path.len()..].chars().next();
        matches!(before, None | Some(':' | '=' | '"')) && matches!(after, None | Some(',' | '"'))
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn an_argument_names_a_socket_only_as_a_whole() {
        for (argument, expected) in [
            ("unix:/run/m1.qmp,server=on,wait=off", true),
            ("socket,id=q,path=/run/m1.qmp", true),
            (r#"{"path":"/run/m1.qmp"}"#, true),
            ("unix:/run/m1.qmp2,server=on", false),
            ("unix:/var/run/m1.qmp,server=on", false),
        ] {
            assert_eq!(names(argument, "/run/m1.qmp"), expected, "{argument}");
        }
    }
}
