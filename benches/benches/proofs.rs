//! Proofs: made and verified in a tree of a million records, and whole receipts
//! from a store.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::Criterion;
use quittance_benches::{figures::Figures, fixture::Ledger};
use quittance_ledger::{
    digest::RecordId,
    transparency::{
        Receipt,
        tree::{self, Frontier, MemoryNodes},
    },
};

const TREE: u64 = 1_000_000;
const STORED: u64 = 40_000;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = Figures::new(folder.path()).expect("the machine's rates");
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    million(&mut criterion, &figures);
    receipts(&mut criterion, &figures);
    criterion.final_summary();
    figures.print();
}

/// Numbers below `bound` without order, always the same.
const fn scatter(number: u64, bound: u64) -> u64 {
    ((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % bound
}

fn million(criterion: &mut Criterion, figures: &Figures) {
    let id = |index: u64| RecordId::of(&index.to_be_bytes());
    let mut frontier = Frontier::new();
    let mut stored = Vec::new();
    for index in 0..TREE {
        frontier.push_storing(tree::leaf_hash(&id(index)), &mut stored).expect("a leaf");
    }
    let (root, nodes) = (frontier.root(), MemoryNodes::from(stored));

    let mut group = criterion.benchmark_group("tree of a million");
    group.bench_function("inclusion", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("inclusion proof in a million", 1, iterations, |number| {
                tree::inclusion(scatter(number, TREE), TREE, &nodes).expect("a proof")
            })
        });
    });
    let proofs: Vec<_> = (0..1000)
        .map(|number| {
            let index = scatter(number, TREE);
            let proof = tree::inclusion(index, TREE, &nodes).expect("a proof");
            (index, tree::leaf_hash(&id(index)), proof)
        })
        .collect();
    group.bench_function("verify inclusion", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("verify an inclusion proof", 1, iterations, |number| {
                let (index, leaf, proof) = proofs.get(number as usize % 1000).expect("a proof");
                tree::verify_inclusion(leaf, *index, TREE, proof, &root).expect("it holds");
            })
        });
    });
    group.bench_function("consistency", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("consistency proof in a million", 1, iterations, |number| {
                tree::consistency(1 + scatter(number, TREE - 1), TREE, &nodes).expect("a proof")
            })
        });
    });
    group.finish();
}

fn receipts(criterion: &mut Criterion, figures: &Figures) {
    let ledger = Ledger::new().expect("the ledger");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = ledger.open(folder.path()).expect("a store");
    let records = ledger.records(1000, 4000).expect("records");
    // The same records in every block: a receipt is about a place in the tree.
    while store.tip().frontier.size() < STORED {
        ledger.commit_all(&store, &records, usize::MAX).expect("a block");
    }
    let policy = ledger.membership.policy();

    let mut group = criterion.benchmark_group("receipt");
    group.bench_function("from a store", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("receipt from a store", 1, iterations, |number| {
                store.receipt(scatter(number, STORED)).expect("the store").expect("a receipt")
            })
        });
    });
    let texts: Vec<_> = (0..100)
        .map(|number| {
            let receipt = store.receipt(scatter(number, STORED)).expect("the store");
            receipt.expect("a receipt").to_text()
        })
        .collect();
    group.bench_function("verify offline", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("verify a receipt (2 signatures)", 1, iterations, |number| {
                let text = texts.get(number as usize % 100).expect("a receipt");
                let receipt = Receipt::parse(text.as_bytes()).expect("a receipt");
                assert!(receipt.verify(&policy).is_valid());
            })
        });
    });
    group.finish();
}
