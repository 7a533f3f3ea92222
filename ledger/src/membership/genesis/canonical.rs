//! The canonical form of a genesis, whose SHA-256 is the ledger id: JSON after
//! RFC 8785 (docs/FORMATS.md, "Genesis").

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Disposition, Genesis};
use crate::digest::{Digest, LedgerId};

/// The marks of the canonical form; a new layout gets a new one.
const FORMAT: &str = "quittance-genesis@v1";

impl Genesis {
    /// The canonical form: JSON after RFC 8785, which [`Genesis::ledger_id`] hashes.
    ///
    /// Addresses and peer ids, and so observers, are left out: where a node is
    /// reached may change without making another ledger.
    #[must_use]
    pub fn canonical(&self) -> String {
        // BTreeMap keeps RFC 8785's order of names, which are all ASCII here,
        // whatever features of serde_json another crate switches on.
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| {
                let keys: Vec<_> = member
                    .keys
                    .iter()
                    .map(|key| {
                        object([
                            ("alg", text(key.public.algorithm().as_str())),
                            ("id", text(key.id.as_str())),
                            ("public", text(key.public.to_string())),
                        ])
                    })
                    .collect();
                let mut fields = vec![
                    ("id", text(member.id.as_str())),
                    ("keys", Canonical::List(keys)),
                    ("name", text(&member.name)),
                    ("role", text(member.role.as_str())),
                ];
                if let Some(zone) = &member.time_zone {
                    fields.push(("time_zone", text(zone)));
                }
                if let Some(validator) = &member.validator {
                    fields.push((
                        "validator",
                        object([
                            ("consensus", text(STANDARD.encode(validator.consensus))),
                            ("cosigner", text(validator.cosigner.to_string())),
                            ("log", text(validator.log.to_string())),
                        ]),
                    ));
                }
                object(fields)
            })
            .collect();
        let rule = |disposition| {
            text(match disposition {
                Disposition::Reject => "reject",
                Disposition::Flag => "flag",
            })
        };
        let canonical = object([
            ("format", text(FORMAT)),
            (
                "ledger",
                object([
                    ("backdating", text(self.backdating.to_string())),
                    ("origin", text(self.origin.as_str())),
                ]),
            ),
            ("members", Canonical::List(members)),
            (
                "rules",
                object([
                    ("change_only_at_period_end", rule(self.rules.change_only_at_period_end)),
                    ("dossier_red", rule(self.rules.dossier_red)),
                    ("notice_too_late", rule(self.rules.notice_too_late)),
                ]),
            ),
        ]);
        let mut written = String::new();
        canonical.write(&mut written);
        written
    }

    /// SHA-256 of [`Genesis::canonical`]: the name every header carries.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        LedgerId::from_digest(Digest::of(self.canonical().as_bytes()))
    }
}

/// The JSON that a canonical form is made of: objects, lists and texts.
enum Canonical {
    Text(String),
    List(Vec<Canonical>),
    Object(BTreeMap<&'static str, Canonical>),
}

fn text(text: impl Into<String>) -> Canonical {
    Canonical::Text(text.into())
}

fn object(fields: impl IntoIterator<Item = (&'static str, Canonical)>) -> Canonical {
    Canonical::Object(fields.into_iter().collect())
}

impl Canonical {
    fn write(&self, to: &mut String) {
        match self {
            // serde_json escapes exactly as RFC 8785, section 3.2.2.2, asks.
            Self::Text(text) => {
                let _ = write!(to, "{}", serde_json::Value::from(text.as_str()));
            }
            Self::List(items) => {
                to.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    item.write(to);
                }
                to.push(']');
            }
            Self::Object(fields) => {
                to.push('{');
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    let _ = write!(to, "\"{name}\":");
                    value.write(to);
                }
                to.push('}');
            }
        }
    }
}
