//! HTTP as bytes on a socket, for requests that no client library would send.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// An answer, taken apart by hand.
#[derive(Debug)]
pub struct RawAnswer {
    /// The HTTP status; 0 where the connection was closed without an answer.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

/// Opens a connection that does not wait for ever.
///
/// # Panics
/// Nobody listens.
#[must_use]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes as they are, and reads until the node closes the connection;
/// the request should ask for that.
///
/// # Panics
/// The node neither answers nor closes the connection.
#[must_use]
pub fn exchange(address: SocketAddr, request: &[u8]) -> RawAnswer {
    let mut stream = connect(address);
    // A node may close before it has read all: what it answered counts.
    let _ = stream.write_all(request);
    read_to_end(stream)
}

/// A request with these headers, `Host` among them, and a body; its length is added.
#[must_use]
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

/// Reads an answer until the connection is closed.
///
/// # Panics
/// It is not closed in time, or the answer is none.
#[must_use]
pub fn read_to_end(mut stream: TcpStream) -> RawAnswer {
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }
    if bytes.is_empty() {
        return RawAnswer { status: 0, head: String::new(), body: Vec::new() };
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an HTTP answer");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let rest = &bytes[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(rest) } else { rest.to_vec() };
    RawAnswer { status, head, body }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + length + 2..).unwrap_or_default();
        if length == 0 {
            break;
        }
    }
    body
}
