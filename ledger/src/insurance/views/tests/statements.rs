//! Statements say the same however they are made: by the view, by what the rules hold,
//! now or as of the end of their last day.

use super::{
    agreement::{CONTRACTS, attempts, play},
    corrections::{Ruled, record},
    *,
};
use crate::refusal::Code;

/// The refusal of a statement with those figures, if it is refused.
fn judged(world: &Ruled, query: &StatementQuery, figures: [i64; 3]) -> Option<Code> {
    let [paid_count, paid_sum, open_count] = figures;
    let data = json!({"to": query.payee, "period": {"from": query.from, "to": query.to},
        "frequency": "once", "paid_count": paid_count, "paid_sum": paid_sum,
        "open_count": open_count, "currency": "EUR"});
    let mut said = record("statement.issued", NOW, data);
    match &query.contract {
        Some(contract) => said["contract"] = contract.to_string().into(),
        None => drop(said.as_object_mut().unwrap().remove("contract")),
    }
    world.clone().try_take("ins", said).err().map(|refusal| refusal.code)
}

fn statements_agree(world: &Ruled) -> Result<(), TestCaseError> {
    let periods = [
        ("2025-01-01", "2026-12-31"),
        ("2025-12-25", "2025-12-29"),
        ("2025-12-30", "2026-01-02"),
        ("2026-01-01", "2026-01-03"),
        ("2025-12-31", "2025-12-31"),
    ];
    for payee in ["policyholder", "vet", "broker", "rival"] {
        for (place, (from, to)) in periods.into_iter().enumerate() {
            let contract = (place % 2 == 1).then(|| CONTRACTS[0].parse().unwrap());
            let query = StatementQuery {
                payee: payee.to_owned(),
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                insurer: Some("ins".to_owned()),
                contract,
            };
            let view = statement(&query, &world.lines, now(), |_| zone());
            let sum = view.totals.iter().find(|total| total.currency == "EUR");
            let sum = sum.map_or(0, |total| total.paid_sum);
            let figures = [view.paid_count, sum, i64::try_from(view.open_count).unwrap()];
            // More came back than went out: no statement can say so.
            if figures.iter().any(|figure| *figure < 0) {
                continue;
            }
            let found = judged(world, &query, figures);
            prop_assert_eq!(found, None, "{:?} {:?}\n{}", query, figures, told(world));
            for off in 0..3 {
                for by in [-1, 1] {
                    let mut wrong = figures;
                    wrong[off] += by;
                    if wrong[off] >= 0 {
                        let found = judged(world, &query, wrong);
                        prop_assert_eq!(found, Some(Code::StatementMismatch), "{:?}", wrong);
                    }
                }
            }
        }
    }
    Ok(())
}

fn query(payee: &str, day: &str) -> StatementQuery {
    let day = day.parse().unwrap();
    let insurer = Some("ins".to_owned());
    StatementQuery { payee: payee.to_owned(), from: day, to: day, insurer, contract: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn statements_that_say_what_is_shown_are_taken_and_no_others(attempts in attempts()) {
        statements_agree(&play(&attempts))?;
    }

    /// What is recorded later changes nothing of a day but what happened by then.
    #[test]
    fn a_statement_says_the_same_now_and_as_of_its_last_day(attempts in attempts()) {
        let mut attempts = attempts;
        // As of a day before a correction tells of, what it corrects still stands.
        attempts.iter_mut().for_each(|attempt| attempt.corrects = None);
        let world = play(&attempts);
        let days = ["2025-12-26", "2025-12-28", "2025-12-30", "2026-01-01", "2026-01-04"];
        for payee in ["policyholder", "vet", "broker"] {
            for day in days {
                let query = query(payee, day);
                let at: At = day.parse().unwrap();
                let at = at.resolve(time(NOW), &zone(), None).unwrap();
                let [then, now] = [at, now()].map(|as_of| {
                    let said = statement(&query, &world.lines, as_of, |_| zone());
                    let open: Vec<_> = said.open.iter().map(|it| (it.record, it.paid)).collect();
                    (said.paid_count, said.open_count, open)
                });
                prop_assert_eq!(then, now, "{} on {}\n{}", payee, day, told(&world));
            }
        }
    }
}
