//! Sending lines in order until the ledger has said of each what becomes of it.

use std::time::{Duration, Instant};

use super::super::Failure;
use crate::client::{Client, ClientError, LineAnswer, Outgoing, pause_until};

/// How long one request lets the node wait for a block.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// Sends `records` in order; the answers stand in the same order.
///
/// A line may depend on those before it. So whenever one is not settled (it
/// still waits for its block, or the node was too busy for it), it is sent again
/// together with all that follow it. That is harmless: what was recorded
/// meanwhile is answered with its place. Lines that are not settled after `wait`
/// keep their last answer.
pub(in crate::cli) fn send(
    client: &Client,
    records: &[Outgoing],
    wait: Duration,
) -> Result<Vec<LineAnswer>, Failure> {
    let deadline = Instant::now().checked_add(wait);
    let mut answers: Vec<LineAnswer> = Vec::with_capacity(records.len());
    let mut take = records.len();
    let mut settled = 0;
    while let Some(rest) = records.get(settled..)
        && !rest.is_empty()
    {
        let part = rest.get(..take.min(rest.len())).unwrap_or(rest);
        let left = deadline
            .map_or(REQUEST_WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
        let got = match client.append_batch(part, left.min(REQUEST_WAIT)) {
            Ok(got) => got,
            Err(ClientError::Problem { problem, .. })
                if problem.status == 413 && part.len() > 1 =>
            {
                take = part.len() / 2;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        answers.truncate(settled);
        let firm = got.iter().take_while(|answer| is_settled(answer)).count();
        answers.extend(got);
        settled = settled.saturating_add(firm);
        if firm < part.len() && !deadline.is_none_or(|deadline| pause_until(deadline, PAUSE)) {
            return Ok(answers);
        }
    }
    Ok(answers)
}

/// Whether another try would change nothing.
pub(in crate::cli) const fn is_settled(answer: &LineAnswer) -> bool {
    !matches!(answer.status, 202 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::collections::HashMap;

    use super::*;
    use crate::client::{Patience, scripted};

    /// Sends a, b, c and d to a server that answers each line with a status.
    fn answers(
        mut status_of: impl FnMut(&str, usize) -> u16 + Send + 'static,
    ) -> Vec<(u16, Option<u64>)> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let url = scripted::serve(move |request| {
            if request.body.lines().count() > 3 {
                return ("413 Too Large", r#"{"code":"too_large","detail":"in parts"}"#.to_owned());
            }
            let mut body = String::new();
            for (number, line) in request.body.lines().enumerate() {
                let times = seen.entry(line.to_owned()).or_default();
                *times += 1;
                let status = status_of(line, *times);
                body.push_str(&format!(
                    "{{\"line\":{number},\"status\":{status},\"index\":{times}}}\n"
                ));
            }
            ("200 OK", body)
        });
        let client = Client::new(&url, None, Patience::NONE).unwrap();
        let records = ["a", "b", "c", "d"].map(|text| Outgoing::Signed(text.to_owned()));
        send(&client, &records, Duration::from_secs(2))
            .unwrap()
            .into_iter()
            .map(|answer| (answer.status, answer.index))
            .collect()
    }

    #[test]
    fn what_is_too_much_at_once_is_sent_in_parts() {
        let expected = [(201, Some(1)); 4];
        assert_eq!(answers(|_, _| 201), expected);
    }

    #[test]
    fn what_follows_an_unsettled_line_is_sent_again_with_it() {
        // The first part is a and b; a waits for a block the first time, so that
        // b is refused for want of it.
        let found = answers(|line, times| match (line, times) {
            ("a", 1) => 202,
            ("b", 1) => 422,
            _ => 201,
        });
        assert_eq!(found, [(201, Some(2)), (201, Some(2)), (201, Some(1)), (201, Some(1))]);
    }

    #[test]
    fn refusals_are_final_and_waiting_ends() {
        let found = answers(|line, _| if line == "b" { 422 } else { 201 });
        assert_eq!(
            found.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
            [201, 422, 201, 201]
        );
        let found = answers(|line, _| if line == "c" { 202 } else { 201 });
        assert_eq!(
            found.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
            [201, 201, 202, 201]
        );
    }
}
