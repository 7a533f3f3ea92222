//! A record's payload as rows that a person can read.

use quittance_ledger::insurance::Currency;
use serde_json::{Map, Value};

/// The fields that stand first, in this order; those that only machines read
/// stand last.
const FIRST: [&str; 8] =
    ["type", "occurred_at", "contract", "claim", "declared_by", "data", "documents", "corrects"];
const LAST: [&str; 3] = ["ledger", "salt", "_sd"];

/// Fields of `data` that hold an amount in minor units.
const AMOUNTS: [&str; 13] = [
    "amount",
    "annual_ceiling",
    "approved",
    "claimed",
    "customer_share",
    "deductible",
    "guaranteed",
    "paid",
    "paid_sum",
    "premium",
    "refused",
    "to",
    "open_sum",
];

/// The deepest indentation that the style sheet draws.
const DEPTH_MAX: usize = 4;

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) depth: usize,
    pub(super) name: String,
    pub(super) value: String,
    /// Beside the value, smaller.
    pub(super) hint: Option<String>,
    pub(super) link: Option<String>,
    /// Whether it is for machines rather than people.
    pub(super) is_code: bool,
}

/// The rows of a payload.
pub(super) fn fields(payload: Map<String, Value>) -> Vec<Field> {
    let currency = payload
        .get("data")
        .and_then(|data| data.get("currency")?.as_str()?.parse::<Currency>().ok());
    let mut names: Vec<&String> = payload.keys().collect();
    let place = |name: &str| match FIRST.iter().position(|first| *first == name) {
        Some(position) => position,
        None if LAST.contains(&name) => FIRST.len() + 1,
        None => FIRST.len(),
    };
    names.sort_by_key(|name| place(name));
    let mut rows = Rows { currency, rows: Vec::new() };
    for name in names {
        if let Some(value) = payload.get(name) {
            rows.add(0, name, name, value);
        }
    }
    rows.rows
}

struct Rows {
    currency: Option<Currency>,
    rows: Vec<Field>,
}

impl Rows {
    /// Adds a field and what is inside it. `label` is what stands in the row;
    /// `name` is the field's own, which an element of a list takes from its list.
    fn add(&mut self, depth: usize, label: &str, name: &str, value: &Value) {
        let mut row = Field {
            depth: depth.min(DEPTH_MAX),
            name: label.replace('_', " "),
            value: String::new(),
            hint: None,
            link: None,
            is_code: LAST.contains(&name) || matches!(name, "commitment" | "match" | "corrects"),
        };
        let inside = depth + 1;
        match value {
            Value::Object(object) => {
                self.rows.push(row);
                for (name, value) in object {
                    self.add(inside, name, name, value);
                }
            }
            Value::Array(items)
                if items.iter().all(|item| !item.is_object() && !item.is_array()) =>
            {
                row.value = items.iter().map(plain).collect::<Vec<_>>().join(", ");
                self.rows.push(row);
            }
            Value::Array(items) => {
                self.rows.push(row);
                for (position, item) in items.iter().enumerate() {
                    self.add(inside, &format!("{}.", position + 1), name, item);
                }
            }
            value => {
                row.value = plain(value);
                match (depth, value) {
                    (0, Value::String(text)) => row.link = link(name, text),
                    (_, Value::Number(number)) if depth > 0 && AMOUNTS.contains(&name) => {
                        if let Some(amount) =
                            number.as_u64().and_then(|minor| amount(minor, self.currency?))
                        {
                            row.hint = Some(format!("{} minor units", row.value));
                            row.value = amount;
                        }
                    }
                    _ => {}
                }
                self.rows.push(row);
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn link(name: &str, text: &str) -> Option<String> {
    match name {
        "contract" | "claim" => Some(format!("/search?q={}", super::listing::encoded(text))),
        "corrects" => Some(format!("/records/{text}")),
        _ => None,
    }
}

/// An amount with its currency: `1 250.00 EUR`.
fn amount(minor: u64, currency: Currency) -> Option<String> {
    let digits = u32::from(currency.minor_digits()?);
    let unit = 10_u64.checked_pow(digits)?;
    let whole = (minor / unit).to_string();
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    let code = currency.code();
    Some(match digits {
        0 => format!("{grouped} {code}"),
        digits => {
            format!("{grouped}.{:0width$} {code}", minor % unit, width = digits as usize)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_shown_in_their_currency_with_the_signed_figure_beside() {
        let Value::Object(payload) = json!({
            "salt": "AAAA", "type": "payment.recorded", "contract": "a/1 2",
            "data": {"amount": 123456, "currency": "EUR", "lines": [{"code": "x", "amount": 5}]},
        }) else {
            unreachable!()
        };
        let rows = fields(payload);
        let names: Vec<_> = rows.iter().map(|row| (row.depth, row.name.as_str())).collect();
        assert_eq!(
            names,
            [
                (0, "type"),
                (0, "contract"),
                (0, "data"),
                (1, "amount"),
                (1, "currency"),
                (1, "lines"),
                (2, "1."),
                (3, "amount"),
                (3, "code"),
                (0, "salt"),
            ]
        );
        assert_eq!(rows[1].link.as_deref(), Some("/search?q=a%2F1%202"));
        assert_eq!(rows[3].value, "1\u{a0}234.56 EUR");
        assert_eq!(rows[3].hint.as_deref(), Some("123456 minor units"));
        assert_eq!(rows[7].value, "0.05 EUR");
        assert_eq!(amount(1_000_000, "JPY".parse().unwrap()).unwrap(), "1\u{a0}000\u{a0}000 JPY");
    }
}
