//! Where in a record something stands, so that every refusal names its field.

use std::fmt;

/// Characters of a member name that a path shows; the rest of a longer name is cut.
const NAME_CHARS_SHOWN: usize = 64;

/// A place in a record's header or payload. A list linked through the stack
/// frames of whoever descends, so that keeping it costs nothing until a refusal
/// prints it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    /// The protected header; its members print as `header.alg`.
    Header,
    /// The payload; its members print by their names alone.
    Payload,
    /// A member of an object.
    Member { parent: &'p Path<'p>, name: &'p str },
    /// An element of a list, counted from zero.
    Item { parent: &'p Path<'p>, index: usize },
}

impl<'p> Path<'p> {
    /// The member `name` of the object that stands here.
    pub(crate) const fn member(&'p self, name: &'p str) -> Path<'p> {
        Path::Member { parent: self, name }
    }

    /// The element `index` of the list that stands here.
    pub(crate) const fn item(&'p self, index: usize) -> Path<'p> {
        Path::Item { parent: self, index }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Header => f.write_str("header"),
            Path::Payload => f.write_str("payload"),
            Path::Member { parent, name } => {
                if !matches!(parent, Path::Payload) {
                    write!(f, "{parent}.")?;
                }
                // A name comes from outside: it must neither flood nor steer a terminal.
                for character in name.chars().take(NAME_CHARS_SHOWN) {
                    let shown = if character.is_control() { '\u{fffd}' } else { character };
                    fmt::Write::write_char(f, shown)?;
                }
                Ok(())
            }
            Path::Item { parent, index } => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let data = Path::Payload.member("data");
        let lines = data.member("lines");
        assert_eq!(lines.item(3).member("amount").to_string(), "data.lines[3].amount");
        assert_eq!(Path::Header.member("alg").to_string(), "header.alg");
        assert_eq!(Path::Payload.to_string(), "payload");
    }

    #[test]
    fn a_hostile_name_neither_floods_nor_steers_a_terminal() {
        let long = "x".repeat(10_000);
        assert_eq!(Path::Payload.member(&long).to_string().len(), NAME_CHARS_SHOWN);
        assert_eq!(Path::Payload.member("a\u{1b}[2J").to_string(), "a\u{fffd}[2J");
    }
}
