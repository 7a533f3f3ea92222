//! Whom a request is addressed to. A page of another site can make its own name
//! lead to this machine (DNS rebinding); the name it then sends gives it away.

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use std::net::IpAddr;

use crate::problem::{Kind, Problem};

/// Marks requests that came to an address which only this machine reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnLoopback;

/// Checks that a request names this machine, wherever it names somebody.
pub(crate) fn check_is_this_machine(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let in_target = uri.authority().map(Authority::as_str);
    let mut names = headers
        .get_all(header::HOST)
        .iter()
        .map(|host| host.to_str().unwrap_or_default())
        .chain(in_target)
        .peekable();
    if names.peek().is_some() && names.all(is_loopback_name) {
        return Ok(());
    }
    let detail = "this node serves this machine only: ask it as localhost, 127.0.0.1 or [::1]";
    Err(Problem::new(Kind::Misdirected, detail).about("host"))
}

/// Whether `host`, with or without a port, names this machine only. Names below
/// `localhost` do (RFC 6761, section 6.3).
fn is_loopback_name(host: &str) -> bool {
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some(parts) => parts,
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let has_port_at_most = match rest.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => rest.is_empty(),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last_label = name.rsplit('.').next().unwrap_or_default();
    has_port_at_most
        && (last_label.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_count_as_this_machine() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "node-1.localhost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:80",
        ] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evillocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:80@evil.example",
            "10.0.0.1",
            "0.0.0.0:8080",
            "[::1].evil.example",
            "[::2]",
            "[::1",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
