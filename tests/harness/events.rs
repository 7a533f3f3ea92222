//! Reading a stream of server-sent events.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::raw::connect;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What the stream can be resumed after.
    pub id: String,
    /// Its kind: `record`, `block`, …
    pub kind: String,
    /// What it says.
    pub data: Value,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<Chunked>,
}

impl Events {
    /// Opens a stream; `target` is path and query.
    ///
    /// # Panics
    /// The node answers with anything else than a stream.
    #[must_use]
    pub fn open(address: SocketAddr, target: &str, last_event_id: Option<&str>) -> Self {
        let resume = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        Self::open_with(address, target, &resume)
    }

    /// As [`Self::open`], with more lines of the head, each with its line break.
    ///
    /// # Panics
    /// The node answers with anything else than a stream.
    #[must_use]
    pub fn open_with(address: SocketAddr, target: &str, resume: &str) -> Self {
        let mut stream = connect(address);
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{resume}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Self { lines: BufReader::new(Chunked { stream: reader, left: 0, ended: false }) }
    }
}

impl Iterator for Events {
    type Item = Event;

    /// The next event; none when the node has closed the stream.
    ///
    /// # Panics
    /// Nothing comes for a long time, or what comes is no event.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: String::new(), kind: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no event comes: {error}"),
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':') {
                None if line.is_empty() => {
                    if !event.data.is_null() {
                        return Some(event);
                    }
                }
                Some(("id", value)) => event.id = value.trim_start().to_owned(),
                Some(("event", value)) => event.kind = value.trim_start().to_owned(),
                Some(("data", value)) => event.data = serde_json::from_str(value).unwrap(),
                // Comments keep the connection alive.
                Some(("" | "retry", _)) => {}
                _ => panic!("not a line of an event: {line}"),
            }
        }
    }
}

/// The chunks of an answer (RFC 9112, section 7.1), as one stream.
#[derive(Debug)]
struct Chunked {
    stream: BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            self.left = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let wanted = buffer.len().min(self.left);
        let read = self.stream.read(&mut buffer[..wanted])?;
        self.left -= read;
        if self.left == 0 {
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
        }
        Ok(read)
    }
}
