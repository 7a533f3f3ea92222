//! The tables of docs/RECORDS.md, from the types that records are read into. The
//! test fails where the page says something else; with `UPDATE_DOCS=1` it writes it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use super::{
    Family, RecordType, References,
    contract::{ConsentState, DeductibleModel, PartyDetail, PremiumStatus, Verdict},
    member::MembershipChange,
    settlement::{Answer, ClaimProgress, LadderEffect, Outcome, PaymentStatus, ReleaseReason},
    signature::SignatureFailure,
};
use crate::{
    refusal::Code,
    vault::{PRIVATE_FIELDS, own_fields_that_may_be_private, private_fields_of},
};

/// What a record of any type may be refused with.
const OF_ALL: &[Code] = &[
    Code::Malformed,
    Code::UnknownField,
    Code::TooLarge,
    Code::WrongLedger,
    Code::UnknownMember,
    Code::UnknownKey,
    Code::KeyNotValidThen,
    Code::BadSignature,
    Code::RoleNotAllowed,
    Code::NotAParty,
    Code::AmountNegative,
    Code::OccurredInFuture,
    Code::Backdated,
    Code::Expired,
    Code::UnknownReference,
    Code::CurrencyMismatch,
    Code::ClaimState,
];

/// What a correction may be refused with besides: what came after rests on the
/// record that it corrects.
const OF_CORRECTIONS: &[Code] = &[
    Code::AlreadyCorrected,
    Code::AlreadyAnswered,
    Code::CeilingExceeded,
    Code::ChangeOnlyAtPeriodEnd,
    Code::LadderStep,
    Code::NotDecided,
    Code::NotHeld,
    Code::PaidExceedsApproved,
    Code::PolicyNotInForce,
    Code::RoundGap,
    Code::SignatureState,
    Code::TotalMismatch,
    Code::VersionGap,
];

/// What a record of a type may be refused with besides.
fn codes(record_type: RecordType) -> &'static [Code] {
    match record_type {
        RecordType::ContractIssued => &[
            Code::ContractExists,
            Code::VersionGap,
            Code::ModuleCombination,
            Code::LadderStep,
            Code::CeilingExceeded,
            Code::SignatureState,
        ],
        RecordType::ContractChangeRequested => &[Code::NoticeTooLate],
        RecordType::ContractAmended => &[
            Code::VersionGap,
            Code::ChangeOnlyAtPeriodEnd,
            Code::PolicyNotInForce,
            Code::CeilingExceeded,
        ],
        RecordType::ContractRenewed => {
            &[Code::VersionGap, Code::PeriodGap, Code::NoChangeRequest, Code::PolicyNotInForce]
        }
        RecordType::ContractTerminated => {
            &[Code::DossierGreen, Code::DeadlineNotPassed, Code::PolicyNotInForce]
        }
        RecordType::ContractPremium | RecordType::DocumentIssued => &[Code::DossierRed],
        RecordType::SignatureRequested => &[Code::SignatureExists],
        RecordType::SignatureChallenged | RecordType::SignatureFailed => &[Code::SignatureState],
        RecordType::SignatureCompleted => &[Code::SignatureState, Code::SignatureExpired],
        RecordType::PreauthorisationRequested => {
            &[Code::PreauthorisationExists, Code::PolicyNotInForce]
        }
        RecordType::PreauthorisationAnswered => {
            &[Code::AlreadyAnswered, Code::SplitMismatch, Code::HoldNot24h, Code::CeilingExceeded]
        }
        RecordType::PreauthorisationReleased => &[Code::NotHeld],
        RecordType::ClaimOpened => &[
            Code::ClaimExists,
            Code::ChannelNotAccepted,
            Code::MandatoryDocumentMissing,
            Code::PolicyNotInForce,
            Code::NotHeld,
            Code::HoldExpired,
            Code::ClaimExceedsGuarantee,
            Code::CeilingExceeded,
        ],
        RecordType::ClaimRegistered => &[Code::ClaimNumberTaken],
        RecordType::ClaimDecided => &[
            Code::SplitMismatch,
            Code::DeductibleWrong,
            Code::LadderEffectWrong,
            Code::PaidExceedsApproved,
            Code::CeilingExceeded,
        ],
        RecordType::ClaimClosed => &[Code::TotalMismatch],
        RecordType::DeductibleSet => &[Code::LadderStep],
        RecordType::SettlementOffered | RecordType::SettlementNotified => &[Code::RoundGap],
        RecordType::SettlementAnswered => &[
            Code::RoundGap,
            Code::NotNotified,
            Code::SignatureIncomplete,
            Code::PaidExceedsApproved,
            Code::CeilingExceeded,
        ],
        RecordType::PaymentRecorded => &[
            Code::NotDecided,
            Code::PaidExceedsApproved,
            Code::TotalMismatch,
            Code::CeilingExceeded,
        ],
        RecordType::StatementIssued => &[Code::StatementMismatch],
        RecordType::MemberProposed => &[Code::ChangeImpossible, Code::TooManyProposals],
        RecordType::MemberApproved => &[
            Code::AlreadyApproved,
            Code::ProposalSettled,
            Code::ProposalVoid,
            Code::ChangeImpossible,
        ],
        _ => &[],
    }
}

