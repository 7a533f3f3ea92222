//! Amounts, and days to a deadline, as people read them.

use crate::insurance::Currency;

/// An amount with its currency, the minor units behind a point, as ISO 4217 has
/// them: `1500.00 EUR`, `1500 JPY`, `1.500 BHD`. Of a currency that has none, or
/// that is not known, the minor units: `1500 minor units of XAU`.
#[must_use]
pub fn format_amount(minor_units: i128, currency: &str) -> String {
    let digits = currency.parse::<Currency>().ok().and_then(Currency::minor_digits);
    let Some(unit) = digits.and_then(|digits| 10_u128.checked_pow(u32::from(digits))) else {
        return format!("{minor_units} minor units of {currency}");
    };
    let sign = if minor_units < 0 { "-" } else { "" };
    let amount = minor_units.unsigned_abs();
    match usize::from(digits.unwrap_or(0)) {
        0 => format!("{sign}{amount} {currency}"),
        width => format!("{sign}{}.{:0width$} {currency}", amount / unit, amount % unit),
    }
}

/// As [`format_amount`], where amount or currency may be missing: nothing of no
/// currency is a dash, no amount is nothing.
#[must_use]
pub fn format_amount_or_dash(
    minor_units: Option<impl Into<i128>>,
    currency: Option<&str>,
) -> String {
    match (minor_units.map(Into::into), currency) {
        (Some(amount), Some(currency)) => format_amount(amount, currency),
        (Some(0), None) => "–".to_owned(),
        (Some(amount), None) => format!("{amount} minor units"),
        (None, _) => String::new(),
    }
}

/// Days until something is due, negative where that is over: `2 days left`.
#[must_use]
pub fn format_days_left(days: i64) -> String {
    match days {
        0 => "due today".to_owned(),
        1 => "1 day left".to_owned(),
        2.. => format!("{days} days left"),
        -1 => "1 day overdue".to_owned(),
        _ => format!("{} days overdue", days.unsigned_abs()),
    }
}

/// As [`format_amount`], where a currency may be missing.
pub(super) fn amount(minor_units: u64, currency: Option<&str>) -> String {
    match currency {
        Some(currency) => format_amount(i128::from(minor_units), currency),
        None => format!("{minor_units} minor units"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_those_of_the_currency() {
        let shown = [
            (150_000, "EUR"),
            (5, "CHF"),
            (1500, "JPY"),
            (1500, "BHD"),
            (-13_800, "EUR"),
            (7, "XAU"),
            (7, "???"),
        ]
        .map(|(amount, currency)| format_amount(amount, currency));
        let expected = [
            "1500.00 EUR",
            "0.05 CHF",
            "1500 JPY",
            "1.500 BHD",
            "-138.00 EUR",
            "7 minor units of XAU",
            "7 minor units of ???",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_day_is_no_days_and_no_amount_stands_without_its_currency() {
        let said = [-2, -1, 0, 1, 2].map(format_days_left);
        let expected =
            ["2 days overdue", "1 day overdue", "due today", "1 day left", "2 days left"];
        assert_eq!(said, expected);
        assert_eq!(format_amount_or_dash(Some(0), None), "–");
        assert_eq!(format_amount_or_dash(Some(10_000), None), "10000 minor units");
        assert_eq!(format_amount_or_dash(Some(10_000), Some("EUR")), "100.00 EUR");
        assert_eq!(format_amount_or_dash(None::<u64>, Some("EUR")), "");
    }
}
