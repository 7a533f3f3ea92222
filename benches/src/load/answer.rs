//! Reading answers without parsing them: the generator shares the processor with
//! the node it measures.

use std::str;

/// What the node says of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Final, and new.
    Created,
    /// It was on the ledger before.
    Known,
    /// Durable; the wait was over before it was final.
    Pending,
    /// The node could not take it now.
    Busy,
    /// The node failed.
    Failed,
    /// It will never be taken.
    Refused,
}

impl Status {
    /// What an HTTP status means for a record.
    pub const fn of_http(status: u16) -> Self {
        match status {
            201 => Self::Created,
            200 => Self::Known,
            202 => Self::Pending,
            429 | 503 => Self::Busy,
            500..=599 => Self::Failed,
            _ => Self::Refused,
        }
    }

    /// Whether the node must never lose the record.
    pub const fn is_acknowledged(self) -> bool {
        matches!(self, Self::Created | Self::Known | Self::Pending)
    }
}

/// The status in one line of a batch's answer: `"status":201` or `"status":"final"`.
pub fn status_of(line: &str) -> Option<Status> {
    let value = after(line, "\"status\":")?;
    if value.starts_with("\"final\"") {
        return Some(Status::Created);
    }
    if value.starts_with("\"pending\"") {
        return Some(Status::Pending);
    }
    value.get(..3)?.parse().ok().map(Status::of_http)
}

/// The record's id in a line or an answer.
pub fn id_of(line: &str) -> Option<&str> {
    let id = after(line, "\"id\":")?.strip_prefix('"')?.get(..64)?;
    id.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(id)
}

fn after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = line.split_once(name)?;
    Some(value.trim_start())
}

/// The lines of an answer that are not empty.
pub fn lines(answer: &[u8]) -> impl Iterator<Item = &str> {
    answer
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| str::from_utf8(line).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_numbers_and_as_words() {
        for (line, status) in [
            (r#"{"line":1,"status":201,"id":"x"}"#, Some(Status::Created)),
            (r#"{"line":1,"status": 200}"#, Some(Status::Known)),
            (r#"{"line":1,"status":202}"#, Some(Status::Pending)),
            (r#"{"line":1,"status":422,"code":"backdated"}"#, Some(Status::Refused)),
            (r#"{"line":1,"status":503}"#, Some(Status::Busy)),
            (r#"{"line":1,"status":500}"#, Some(Status::Failed)),
            (r#"{"id":"x","status":"final"}"#, Some(Status::Created)),
            (r#"{"id":"x","status":"pending"}"#, Some(Status::Pending)),
            (r#"{"id":"x","status":"else"}"#, None),
            (r#"{"id":"x","status":2"#, None),
            ("", None),
        ] {
            assert_eq!(status_of(line), status, "{line}");
        }
    }

    #[test]
    fn ids_are_read_only_where_they_are_whole() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(id_of(&format!(r#"{{"status":201,"id":"{id}"}}"#)), Some(id.as_str()));
        assert_eq!(id_of(&format!(r#"{{"id": "{id}"}}"#)), Some(id.as_str()));
        assert_eq!(id_of(r#"{"id":"0123"}"#), None);
        assert_eq!(id_of(&format!(r#"{{"id":"{}"}}"#, "é".repeat(32))), None);
        assert_eq!(id_of("{}"), None);
    }
}