/// What a field is, in words. A new kind of field needs its words here.
fn kind(kind: &str) -> String {
    if let Some(items) = kind.strip_prefix("Vec<").and_then(|kind| kind.strip_suffix('>')) {
        return format!("list of {}", self::kind(items));
    }
    let words = match kind {
        "Amount" => return "amount".to_owned(),
        "AmountOrText" => return "amount or text".to_owned(),
        "Code" | "Basis" | "Channel" => return "code".to_owned(),
        "Currency" => return "currency".to_owned(),
        "Day" => return "day".to_owned(),
        "DayOrMoment" => return "day or moment".to_owned(),
        "Moment" => return "moment".to_owned(),
        "Ordinal" => return "number from 1".to_owned(),
        "Count" => return "number from 0".to_owned(),
        "Period" => return "{`from`, `to`}, two days".to_owned(),
        "Text" => return "text".to_owned(),
        "TextOrInteger" => return "text or number".to_owned(),
        "bool" => return "true or false".to_owned(),
        "Line" => return "{`code`, `amount`}".to_owned(),
        "ClaimRef" => return "claim".to_owned(),
        "SignatureTarget" => {
            return "{`contract`, `version`} or {`settlement`, `round`}".to_owned();
        }
        "ErasedRef" | "ProposalRef" => return "record id".to_owned(),
        "MemberId" => return "member".to_owned(),
        "Role" => return "role".to_owned(),
        "KeyId" => return "key id".to_owned(),
        "RecordKey" => return "{`id`, `alg`, `public`}".to_owned(),
        "ValidatorKeys" | "ObserverNode" => return "as in the genesis".to_owned(),
        "DeductibleModel" => DeductibleModel::WORDS,
        "PremiumStatus" => PremiumStatus::WORDS,
        "Verdict" => Verdict::WORDS,
        "PartyDetail" => PartyDetail::WORDS,
        "ConsentState" => ConsentState::WORDS,
        "SignatureFailure" => SignatureFailure::WORDS,
        "ReleaseReason" => ReleaseReason::WORDS,
        "ClaimProgress" => ClaimProgress::WORDS,
        "Outcome" => Outcome::WORDS,
        "LadderEffect" => LadderEffect::WORDS,
        "Answer" => Answer::WORDS,
        "PaymentStatus" => PaymentStatus::WORDS,
        "MembershipChange" => MembershipChange::WORDS,
        other => panic!("{other} has no words in the documentation"),
    };
    words.join(" / ")
}

fn fields(record_type: RecordType) -> String {
    let fields = record_type.fields().iter().map(|(name, of)| {
        let optional = of.strip_prefix("Option<").and_then(|of| of.strip_suffix('>'));
        let mark = if optional.is_some() { "?" } else { "" };
        format!("`{name}`{mark} {}", kind(optional.unwrap_or(of)))
    });
    fields.collect::<Vec<_>>().join("; ")
}

fn list(codes: &[Code]) -> String {
    codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ")
}

fn tables() -> String {
    let mut text = String::new();
    for family in [Family::Contract, Family::Signature, Family::Settlement, Family::Member] {
        let _ = write!(
            text,
            "\n### Family `{}`\n\n| type | signed by | names | data | refused with |\n|---|---|---|---|---|\n",
            family.as_str()
        );
        let of_family = RecordType::ALL.iter().filter(|of| of.family() == family);
        for record_type in of_family.copied() {
            let roles: Vec<_> = record_type.roles().iter().map(|role| role.as_str()).collect();
            let names = match record_type.references() {
                References::Optional => "",
                References::Contract => "contract",
                References::ContractAndClaim => "contract, claim",
            };
            let (fields, codes) = (fields(record_type), list(codes(record_type)));
            let roles = roles.join(", ");
            let _ = writeln!(text, "| `{record_type}` | {roles} | {names} | {fields} | {codes} |");
        }
    }
    let _ = write!(
        text,
        "\nAny record: {}.\n\nA correction besides: {}.\n\n### Private by default\n\n",
        list(OF_ALL),
        list(OF_CORRECTIONS)
    );
    let names: Vec<_> = PRIVATE_FIELDS.iter().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(
        text,
        "In records of every family but `member`, in the payload and in `data`: {}.\n",
        names.join(", ")
    );
    for record_type in RecordType::ALL.iter().copied() {
        let own: Vec<_> = private_fields_of(record_type)
            .filter(|name| !PRIVATE_FIELDS.contains(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !own.is_empty() {
            let _ = writeln!(text, "* in `{record_type}` also {}", own.join(", "));
        }
    }
    text.push_str("\n### Private where they are named\n\n");
    for record_type in RecordType::ALL.iter().copied() {
        let own: Vec<_> =
            own_fields_that_may_be_private(record_type).map(|name| format!("`{name}`")).collect();
        if !own.is_empty() {
            let _ = writeln!(text, "* in `{record_type}`: {}", own.join(", "));
        }
    }
    text
}

const BEGIN: &str = "<!-- begin of what is made from the code -->\n";
const END: &str = "\n<!-- end of what is made from the code -->";

#[test]
fn the_page_of_record_types_says_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/RECORDS.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", tables())).unwrap();
        return;
    }
    assert_eq!(found, tables(), "UPDATE_DOCS=1 cargo test -p quittance-ledger --lib catalogue");
}

#[test]
fn no_code_is_left_out_of_the_page() {
    let of_types = RecordType::ALL.iter().flat_map(|record_type| codes(*record_type));
    let told: BTreeSet<_> = of_types.chain(OF_ALL).chain(OF_CORRECTIONS).collect();
    let left_out: Vec<_> = Code::ALL.iter().filter(|code| !told.contains(code)).collect();
    assert_eq!(left_out, [] as [&Code; 0]);
}

#[test]
fn what_the_samples_are_refused_with_is_told_of_their_type() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let expected = line["expect"].as_str().and_then(|text| text.strip_prefix("refused:"));
            let Some(expected) = expected else { continue };
            let record_type: RecordType = line["record"]["type"].as_str().unwrap().parse().unwrap();
            let told =
                codes(record_type).iter().chain(OF_ALL).any(|code| code.as_str() == expected);
            assert!(told, "{record_type}: {expected}");
            seen += 1;
        }
    }
    assert_eq!(seen, 18);
}
