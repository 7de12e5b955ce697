//! Servers that behave badly: they take every connection, and say nothing, or always the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

/// A server on a Unix socket.
pub(crate) struct Rude {
    /// Its socket.
    pub(crate) path: PathBuf,
}

impl Rude {
    /// Listens; says a line to whoever comes, or nothing. It lives as long as the test.
    pub(crate) fn unix(path: &Path, says: Option<&'static str>) -> Self {
        let listener = UnixListener::bind(path).expect("the socket is free");
        thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(says.unwrap_or_default().as_bytes());
                kept.push(stream);
            }
        });
        Self { path: path.to_owned() }
    }
}

/// A QEMU that agrees to everything, and does nothing. Gives its socket.
pub(crate) fn agreeing_qemu(path: &Path) -> PathBuf {
    let listener = UnixListener::bind(path).expect("the socket is free");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"{\"QMP\": {}}\n");
            let Ok(requests) = stream.try_clone() else { continue };
            for _ in BufReader::new(requests).lines().map_while(Result::ok) {
                let _ = stream.write_all(b"{\"event\": \"NICE\"}\n{\"return\": {\"status\": \"running\"}}\n");
            }
        }
    });
    path.to_owned()
}

/// A web server that answers each request as `answer` says to its first line; where that is nothing, never. Gives its port.
pub(crate) fn web(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]);
            match answer(request.lines().next().unwrap_or_default()) {
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => kept.push(stream),
            }
        }
    });
    port
}
