//! Where tests are told things: a mail server and a webhook that keep what they get, and fail as a script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

/// What a sink does with the next who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// Takes what is said.
    Take,
    /// Says that it failed.
    Fail,
    /// Says nothing, and keeps the connection.
    Hang,
}

/// How a sink speaks.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Mail,
    Webhook,
}

/// A server on a port of its own.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    script: Vec<Reception>,
    asked: AtomicUsize,
    got: Mutex<Vec<String>>,
    kept: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

impl Sink {
    /// A mail server. Each who connects is received as the script says; the last word of it counts for all further ones.
    ///
    /// # Errors
    /// When no port is free.
    pub fn mail(script: &[Reception]) -> anyhow::Result<Self> {
        Self::start(Protocol::Mail, script)
    }

    /// A webhook.
    ///
    /// # Errors
    /// When no port is free.
    pub fn webhook(script: &[Reception]) -> anyhow::Result<Self> {
        Self::start(Protocol::Webhook, script)
    }

    fn start(protocol: Protocol, script: &[Reception]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen for what is told")?;
        let port = listener.local_addr().context("read the port of a sink")?.port();
        let shared = Arc::new(Shared {
            protocol,
            script: script.to_vec(),
            asked: AtomicUsize::new(0),
            got: Mutex::default(),
            kept: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let served = shared.clone();
        std::thread::spawn(move || serve(&listener, &served));
        Ok(Self { port, shared })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connected.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// What it took: whole mails with their headers, or bodies.
    #[must_use]
    pub fn got(&self) -> Vec<String> {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes whoever waits for the next connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let shared = shared.clone();
        std::thread::spawn(move || shared.receive(stream));
    }
}

impl Shared {
    fn receive(&self, stream: TcpStream) {
        let number = self.asked.fetch_add(1, Ordering::AcqRel);
        let reception = self.script.get(number).or(self.script.last()).copied().unwrap_or(Reception::Take);
        if reception == Reception::Hang {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            return;
        }
        // Who goes away in the middle has said nothing.
        let _ = match self.protocol {
            Protocol::Mail => self.mail(&stream, reception),
            Protocol::Webhook => self.webhook(&stream, reception),
        };
    }

    /// Kept before it is answered: who was answered finds it here.
    fn keep(&self, text: String) {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// One conversation of SMTP.
    fn mail(&self, mut stream: &TcpStream, reception: Reception) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream);
        stream.write_all(b"220 sink ESMTP\r\n")?;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let answer: &[u8] = match line.split_whitespace().next().unwrap_or_default() {
                "EHLO" | "HELO" => b"250 sink\r\n",
                "RCPT" if reception == Reception::Fail => b"550 nobody of that name\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n")?;
                    let mail = data(&mut lines)?;
                    self.keep(mail);
                    b"250 taken\r\n"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n")?;
                    return Ok(());
                }
                _ => b"250 fine\r\n",
            };
            stream.write_all(answer)?;
        }
    }

    /// One request.
    fn webhook(&self, mut stream: &TcpStream, reception: Reception) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let status = match reception {
            Reception::Fail => "500 Broken",
            Reception::Take | Reception::Hang => {
                self.keep(String::from_utf8_lossy(&body).into_owned());
                "200 OK"
            }
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}

fn data(lines: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(&line);
    }
}
