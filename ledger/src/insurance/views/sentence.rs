//! What a record says, in one sentence for people.

use jiff::tz::TimeZone;

use super::money;
use crate::{
    insurance::{
        Amount, AmountOrText, Currency, Data, Moment,
        contract::{PremiumStatus, Verdict},
        settlement::{Answer, LadderEffect, Line, PaymentStatus, ReleaseReason},
        signature::SignatureTarget,
    },
    record::Record,
};

/// The sentence of a record, with moments on the clocks of `zone`.
pub(super) fn of(record: &Record, zone: &TimeZone) -> String {
    let payload = record.payload();
    let by = payload.declared_by.as_ref().map_or_else(
        || record.signer().to_string(),
        |by| format!("{by} (through {})", record.signer()),
    );
    let claim = payload.claim.as_ref().map(ToString::to_string).unwrap_or_default();
    let said = contract(&payload.data)
        .or_else(|| signature(&payload.data))
        .or_else(|| before_claim(&payload.data, zone))
        .or_else(|| after_claim(&payload.data, &claim))
        .unwrap_or_else(|| payload.record_type.as_str().to_owned());
    format!("{by}: {said}")
}

fn amount(amount: Amount, currency: Option<Currency>) -> String {
    money::amount(amount.minor_units(), currency.map(Currency::code))
}

