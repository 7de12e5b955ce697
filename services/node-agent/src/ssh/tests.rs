//! Against a real sshd: what it takes of what we write, and which sessions end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_testkit::{free_port, tools, wait_until};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_account_is_found_by_its_name_alone() {
    let accounts = "root:x:0:0:root:/root:/bin/bash\nlab:x:1001:1002:,,,:/home/lab:/bin/sh\n";
    assert_eq!(account(accounts, "lab"), Some((1001, 1002, "/home/lab".into())));
    assert_eq!(account(accounts, "la"), None);
}

/// A server of our own, with two keys: the holder's and an administrator's. It ends with its guard.
struct Server {
    folder: tempfile::TempDir,
    program: PathBuf,
    user: String,
    port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let program = tools::sshd().expect("sshd is installed");
        let folder = tempfile::tempdir().expect("a folder is made");
        for name in ["host", "holder", "admin"] {
            let file = folder.path().join(name).display().to_string();
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &file]);
        }
        let port = free_port().expect("a port is free");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let lines = [
            format!("Include {}", at("muster.conf")),
            format!("Port {port}\nListenAddress 127.0.0.1\nHostKey {}", at("host")),
            format!("AuthorizedKeysFile {}\nPidFile {}", at("home/.ssh/authorized_keys"), at("sshd.pid")),
            "StrictModes no\nPermitRootLogin yes\nUsePAM no\n".to_owned(),
        ];
        fs::write(folder.path().join("sshd_config"), lines.join("\n")).expect("it is written");
        fs::create_dir(folder.path().join("home")).expect("a home is made");
        let rules = rules(folder.path(), None);
        rules.set(true).expect("the drop-in is written");
        let child = spawn(&program, folder.path());
        let user = run("id", &["-un"]).trim_end().to_owned();
        let server = Self { folder, program, user, port, child };
        wait_until("it listens", LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).expect("it does");
        server
    }

    fn keys(&self) -> AuthorizedKeys {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        AuthorizedKeys { user: self.user.clone(), uid, gid, home: self.folder.path().join("home") }
    }

    fn key(&self, name: &str) -> String {
        let file = self.folder.path().join(format!("{name}.pub"));
        fs::read_to_string(file).expect("it is there").trim_end().to_owned()
    }

    /// A session with this key, in which a program is started that outlives the shell, and that says so by a file.
    fn log_in(&self, name: &str) -> Session {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let says = self.folder.path().join(format!("{name}.pid"));
        let script = format!("setsid sleep 120 </dev/null >/dev/null 2>&1 & echo $! > {}; exec cat", says.display());
        let options =
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "IdentitiesOnly=yes"];
        let mut command = Command::new("ssh");
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        command.args(["-i", &at(name), "-p", &self.port.to_string(), &format!("{}@127.0.0.1", self.user), &script]);
        let client = command.stdin(Stdio::piped()).spawn().expect("ssh starts");
        let mut session = Session { client, background: 0 };
        wait_until(&format!("{name} is logged in"), LIMIT, || {
            let read = fs::read_to_string(&says).ok().and_then(|text| text.trim().parse().ok());
            session.background = read.unwrap_or(0);
            session.background > 0
        })
        .expect("they are");
        session
    }
}

/// Somebody who is logged in.
struct Session {
    client: Child,
    background: u32,
}

impl Session {
    fn is_over(&mut self) -> bool {
        let is_gone = !Path::new(&format!("/proc/{}/cmdline", self.background)).exists();
        self.client.try_wait().expect("it is looked at").is_some() && is_gone
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn rules(folder: &Path, group: Option<&str>) -> SshdRules {
    let (file, pid) = (folder.join("muster.conf"), folder.join("sshd.pid"));
    SshdRules { group: group.map(str::to_owned), has_keys: true, file, pid }
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let configuration = folder.join("sshd_config").display().to_string();
    let said = fs::File::create(folder.join("said")).expect("a file is made");
    let mut command = Command::new(program);
    command.args(["-D", "-e", "-f", &configuration]).stdin(Stdio::null()).stderr(said);
    command.spawn().expect("sshd starts")
}

/// What a program says that ends well.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn sessions_end_with_the_key_that_opened_them_and_an_administrators_stays() {
    let server = Server::start();
    let (keys, own) = (server.keys(), server.folder.path().join("home/.ssh/authorized_keys"));
    keys.replace_by(Some(&server.key("holder"))).expect("it is installed");
    let text = fs::read_to_string(&own).expect("it is there");
    fs::write(&own, format!("{}\n{text}", server.key("admin"))).expect("an administrator adds their own");
    let (mut holder, mut admin) = (server.log_in("holder"), server.log_in("admin"));
    keys.replace_by(Some(&server.key("holder"))).expect("nothing changes");
    assert!(!holder.is_over());
    keys.replace_by(None).expect("it is taken away");
    wait_until("the holder's session is over, and what they left behind", LIMIT, || holder.is_over()).expect("it is");
    assert!(!admin.is_over(), "the administrator's is not");
    admin.client.kill().expect("it is ended");
    run("kill", &[&admin.background.to_string()]);
}

#[test]
fn sshd_takes_what_is_written_for_it() {
    let server = Server::start();
    let configuration = server.folder.path().join("sshd_config").display().to_string();
    for (group, is_held) in [(None, true), (Some("lab-admins"), true), (Some("lab-admins"), false)] {
        rules(server.folder.path(), group).set(is_held).expect("it is written, and sshd told");
        let program = server.program.display().to_string();
        run(&program, &["-t", "-f", &configuration]);
        let said = run(&program, &["-T", "-f", &configuration]);
        assert!(said.contains("exposeauthinfo yes"), "{said}");
        assert_eq!(said.contains("allowgroups lab-admins"), group.is_some() && !is_held, "{said}");
    }
}
