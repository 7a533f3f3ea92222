//! Amounts as people read them.

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
}
