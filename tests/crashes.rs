//! A node that is killed in the middle of its work loses nothing that it has
//! acknowledged, and opens again by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use quittance_tests::{Consortium, Node, Signed, load_records, quittance, wait_for};

const KILLS: usize = 20;
const BATCH: usize = 20;
const LOADERS: usize = 3;

/// What a load run was told.
#[derive(Default)]
struct Told {
    /// Ids that were acknowledged, final or not.
    acknowledged: Mutex<BTreeSet<String>>,
    /// How many batches were answered.
    answered: AtomicUsize,
    /// The next batch to send.
    next: AtomicUsize,
}

/// Sends batches until the node is gone or there are none left. A batch that
/// was not answered is sent again by the next run: it may be there or not.
fn load(node: &Node, batches: &[Vec<Signed>], told: &Told, unanswered: &Mutex<Vec<usize>>) {
    let gone = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..LOADERS {
            let api = quittance_tests::Api::new(node.address());
            let gone = &gone;
            scope.spawn(move || {
                while !gone.load(Ordering::Relaxed) {
                    let again = unanswered.lock().unwrap().pop();
                    let number = again.unwrap_or_else(|| told.next.fetch_add(1, Ordering::Relaxed));
                    let Some(batch) = batches.get(number) else { break };
                    let Ok(answer) = api.try_append_all(batch) else {
                        gone.store(true, Ordering::Relaxed);
                        unanswered.lock().unwrap().push(number);
                        break;
                    };
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let mut acknowledged = told.acknowledged.lock().unwrap();
                    for (line, record) in answer.lines().iter().zip(batch) {
                        assert!(matches!(line["status"].as_u64(), Some(200..=202)), "{line}");
                        assert_eq!(line["id"], record.id);
                        acknowledged.insert(record.id.clone());
                    }
                    told.answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
}

#[test]
fn twenty_kills_in_the_middle_of_a_load_lose_nothing_acknowledged() {
    let consortium = Consortium::new();
    let records = load_records(&consortium, KILLS * 5 * BATCH);
    let batches: Vec<Vec<Signed>> = records.chunks(BATCH).map(<[Signed]>::to_vec).collect();
    let (told, unanswered) = (Told::default(), Mutex::new(Vec::new()));
    let mut node = consortium.start();
    for kill in 0..KILLS {
        let before = told.answered.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let load = scope.spawn(|| load(&node, &batches, &told, &unanswered));
            // The moment differs each time: after one to three answers, while
            // others are under way.
            wait_for("answers", || {
                let answered = told.answered.load(Ordering::Relaxed) - before;
                (answered > kill % 3 || load.is_finished()).then_some(())
            });
            node.kill_now();
            load.join().unwrap();
        });
        node.kill();
        node.restart();
        let kept = node.tree_size() as usize
            + node.json("/v1/status")["pending"]["records"].as_u64().unwrap() as usize;
        let acknowledged = told.acknowledged.lock().unwrap().len();
        assert!(kept >= acknowledged, "kill {kill}: {kept} of {acknowledged} are left");
    }
    load(&node, &batches, &told, &unanswered);
    assert!(unanswered.lock().unwrap().is_empty());

    // Everything that was sent is there, once; so is everything acknowledged.
    let acknowledged = told.acknowledged.lock().unwrap().clone();
    let sent: BTreeSet<String> = records.iter().map(|record| record.id.clone()).collect();
    assert_eq!(acknowledged, sent);
    wait_for("the last records to become final", || {
        (node.tree_size() as usize == sent.len()).then_some(())
    });
    let all = node.all_records("");
    let found: BTreeSet<String> =
        all.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((all.len(), &found), (sent.len(), &sent));
    for record in records.iter().step_by(97) {
        let stored =
            node.get_with(&format!("/v1/records/{}", record.id), &[("accept", "application/jose")]);
        assert_eq!(stored.body, record.jws.as_bytes());
        let again = node.append(record);
        assert_eq!(again.status, 200, "{}", again.text());
    }
    assert_eq!(node.tree_size() as usize, sent.len());

    // Nobody's word is taken for it.
    let policy = consortium.policy_file().display().to_string();
    let url = node.url("");
    let audit = quittance(["audit", &url, "--policy", &policy, "--json"]).success().json();
    assert_eq!(audit["records"], sent.len());
    node.stop();
    let data = consortium.data().display().to_string();
    let audit = quittance(["audit", &data, "--policy", &policy, "--json"]).success().json();
    assert_eq!(audit["records"], sent.len());
}

#[test]
fn receipts_from_before_a_kill_verify_after_it() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    let records = load_records(&consortium, 60);
    let mut receipts = Vec::new();
    for part in records.chunks(10) {
        node.append_all(part);
        receipts.push((part[0].id.clone(), node.receipt(&part[0].id)));
        node.kill();
        node.restart();
    }
    let policy = consortium.membership().policy();
    for (id, receipt) in receipts {
        assert!(quittance_ledger::transparency::verify_bytes(&receipt, &policy).is_valid());
        // The old checkpoint is still one of this ledger's.
        let receipt = quittance_ledger::transparency::Receipt::parse(&receipt).unwrap();
        let size = receipt.checkpoint.checkpoint().size;
        let kept = node.json(&format!("/v1/checkpoints?after={}&limit=1", size - 1));
        assert_eq!(kept["checkpoints"][0]["size"], size, "{id}");
    }
}
