//! The sample dossiers play through as they say, alone and interleaved.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const SAMPLES: [(&str, &str); 5] = [
    ("heca", include_str!("../../../../../tests/samples/heca.jsonl")),
    ("legal-de", include_str!("../../../../../tests/samples/legal-de.jsonl")),
    ("netvox", include_str!("../../../../../tests/samples/netvox.jsonl")),
    ("petexpert", include_str!("../../../../../tests/samples/petexpert.jsonl")),
    ("santevet", include_str!("../../../../../tests/samples/santevet.jsonl")),
];

struct Line {
    signer: String,
    expect: String,
    record: Value,
}

fn lines(sample: &str) -> Vec<Line> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    sample
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| Line {
            signer: text(&line["signer"]),
            expect: text(&line["expect"]),
            record: line["record"].clone(),
        })
        .collect()
}

/// What becomes of a line, in the words of the samples.
fn outcome(world: &mut World, line: &Line) -> String {
    let Value::Object(record) = line.record.clone() else { panic!("a record") };
    let seed = 1 + MEMBERS.iter().position(|(id, _)| *id == line.signer).unwrap();
    let signed = record::sign(
        record,
        world.membership().origin(),
        &line.signer.parse().unwrap(),
        &"1".parse().unwrap(),
        &key(u8::try_from(seed).unwrap()),
    );
    let taken = signed
        .and_then(|envelope| envelope.verify(world.membership()))
        .and_then(|record| world.append(&record));
    match taken {
        Ok(()) => "accepted".to_owned(),
        Err(refusal) => format!("refused:{}", refusal.code),
    }
}

#[test]
fn each_sample_plays_through_in_the_order_of_its_file() {
    let mut refused = 0;
    for (name, sample) in SAMPLES {
        let mut world = World::new();
        for (number, line) in (1..).zip(lines(sample)) {
            let outcome = outcome(&mut world, &line);
            assert_eq!(outcome, line.expect, "{name} line {number}: {}", line.record);
            refused += usize::from(outcome != "accepted");
        }
    }
    assert_eq!(refused, 18);
}

#[test]
fn no_rule_goes_by_what_may_be_hidden() {
    let mut hidden = 0;
    for (name, sample) in SAMPLES {
        let mut world = World::new();
        for (number, mut line) in (1..).zip(lines(sample)) {
            let record_type = line.record["type"].as_str().unwrap().parse().unwrap();
            let data = line.record["data"].as_object_mut().unwrap();
            for field in crate::vault::own_fields_that_may_be_private(record_type) {
                hidden += usize::from(data.remove(field).is_some());
            }
            let outcome = outcome(&mut world, &line);
            assert_eq!(outcome, line.expect, "{name} line {number}: {}", line.record);
        }
    }
    assert!(hidden > 10, "{hidden}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Dossiers that have nothing to do with each other may come in any order
    /// between each other.
    #[test]
    fn samples_interleaved_at_random_play_through(picks in prop::collection::vec(0..5_usize, 400)) {
        let mut world = World::new();
        let mut queues = SAMPLES.map(|(_, sample)| lines(sample).into_iter());
        let rest = (0..5).flat_map(|queue| std::iter::repeat_n(queue, 40));
        for queue in picks.into_iter().chain(rest) {
            if let Some(line) = queues[queue].next() {
                prop_assert_eq!(outcome(&mut world, &line), line.expect, "{}", line.record);
            }
        }
        prop_assert!(queues.iter().all(|queue| queue.len() == 0));
    }
}

#[test]
fn a_refusal_names_the_figures_and_the_record_it_clashes_with() {
    let mut world = World::new();
    let mut refusal = None;
    for line in lines(SAMPLES[3].1) {
        if let Err(refused) = world.try_take(&line.signer, line.record) {
            refusal = Some(refused);
            break;
        }
    }
    let refusal = refusal.unwrap();
    let clash = world.records.iter().rfind(|record| {
        record.payload().record_type == crate::insurance::RecordType::PreauthorisationAnswered
    });
    let detail = format!(
        "guaranteed 8 000 + held 126 000 + spent 24 000 > ceiling 150 000 EUR cents (record {}; \
         126 000 held by record {})",
        world.records[1].id(),
        clash.unwrap().id()
    );
    assert_eq!(refusal, Refusal::of_field(Code::CeilingExceeded, "data.guaranteed", detail));
}
