//! `/records` and `/search`: finding records.

use std::{collections::VecDeque, ops::Range};

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use quittance_ledger::{
    insurance::RecordType,
    record::{ClaimRef, ContractRef},
    store::{Entry, Filter, Page, StoreError},
};
use serde::Deserialize;

use super::{PageProblem, Row, page};
use crate::{
    extract::{QueryOf, WhichRecord, parse_some},
    problem::Problem,
    read::records::{RecordsQuery, id_of},
    reading::{Failed, Patience},
    state::Shared,
};

/// Records on one page.
const ROWS: usize = 50;

/// Records that are asked of the store at once: few enough to be held in memory,
/// however large they are.
const STEP: usize = 128;

/// Records of the ledger that are looked at first, from the newest back. One
/// question to the store looks at more than these, so a page always gets on.
const FIRST_WINDOW: u64 = 1024;

/// Questions to the store for one page; a list that takes more ends early and
/// offers to go on.
const STEPS_MAX: usize = 8;

/// What the filter form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListingQuery {
    contract: String,
    claim: String,
    signer: String,
    family: String,
    #[serde(rename = "type")]
    record_type: String,
    document: String,
    from: String,
    to: String,
    before: String,
}

impl ListingQuery {
    fn filter(&self) -> Result<Filter, Problem> {
        RecordsQuery {
            contract: Some(self.contract.clone()),
            claim: Some(self.claim.clone()),
            signer: Some(self.signer.clone()),
            family: Some(self.family.clone()),
            record_type: Some(self.record_type.clone()),
            document: Some(self.document.clone()),
            match_tag: None,
            from: Some(self.from.clone()),
            to: Some(self.to.clone()),
            after: None,
            limit: None,
        }
        .filter()
    }

    /// The address of the page that lists what is older than `before`.
    fn older(&self, before: u64) -> String {
        let before = before.to_string();
        let parameters = [
            ("contract", &self.contract),
            ("claim", &self.claim),
            ("signer", &self.signer),
            ("family", &self.family),
            ("type", &self.record_type),
            ("document", &self.document),
            ("from", &self.from),
            ("to", &self.to),
            ("before", &before),
        ];
        let parameters: Vec<_> = parameters
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        format!("/records?{}", parameters.join("&"))
    }
}

/// Percent-encoded as the value of a query parameter.
pub(super) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[derive(Template)]
#[template(path = "listing.html")]
struct Listing {
    query: ListingQuery,
    members: Vec<(String, String)>,
    types: Vec<&'static str>,
    rows: Vec<Row>,
    older: Option<String>,
    /// The page of the contract that is looked for.
    dossier: Option<String>,
}

pub(super) async fn listing(
    State(app): State<Shared>,
    query: Result<QueryOf<ListingQuery>, Problem>,
) -> Result<Response, PageProblem> {
    let QueryOf(query) = query?;
    let filter = query.filter()?;
    let before = parse_some::<u64>("before", Some(&query.before))?;
    let read = app.read(move |app, patience| {
        let end = before.unwrap_or(u64::MAX).min(app.store.tip().frontier.size());
        let ask = |after, items| app.store.query(&filter, after, items);
        let (entries, older) = newest(ask, patience, end)?;
        let membership = app.membership();
        // Whoever left is still found by what it signed.
        let members = membership.history();
        Ok(Listing {
            members: members.map(|member| (member.id.to_string(), member.name.clone())).collect(),
            types: RecordType::ALL.iter().map(|name| name.as_str()).collect(),
            rows: entries.iter().rev().map(Row::of).collect(),
            older: older.map(|before| query.older(before)),
            dossier: filter.contract.as_ref().map(super::contract::address),
            query,
        })
    });
    page(&read.await?)
}

/// The newest records before index `end`, oldest first, and before which index
/// older ones may stand.
///
/// The store reads forwards only, so windows are read from the end of the
/// ledger back, each four times as long as the one after it. A window that takes
/// too long is left for the next page, which begins with a short one there.
fn newest(
    query: impl Fn(Option<u64>, usize) -> Result<Page, StoreError>,
    patience: &Patience,
    end: u64,
) -> Result<(Vec<Entry>, Option<u64>), Failed> {
    let mut found: VecDeque<Entry> = VecDeque::new();
    let (mut window_end, mut window) = (end, FIRST_WINDOW);
    let mut steps = 0;
    while window_end > 0 && found.len() < ROWS {
        let start = window_end.saturating_sub(window);
        let is_first = window == FIRST_WINDOW;
        let may_go_on = || {
            patience.check()?;
            steps += 1;
            Ok(is_first || (steps <= STEPS_MAX && !patience.is_used_up()))
        };
        let Some(mut inside) = in_window(&query, start..window_end, may_go_on)? else { break };
        while let Some(entry) = inside.pop_back() {
            if found.len() < ROWS {
                found.push_front(entry);
            }
        }
        window_end = start;
        window = window.saturating_mul(4);
    }
    let oldest = found.front().map(|entry| entry.index);
    let older = match oldest {
        Some(oldest) if found.len() == ROWS => Some(oldest),
        _ => Some(window_end),
    };
    Ok((found.into(), older.filter(|before| *before > 0)))
}

