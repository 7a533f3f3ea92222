//! Where an event stream stands.

use crate::problem::Problem;

/// The next event: `position` counts the records of the block of `height`, and
/// one more for the block itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    pub(super) height: u64,
    pub(super) position: u64,
}

impl Cursor {
    /// Stands behind everything of that block.
    pub(super) const fn after_block(height: u64) -> Self {
        Self { height: height.saturating_add(1), position: 0 }
    }

    /// Stands behind the event of that id: `<height>.<n>`, or `<height>` for a
    /// whole block.
    pub(super) fn parse(field: &'static str, text: &str) -> Result<Self, Problem> {
        let bad = || {
            let detail = format!("{field} must be the id of an event, such as 12.3, or a height");
            Problem::query(field, detail)
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().ok_or_else(bad)
        };
        match text.split_once('.') {
            None => Ok(Self::after_block(number(text)?)),
            Some((height, position)) => {
                let (height, position) = (number(height)?, number(position)?);
                // Height 0 has no block; what follows it is block 1.
                if height == 0 {
                    return Ok(Self::after_block(0));
                }
                Ok(Self { height, position: position.saturating_add(1) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_cursor_stands_behind_what_was_taken() {
        let parse = |text| Cursor::parse("after", text).unwrap();
        assert_eq!(parse("0"), Cursor { height: 1, position: 0 });
        assert_eq!(parse("7"), Cursor { height: 8, position: 0 });
        assert_eq!(parse("7.0"), Cursor { height: 7, position: 1 });
        assert_eq!(parse("0.5"), Cursor { height: 1, position: 0 });
        assert_eq!(parse("18446744073709551615").height, u64::MAX);
        for bad in ["", ".", "7.", ".7", "-1", "1.2.3", "+1", "99999999999999999999"] {
            assert!(Cursor::parse("after", bad).is_err(), "{bad}");
        }
    }
}