fn because(reason: Option<&impl ToString>) -> String {
    reason.map(|reason| format!(" ({})", reason.to_string())).unwrap_or_default()
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn contract(data: &Data) -> Option<String> {
    Some(match data {
        Data::ContractQuoted(data) => match data.premium {
            Some(premium) => format!("quote {} at {}", data.quote, amount(premium, data.currency)),
            None => format!("quote {}", data.quote),
        },
        Data::ContractApplied(data) => format!("application {}", data.application),
        Data::ContractIssued(data) => {
            let mut said = format!(
                "issued version {} for {}, {} to {}",
                data.version.get(),
                data.line_of_business,
                data.period.from(),
                data.period.to()
            );
            if let Some(ceiling) = data.annual_ceiling {
                said += &format!(", ceiling {}", amount(ceiling, data.currency));
            }
            if data.signature_required {
                said += ", in force once signed";
            }
            said
        }
        Data::ContractChangeRequested(data) => format!(
            "asked to change {}{} from {}",
            data.change,
            becomes(data.to.as_ref(), data.currency),
            data.wanted_on
        ),
        Data::ContractAmended(data) => format!(
            "amended to version {}: {}{} from {}",
            data.version.get(),
            data.change,
            becomes(data.to.as_ref(), data.currency),
            data.effective
        ),
        Data::ContractRenewed(data) => {
            let mut said = format!(
                "renewed as version {}, {} to {}",
                data.version.get(),
                data.period.from(),
                data.period.to()
            );
            if let Some(ceiling) = data.annual_ceiling {
                said += &format!(", ceiling {}", amount(ceiling, data.currency));
            }
            said
        }
        Data::ContractTerminated(data) => match data.effective {
            Some(last) => format!("terminated for {}, last day {last}", data.reason),
            None => format!("terminated for {}", data.reason),
        },
        Data::ContractPremium(data) => {
            let figure = amount(data.amount, Some(data.currency));
            match data.status {
                PremiumStatus::Due => {
                    format!("premium {} of {figure} due on {}", data.receipt, data.due_on)
                }
                PremiumStatus::Paid => format!("premium {} of {figure} paid", data.receipt),
                PremiumStatus::Unpaid => format!("premium {} of {figure} unpaid", data.receipt),
                PremiumStatus::Refunded => format!("premium {} of {figure} refunded", data.receipt),
            }
        }
        Data::DocumentRequested(data) => {
            format!("asked for {} by {}", list(&data.items), data.due)
        }
        Data::DocumentReceived(data) => match data.verdict {
            Some(verdict) => found(&data.item.to_string(), verdict),
            None => format!("{} came in", data.item),
        },
        Data::DocumentAssessed(data) => found(&data.item.to_string(), data.verdict),
        Data::DocumentIssued(data) => match &data.reissue_of {
            Some(before) => format!("handed out {} instead of {before}", data.kind),
            None => format!("handed out {}", data.kind),
        },
        Data::PartyUpdated(data) => {
            let confirmed = if data.confirmed == Some(true) { ", confirmed" } else { "" };
            format!("{} details changed from {}{confirmed}", data.what.as_str(), data.effective)
        }
        Data::ConsentRecorded(data) => {
            format!("consent {} to {} {}", data.consent, data.purpose, data.state.as_str())
        }
        _ => return None,
    })
}

fn becomes(to: Option<&AmountOrText>, currency: Option<Currency>) -> String {
    match to {
        Some(AmountOrText::Amount(to)) => format!(" to {}", amount(*to, currency)),
        Some(AmountOrText::Text(to)) => format!(" to {to}"),
        None => String::new(),
    }
}

fn found(item: &str, verdict: Verdict) -> String {
    format!("{item} {}", verdict.as_str())
}

fn signature(data: &Data) -> Option<String> {
    Some(match data {
        Data::SignatureRequested(data) => {
            let target = match &data.target {
                SignatureTarget::Contract { contract, version } => {
                    format!("version {} of {contract}", version.get())
                }
                SignatureTarget::Settlement { settlement, round } => {
                    format!("offer {} for {settlement}", round.get())
                }
            };
            format!("asked {} to sign {target} (signature {})", data.signer, data.signature)
        }
        Data::SignatureChallenged(data) => {
            format!("one-time code for signature {} sent by {}", data.signature, data.channel)
        }
        Data::SignatureFailed(data) => format!(
            "attempt {} at signature {} failed: {}",
            data.attempt.get(),
            data.signature,
            data.reason.as_str()
        ),
        Data::SignatureCompleted(data) => {
            format!("signature {} completed, level claimed: {}", data.signature, data.level)
        }
        _ => return None,
    })
}

/// A moment to the second, on the clocks of a time zone.
fn moment(moment: Moment, zone: &TimeZone) -> String {
    let time = moment.timestamp().to_zoned(zone.clone());
    time.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn total(lines: &[Line], currency: Currency) -> String {
    Amount::checked_sum(lines.iter().map(|line| line.amount))
        .map_or_else(|| "an amount".to_owned(), |total| amount(total, Some(currency)))
}

fn before_claim(data: &Data, zone: &TimeZone) -> Option<String> {
    Some(match data {
        Data::PreauthorisationRequested(data) => format!(
            "pre-authorisation {} asked for {}{}",
            data.preauthorisation,
            total(&data.lines, data.currency),
            data.replaces.as_ref().map(|it| format!(", instead of {it}")).unwrap_or_default()
        ),
        Data::PreauthorisationAnswered(data) => {
            let customer = amount(data.customer_share, Some(data.currency));
            let mut said = format!(
                "pre-authorisation {}: {} guaranteed, {customer} left to the customer{}",
                data.preauthorisation,
                amount(data.guaranteed, Some(data.currency)),
                because(data.reason.as_ref())
            );
            if let Some(until) = data.hold_until {
                said += &format!(", held until {}", moment(until, zone));
            }
            said
        }
        Data::PreauthorisationReleased(data) => match (data.reason, &data.replaced_by) {
            (ReleaseReason::Replaced, Some(by)) => {
                format!("hold of {} given back, replaced by {by}", data.preauthorisation)
            }
            (reason, _) => format!("hold of {} {}", data.preauthorisation, reason.as_str()),
        },
        Data::AlertRaised(data) => format!("alert {}: {}", data.alert, data.basis),
        Data::RewardRecorded(data) => format!(
            "{} rewarded with {} for referral {}",
            data.to,
            amount(data.amount, Some(data.currency)),
            data.referral
        ),
        Data::StatementIssued(data) => format!(
            "statement for {}, {} to {}: {} paid in {} payments, {} open",
            data.to,
            data.period.from(),
            data.period.to(),
            amount(data.paid_sum, Some(data.currency)),
            data.paid_count.get(),
            data.open_count.get()
        ),
        Data::DeductibleSet(data) => {
            format!("deductible {} ({})", amount(data.amount, Some(data.currency)), data.cause)
        }
        _ => return None,
    })
}

fn after_claim(data: &Data, claim: &str) -> Option<String> {
    Some(match data {
        Data::ClaimOpened(data) => {
            let mut said = format!("claim {claim} opened by {}", data.channel);
            if let Some(claimed) = data.claimed {
                said += &format!(" for {}", amount(claimed, data.currency));
            }
            if let Some(held) = &data.preauthorisation {
                said += &format!(", on pre-authorisation {held}");
            }
            said
        }
        Data::ClaimRegistered(data) => format!("claim {claim} registered as {}", data.number),
        Data::ClaimState(data) => match &data.label {
            Some(label) => format!("claim {claim} {}: {label}", data.state.as_str()),
            None => format!("claim {claim} {}", data.state.as_str()),
        },
        Data::ClaimDecided(data) => {
            let mut said = format!(
                "claim {claim} decided: {}, {} approved, {} refused{}",
                data.outcome.as_str(),
                amount(data.approved, Some(data.currency)),
                amount(data.refused, Some(data.currency)),
                because(data.reason.as_ref())
            );
            if let Some(deductible) = data.deductible {
                said += &format!(", deductible {}", amount(deductible, Some(data.currency)));
            }
            if data.ladder == Some(LadderEffect::StepUp) {
                said += ", raises the next one";
            }
            said
        }
        Data::ClaimDisputed(data) => {
            format!("claim {claim} disputed between {}", list(&data.between))
        }
        Data::ClaimClosed(data) => {
            format!("claim {claim} closed, {} paid", amount(data.paid, Some(data.currency)))
        }
        Data::SettlementOffered(data) => format!(
            "offer {} for {claim}: {}",
            data.round.get(),
            amount(data.amount, Some(data.currency))
        ),
        Data::SettlementNotified(data) => {
            format!("offer {} for {claim} reached {}", data.round.get(), data.to)
        }
        Data::SettlementAnswered(data) => {
            let answer = match data.answer {
                Answer::Accepted => "accepted",
                Answer::Objected => "objected to",
            };
            let signed = data.signature.as_ref().map(|it| format!(", signed as {it}"));
            let signed = signed.unwrap_or_default();
            format!("offer {} for {claim} {answer}{signed}", data.round.get())
        }
        Data::PaymentRecorded(data) => {
            let figure = amount(data.amount, Some(data.currency));
            let on_account = if data.on_account == Some(true) { " on account" } else { "" };
            match data.status {
                PaymentStatus::Ordered => {
                    format!("payment of {figure}{on_account} to {} for {claim} ordered", data.payee)
                }
                PaymentStatus::Executed => {
                    format!("{figure} paid{on_account} to {} for {claim}", data.payee)
                }
                PaymentStatus::Returned => {
                    format!("{figure} to {} for {claim} came back", data.payee)
                }
            }
        }
        _ => return None,
    })
}
