//! Frames over a socket, either end of it.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use crate::frame::{BODY_BYTES_MAX, Frame, HEAD_BYTES};

/// Bytes that are read at once: the greatest frame.
const READ_BYTES: usize = HEAD_BYTES + BODY_BYTES_MAX;

/// Bytes that came, until they are frames.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// Reads once, as long as the socket's own limit lets it: true where something came, false where nothing did.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn read(&mut self, mut socket: &TcpStream) -> std::io::Result<bool> {
        let before = self.bytes.len();
        self.bytes.resize(before + READ_BYTES, 0);
        let read = socket.read(&mut self.bytes[before..]);
        self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, with the bytes that follow it; none where it is not there yet.
    ///
    /// # Errors
    /// What came is no frame.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<(Frame, Vec<u8>)>> {
        let Some(head) = self.bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let no_frame =
            || std::io::Error::new(ErrorKind::InvalidData, "it does not speak as lock servers and takers do");
        let (frame, length) = Frame::decode(head).ok_or_else(no_frame)?;
        let whole = HEAD_BYTES + length;
        if self.bytes.len() < whole {
            return Ok(None);
        }
        let body = self.bytes[HEAD_BYTES..whole].to_vec();
        self.bytes.drain(..whole);
        Ok(Some((frame, body)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut_and_the_end_and_nonsense_are_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut one = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (other, _) = listener.accept().expect("accept");
        let mut incoming = Incoming::default();
        let bytes = [Frame::Store(3).encode(&[7; 1024]), Frame::Where.encode(&[])].concat();
        for part in bytes.chunks(100) {
            one.write_all(part).expect("write");
            assert!(incoming.read(&other).expect("read"));
        }
        assert_eq!(incoming.next().expect("a frame"), Some((Frame::Store(3), vec![7; 1024])));
        assert_eq!(incoming.next().expect("a frame"), Some((Frame::Where, vec![])));
        assert_eq!(incoming.next().expect("nothing"), None);
        other.set_nonblocking(true).expect("an option");
        assert!(!incoming.read(&other).expect("nothing yet"));
        one.write_all(&[0; HEAD_BYTES]).expect("write");
        drop(one);
        while incoming.read(&other).is_ok() {}
        assert!(incoming.next().is_err());
    }
}
