//! What became of an appended record, as an answer.

use std::borrow::Cow;

use axum::http::StatusCode;
use quittance_ledger::{digest::RecordId, refusal::Refusal, store::Location};
use serde::Serialize;
use tokio::{sync::watch, time::Instant};
use utoipa::ToSchema;

use crate::{
    problem::Problem,
    stop::Stop,
    submit::{Accepted, Outcome},
};

/// Where a record stands once a request is done with it.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It was on the ledger before.
    Known(Location),
    /// It is on the ledger now.
    Final(Location),
    /// It is durable and waits for its block.
    Pending,
    /// It is not taken.
    Refused(Refusal),
}

/// Waits until `deadline` for a record to become final. When the node stops,
/// the wait is cut short: what is pending is durable and stays so.
pub(crate) async fn settle(accepted: Accepted, deadline: Instant, stop: &mut Stop) -> Settled {
    match accepted {
        Accepted::Recorded(location) => Settled::Known(location),
        Accepted::Refused(refusal) => Settled::Refused(refusal),
        Accepted::Pending(mut receiver) => {
            if *receiver.borrow() == Outcome::Pending && deadline > Instant::now() {
                tokio::select! {
                    // An error is a node that gives up its queue; the record stays pending.
                    _ = receiver.wait_for(|outcome| *outcome != Outcome::Pending) => {}
                    () = tokio::time::sleep_until(deadline) => {}
                    () = stop.stopped_for_long() => {}
                }
            }
            of_outcome(&receiver)
        }
    }
}

fn of_outcome(receiver: &watch::Receiver<Outcome>) -> Settled {
    match &*receiver.borrow() {
        Outcome::Pending => Settled::Pending,
        Outcome::Final(location) => Settled::Final(*location),
        Outcome::Refused(refusal) => Settled::Refused(refusal.clone()),
    }
}

/// What the ledger says to a record that it took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppendAnswer {
    /// The record's id: SHA-256 of its bytes.
    #[schema(value_type = String, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    id: RecordId,
    /// Its place on the ledger, from 0; none while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// The block it stands in; none while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u64>,
    /// `final` or `pending`.
    #[schema(value_type = String, example = "final")]
    status: &'static str,
    /// Where its receipt is; none while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    receipt: Option<ReceiptPath>,
}

impl AppendAnswer {
    /// The answer with its status, or the problem.
    pub(crate) fn of(id: RecordId, settled: Settled) -> Result<(StatusCode, Self), Problem> {
        let (status, location) = match settled {
            Settled::Known(location) => (StatusCode::OK, Some(location)),
            Settled::Final(location) => (StatusCode::CREATED, Some(location)),
            Settled::Pending => (StatusCode::ACCEPTED, None),
            Settled::Refused(refusal) => return Err(refusal.into()),
        };
        let answer = Self {
            id,
            index: location.map(|location| location.index),
            height: location.map(|location| location.height),
            status: if location.is_some() { "final" } else { "pending" },
            receipt: location.map(|_| ReceiptPath(id)),
        };
        Ok((status, answer))
    }
}

/// What became of one line of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineAnswer {
    /// The line's number, from 1.
    line: usize,
    /// The HTTP status that the record would have got by itself.
    status: u16,
    /// The record's id, where it was taken; with the code `erased`, that of the
    /// record as which it was taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    id: Option<RecordId>,
    /// Its place on the ledger, from 0, once it is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// The block it stands in, once it is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u64>,
    /// Where its receipt is, once it is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    receipt: Option<ReceiptPath>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    code: Option<&'static str>,
    /// The field it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    field: Option<Cow<'static, str>>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    detail: Option<Cow<'static, str>>,
}

impl LineAnswer {
    /// The answer to a line that was taken, or not.
    pub(crate) fn of(line: usize, id: RecordId, settled: Settled) -> Self {
        match AppendAnswer::of(id, settled) {
            Ok((status, answer)) => Self {
                line,
                status: status.as_u16(),
                id: Some(id),
                index: answer.index,
                height: answer.height,
                receipt: answer.receipt,
                code: None,
                field: None,
                detail: None,
            },
            Err(problem) => Self::refused(line, Some(id), problem),
        }
    }

    /// The answer to a line that was not taken.
    pub(crate) fn refused(line: usize, id: Option<RecordId>, problem: Problem) -> Self {
        let problem = problem.into_body();
        Self {
            line,
            status: problem.status,
            id: id.or(problem.record),
            index: None,
            height: None,
            receipt: None,
            code: Some(problem.code),
            field: problem.field.map(|field| shortened(field, FIELD_BYTES_MAX)),
            detail: Some(shortened(problem.detail, DETAIL_BYTES_MAX)),
        }
    }
}

/// Bytes of the field and of the sentence in the answer to one line of a batch.
/// A line can make both long with names of its own, and a batch has many lines.
const FIELD_BYTES_MAX: usize = 128;
const DETAIL_BYTES_MAX: usize = 512;

fn shortened(text: Cow<'static, str>, bytes_max: usize) -> Cow<'static, str> {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

/// `/v1/records/<id>/receipt`
#[derive(Debug, Clone, Copy)]
struct ReceiptPath(RecordId);

impl Serialize for ReceiptPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/v1/records/{}/receipt", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_line_do_not_swell_its_answer() {
        let long = || Cow::Owned("ä".repeat(1000));
        let problem = Problem::new(crate::problem::Kind::Overloaded, long()).about(long());
        let answer = LineAnswer::refused(1, None, problem);
        let (field, detail) = (answer.field.unwrap_or_default(), answer.detail.unwrap_or_default());
        assert!(field.len() <= FIELD_BYTES_MAX + 3 && field.ends_with("ä…"), "{field}");
        assert!(detail.len() <= DETAIL_BYTES_MAX + 3 && detail.ends_with("ä…"), "{detail}");
        assert_eq!(shortened("short".into(), 5), "short");
    }
}
