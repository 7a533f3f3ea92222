//! Amounts and moments as refusals show them.

use jiff::tz::TimeZone;

use crate::insurance::{Amount, Currency, Moment};

/// An amount in minor units, its digits in groups of three: `126 000`.
pub(super) fn figure(amount: Amount) -> String {
    grouped(i128::from(amount.minor_units()))
}

/// A number, its digits in groups of three.
pub(super) fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "−" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// What amounts of a currency are counted in: `EUR cents`.
pub(super) fn unit(currency: Currency) -> String {
    match currency.minor_digits() {
        Some(2) => format!("{} cents", currency.code()),
        Some(0) => currency.code().to_owned(),
        _ => format!("{} minor units", currency.code()),
    }
}

/// A moment on the clocks of a time zone.
pub(super) fn shown(moment: Moment, zone: &TimeZone) -> String {
    moment.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.f %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let figures = [0, 5, 999, 1_000, 24_000, 126_000, 1_234_567, -1_000].map(grouped);
        let expected = ["0", "5", "999", "1 000", "24 000", "126 000", "1 234 567", "−1 000"];
        assert_eq!(figures, expected);
    }
}