/// The last records of a window, oldest first; none where it takes longer than
/// `may_go_on`, which is asked before each question to the store.
fn in_window(
    query: impl Fn(Option<u64>, usize) -> Result<Page, StoreError>,
    window: Range<u64>,
    mut may_go_on: impl FnMut() -> Result<bool, Failed>,
) -> Result<Option<VecDeque<Entry>>, Failed> {
    let mut inside: VecDeque<Entry> = VecDeque::new();
    let mut after = window.start.checked_sub(1);
    loop {
        if !may_go_on()? {
            return Ok(None);
        }
        let read = query(after, STEP)?;
        let past_end = read.entries.last().is_some_and(|entry| entry.index >= window.end);
        inside.extend(read.entries.into_iter().filter(|entry| entry.index < window.end));
        while inside.len() > ROWS {
            inside.pop_front();
        }
        match read.next_after {
            Some(next) if !past_end && next < window.end => after = Some(next),
            _ => return Ok(Some(inside)),
        }
    }
}

/// What somebody looks for.
#[derive(Debug, Deserialize)]
pub(super) struct SearchQuery {
    q: String,
}

/// Finds out what was typed: an id, a contract or a claim.
pub(super) async fn search(
    State(app): State<Shared>,
    query: Result<QueryOf<SearchQuery>, Problem>,
) -> Result<Response, PageProblem> {
    let QueryOf(query) = query?;
    let text = query.q.trim().to_owned();
    // Lists show the beginning of an id with a mark that more follows.
    let id = text.trim_end_matches('…').to_ascii_lowercase();
    if let Ok(which) = id.parse::<WhichRecord>() {
        let id = app.read(move |app, _| id_of(app, which)).await?;
        return Ok(Redirect::to(&format!("/records/{id}")).into_response());
    }
    let (Ok(contract), Ok(claim)) = (text.parse::<ContractRef>(), text.parse::<ClaimRef>()) else {
        let detail = "look for the id of a record, 64 hexadecimal digits or its first 16, \
                      or for a contract or claim, <insurer>/<number>";
        return Err(Problem::query("q", detail).into());
    };
    let read = app.read(move |app, _| {
        let contracts = Filter { contract: Some(contract), ..Filter::default() };
        let claims = Filter { claim: Some(claim), ..Filter::default() };
        let none = app.store.query(&contracts, None, 1)?.entries.is_empty();
        Ok(none && !app.store.query(&claims, None, 1)?.entries.is_empty())
    });
    let name = if read.await? { "claim" } else { "contract" };
    Ok(Redirect::to(&format!("/records?{name}={}", encoded(&text))).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_list_of_nothing_asks_a_bounded_number_of_questions_and_gets_to_the_end() {
        const SIZE: u64 = 1_000_000;
        /// What one question looks at.
        const LOOKED_AT: u64 = 5_000;

        let asked = Cell::new(0);
        let query = |after: Option<u64>, _| {
            asked.set(asked.get() + 1);
            let next = after.map_or(0, |after| after + 1) + LOOKED_AT;
            Ok(Page { entries: Vec::new(), next_after: (next < SIZE).then(|| next - 1) })
        };
        let (mut end, mut pages) = (SIZE, 0);
        loop {
            asked.set(0);
            let (entries, older) = newest(query, &Patience::new(), end).unwrap();
            assert!(entries.is_empty());
            assert!(asked.get() <= STEPS_MAX, "{} questions for one page", asked.get());
            pages += 1;
            match older {
                Some(older) => {
                    assert!(older < end, "no headway before {end}");
                    end = older;
                }
                None => break,
            }
        }
        assert!(pages > 1);
    }

    #[test]
    fn a_number_with_any_character_comes_through_an_address_unharmed() {
        assert_eq!(encoded("rs-de/RS 77&x=\"<ä>"), "rs-de%2FRS%2077%26x%3D%22%3C%C3%A4%3E");
        let query = ListingQuery { contract: "a/1&2".to_owned(), ..ListingQuery::default() };
        assert_eq!(query.older(7), "/records?contract=a%2F1%262&before=7");
    }
}
