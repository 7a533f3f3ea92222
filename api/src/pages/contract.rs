//! `/contracts/{insurer}/{number}`: the dossier of a contract.

use askama::Template;
use axum::{extract::State, response::Response};
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::{
    insurance::views::{
        Colour, ContractStatus, Dossier, Event, PeriodUse, PreauthorisationState,
        format_amount_or_dash, format_days_left, time_zone,
    },
    record::ContractRef,
};

use super::{PageProblem, listing::encoded, page};
use crate::{
    extract::{PathOf, QueryOf},
    problem::Problem,
    read::{
        contracts::dossier,
        views::{AtQuery, at_of, reference},
    },
    state::Shared,
};

/// The width that a bar is drawn in.
const BAR: u64 = 1000;

/// Events that the picture of the timeline shows: the newest.
const DOTS_MAX: usize = 400;

/// The lanes of the timeline, each with what its record types begin with.
const LANES: [(&str, &[&str]); 4] = [
    ("contract", &["contract.", "party.", "consent.", "deductible.", "alert.", "reward."]),
    ("documents", &["document.", "signature."]),
    ("claims", &["preauthorisation.", "claim.", "settlement."]),
    ("payments", &["payment.", "statement."]),
];

#[derive(Template)]
#[template(path = "contract.html")]
struct ContractPage {
    contract: String,
    at: String,
    as_of: String,
    status: &'static str,
    in_force: bool,
    green: bool,
    missing: u64,
    days_left: Option<String>,
    facts: Vec<(&'static str, String)>,
    ceiling: Option<Bar>,
    documents: Vec<Line<4>>,
    claims: Vec<Line<5>>,
    holds: Vec<Line<5>>,
    premiums: Vec<Line<4>>,
    signatures: Vec<Line<4>>,
    versions: Vec<Line<3>>,
    steps: Vec<Line<3>>,
    lanes: Vec<Lane>,
    first_day: String,
    last_day: String,
    events: Vec<Shown>,
    json: String,
}

/// Cells, the record they come from, and whether they are good or bad.
struct Line<const CELLS: usize> {
    cells: [String; CELLS],
    record: String,
    class: &'static str,
}

/// A ceiling, drawn.
struct Bar {
    period: String,
    limit: String,
    spent: String,
    held: String,
    left: String,
    spent_width: u64,
    held_width: u64,
}

/// A line of the timeline.
struct Lane {
    name: &'static str,
    y: usize,
    dots: Vec<Dot>,
}

struct Dot {
    x: u64,
    record: String,
    title: String,
}

/// An event of the dossier.
struct Shown {
    happened: String,
    sentence: String,
    marks: Vec<String>,
    corrected_by: Option<String>,
    record: String,
}

pub(super) async fn contract(
    State(app): State<Shared>,
    parts: Result<PathOf<(String, String)>, Problem>,
    query: Result<QueryOf<AtQuery>, Problem>,
) -> Result<Response, PageProblem> {
    let (PathOf(parts), QueryOf(query)) = (parts?, query?);
    let contract: ContractRef = reference("contract", &parts)?;
    let at = at_of(query.at.as_deref())?;
    let asked = query.at.unwrap_or_default();
    let read = app.read(move |app, patience| {
        let (dossier, lines) = dossier(app, patience, &contract, at)?;
        // Here, since the page of a long dossier takes its time.
        let page = page(&ContractPage::of(&dossier, asked));
        let response = page.map_err(|PageProblem(problem)| problem)?;
        Ok(lines.into_answer(response))
    });
    Ok(read.await?)
}

/// The address of a contract's page.
pub(super) fn address(contract: &ContractRef) -> String {
    format!("/contracts/{}/{}", encoded(contract.insurer()), encoded(contract.number()))
}

fn moment(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%-d %b %Y, %H:%M:%S %:z").to_string()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

impl Bar {
    fn of(period: &PeriodUse) -> Option<Self> {
        let (limit, currency) = (period.limit?, period.currency.as_deref());
        let width = |amount: u64| {
            let width = u128::from(amount) * u128::from(BAR) / u128::from(limit.max(1));
            u64::try_from(width).unwrap_or(BAR).min(BAR)
        };
        let spent_width = width(period.spent);
        Some(Self {
            period: format!("{} to {}", period.from, period.to),
            limit: format_amount_or_dash(Some(limit), currency),
            spent: format_amount_or_dash(Some(period.spent), currency),
            held: format_amount_or_dash(Some(period.held), currency),
            left: format_amount_or_dash(period.left, currency),
            spent_width,
            held_width: width(period.held).min(BAR.saturating_sub(spent_width)),
        })
    }
}

impl ContractPage {
    fn of(dossier: &Dossier, at: String) -> Self {
        let zone = time_zone(&dossier.time_zone).unwrap_or(TimeZone::UTC);
        let time = moment(dossier.as_of.time, &zone);
        let as_of = match (dossier.as_of.height, dossier.as_of.past) {
            (Some(height), _) => format!("As the ledger held it after block {height}, {time}"),
            (None, true) => format!("What had happened by {time}, as it is known today"),
            (None, false) => format!("Now, {time}"),
        };
        let number = dossier.contract.split_once('/').unwrap_or_default();
        let query = if at.is_empty() { at.clone() } else { format!("?at={}", encoded(&at)) };
        let documents = &dossier.documents;
        let (first_day, last_day, lanes) = lanes(dossier, &zone);
        Self {
            json: format!("/v1/contracts/{}/{}{query}", encoded(number.0), encoded(number.1)),
            contract: dossier.contract.clone(),
            at,
            as_of,
            status: match dossier.status {
                ContractStatus::NotIssued => "not issued",
                ContractStatus::AwaitingSignature => "awaiting signature",
                ContractStatus::NotYetBegun => "not yet begun",
                ContractStatus::InForce => "in force",
                ContractStatus::Terminated => "terminated",
            },
            in_force: dossier.status == ContractStatus::InForce,
            green: documents.colour == Colour::Green,
            missing: documents.missing,
            days_left: documents.days_left.map(format_days_left),
            facts: facts(dossier, &zone),
            ceiling: dossier.ceiling.as_ref().and_then(Bar::of),
            documents: document_lines(dossier),
            claims: claim_lines(dossier, &zone),
            holds: hold_lines(dossier, &zone),
            premiums: premium_lines(dossier),
            signatures: signature_lines(dossier, &zone),
            versions: version_lines(dossier),
            steps: step_lines(dossier, &zone),
            lanes,
            first_day,
            last_day,
            events: dossier.events.iter().rev().map(|event| shown(event, &zone)).collect(),
        }
    }
}

fn facts(dossier: &Dossier, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(says) = &dossier.facts {
        facts.extend([
            ("Version", says.version.to_string()),
            ("Line of business", says.line_of_business.clone()),
            ("Cover", text(says.cover.as_ref())),
            ("Modules", says.modules.join(", ")),
            ("Insured", text(says.risk.as_ref())),
            ("Broker", text(says.broker.as_ref())),
            ("Referral", text(says.referral.as_ref())),
            ("Premium", format_amount_or_dash(says.premium, says.currency.as_deref())),
            ("Signed", says.signed_at.map(|at| moment(at, zone)).unwrap_or_default()),
        ]);
    }
    if let Some(end) = &dossier.termination {
        facts.push(("Ended", format!("{}: {}", moment(end.occurred_at, zone), end.reason)));
    }
    if let Some(ladder) = &dossier.deductible {
        facts.push(("Deductible", ladder.in_words()));
    }
    for alert in &dossier.alerts {
        facts.push(("Alert", format!("{}: {}", alert.alert, alert.basis)));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn document_lines(dossier: &Dossier) -> Vec<Line<4>> {
    let items = dossier.documents.items.iter().map(|item| Line {
        cells: [
            item.item.clone(),
            item.state.to_string(),
            text(item.due),
            item.days_left.map(format_days_left).or_else(|| item.label.clone()).unwrap_or_default(),
        ],
        record: item.record.to_string(),
        class: if item.colour == Colour::Green { "good" } else { "bad" },
    });
    let papers = dossier.documents.issued.iter().map(|paper| Line {
        cells: [paper.kind.clone(), "handed out".to_owned(), String::new(), paper.by.clone()],
        record: paper.record.to_string(),
        class: "",
    });
    items.chain(papers).collect()
}

fn claim_lines(dossier: &Dossier, zone: &TimeZone) -> Vec<Line<5>> {
    let lines = dossier.claims.iter().map(|claim| {
        let currency = claim.currency.as_deref();
        Line {
            cells: [
                claim.claim.clone(),
                claim.status.to_string().replace('_', " "),
                claim.opened_at.map(|at| moment(at, zone)).unwrap_or_default(),
                format_amount_or_dash(claim.claimed, currency),
                format_amount_or_dash(Some(claim.paid), currency),
            ],
            record: text(claim.record),
            class: if claim.open { "warn" } else { "" },
        }
    });
    lines.collect()
}

fn hold_lines(dossier: &Dossier, zone: &TimeZone) -> Vec<Line<5>> {
    let lines = dossier.preauthorisations.iter().map(|held| {
        let currency = held.currency.as_deref();
        Line {
            cells: [
                held.preauthorisation.clone(),
                held.state.to_string(),
                text(held.provider.as_ref()),
                format_amount_or_dash(held.guaranteed, currency),
                held.hold_until.map(|until| moment(until, zone)).unwrap_or_default(),
            ],
            record: text(held.answered_by.or(held.requested_by)),
            class: match held.state {
                PreauthorisationState::Held => "warn",
                PreauthorisationState::Expired => "bad",
                _ => "",
            },
        }
    });
    lines.collect()
}

fn premium_lines(dossier: &Dossier) -> Vec<Line<4>> {
    let lines = dossier.premiums.iter().map(|premium| Line {
        cells: [
            premium.receipt.clone(),
            premium.status.clone(),
            premium.due_on.to_string(),
            format_amount_or_dash(Some(premium.amount), Some(&premium.currency)),
        ],
        record: premium.record.to_string(),
        class: match premium.status.as_str() {
            "paid" => "good",
            "unpaid" => "bad",
            _ => "",
        },
    });
    lines.collect()
}

fn signature_lines(dossier: &Dossier, zone: &TimeZone) -> Vec<Line<4>> {
    let lines = dossier.signatures.iter().map(|signature| Line {
        cells: [
            signature.signature.clone(),
            signature.state.to_string(),
            text(signature.target.as_ref()),
            signature.completed_at.map(|at| moment(at, zone)).unwrap_or_default(),
        ],
        record: signature.record.to_string(),
        class: if signature.completed_at.is_some() { "good" } else { "" },
    });
    lines.collect()
}

fn version_lines(dossier: &Dossier) -> Vec<Line<3>> {
    let lines = dossier.versions.iter().map(|version| {
        let changes = version.changes.iter().map(ToString::to_string);
        let changes = changes.collect::<Vec<_>>().join("; ");
        Line {
            cells: [
                version.version.to_string(),
                version.effective.to_string(),
                if changes.is_empty() { "issued".to_owned() } else { changes },
            ],
            record: version.record.to_string(),
            class: "",
        }
    });
    lines.collect()
}

fn step_lines(dossier: &Dossier, zone: &TimeZone) -> Vec<Line<3>> {
    let steps = dossier.deductible.iter().flat_map(|ladder| &ladder.steps);
    let lines = steps.map(|step| Line {
        cells: [
            format_amount_or_dash(Some(step.amount), Some(&step.currency)),
            step.cause.clone(),
            moment(step.occurred_at, zone),
        ],
        record: step.record.to_string(),
        class: "",
    });
    lines.collect()
}

fn shown(event: &Event, zone: &TimeZone) -> Shown {
    let mut marks = event.flags.clone();
    if event.corrects.is_some() {
        marks.push("correction".to_owned());
    }
    Shown {
        happened: moment(event.occurred_at, zone),
        sentence: event.sentence.clone(),
        marks,
        corrected_by: event.corrected_by.map(|id| id.to_string()),
        record: event.record.to_string(),
    }
}

/// The events as dots on lanes, from the day of the first to the day of the last.
fn lanes(dossier: &Dossier, zone: &TimeZone) -> (String, String, Vec<Lane>) {
    let newest = dossier.events.len().saturating_sub(DOTS_MAX);
    let events = dossier.events.get(newest..).unwrap_or_default();
    let times = || events.iter().map(|event| event.occurred_at.as_millisecond());
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let length = u128::from(last.abs_diff(first).max(1));
    let day = |time_ms: i64| {
        let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
        time.to_zoned(zone.clone()).strftime("%-d %b %Y").to_string()
    };
    let lanes = LANES.iter().enumerate().map(|(number, (name, begin))| {
        let of_lane = events
            .iter()
            .filter(|event| begin.iter().any(|begin| event.record_type.starts_with(begin)));
        let dots = of_lane.map(|event| {
            let since = u128::from(event.occurred_at.as_millisecond().abs_diff(first));
            let x = u64::try_from(since * u128::from(BAR - 130) / length).unwrap_or(0);
            Dot {
                x: x + 115,
                record: event.record.to_string(),
                title: format!("{}: {}", moment(event.occurred_at, zone), event.sentence),
            }
        });
        Lane { name, y: 20 + 28 * number, dots: dots.collect() }
    });
    (day(first), day(last), lanes.collect())
}
