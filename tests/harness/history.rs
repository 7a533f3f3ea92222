//! What several nodes say of one ledger, compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Api, Cluster, PATIENCE};

/// A block as a node shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The hash of its header, in hexadecimal.
    pub hash: String,
    /// The consensus key of who proposed it, in hexadecimal.
    pub proposer: String,
    /// The ids of its records, in order.
    pub ids: Vec<String>,
}

/// All final blocks of a node, from the first.
///
/// # Panics
/// A page does not come.
#[must_use]
pub fn blocks(api: &Api) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut after = String::from("0");
    loop {
        let page = api.json(&format!("/v1/blocks?limit=1000&after={after}"));
        for block in page["blocks"].as_array().unwrap() {
            blocks.push(Block {
                hash: text(&block["hash"]),
                proposer: text(&block["header"]["proposer"]),
                ids: block["ids"].as_array().unwrap().iter().map(text).collect(),
            });
            assert_eq!(block["height"], blocks.len(), "{page}");
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return blocks,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Ids in the order of the ledger.
#[must_use]
pub fn ids(blocks: &[Block]) -> Vec<String> {
    blocks.iter().flat_map(|block| block.ids.iter().cloned()).collect()
}

impl Cluster {
    /// Checks that no two of these nodes show different blocks at one height,
    /// however far each is.
    ///
    /// # Panics
    /// There is a fork.
    pub fn no_fork(&self, nodes: &[usize]) {
        let histories: Vec<_> = nodes.iter().map(|node| blocks(self.node(*node))).collect();
        for (node, history) in nodes.iter().zip(&histories) {
            for (height, (one, other)) in (1..).zip(histories[0].iter().zip(history)) {
                assert_eq!(one, other, "nodes {} and {node} differ at {height}", nodes[0]);
            }
        }
    }

    /// Waits until these nodes have the same head and nothing waits anywhere,
    /// then checks that they show the same history, in which no record stands
    /// twice. Gives it.
    ///
    /// # Panics
    /// They never do, or do not.
    pub fn same_history(&self, nodes: &[usize]) -> Vec<Block> {
        let mut seen = Vec::new();
        wait_for_or("nodes to have the same head and nothing that waits", &mut seen, |seen| {
            let statuses = nodes.iter().map(|node| self.node(*node).json("/v1/status"));
            *seen =
                statuses.map(|s| (s["head"].clone(), s["pending"]["records"].clone())).collect();
            seen.iter().all(|(head, pending)| {
                *pending == 0 && ["hash", "tree_size"].iter().all(|f| head[f] == seen[0].0[f])
            })
        });
        let histories: Vec<_> = nodes.iter().map(|node| blocks(self.node(*node))).collect();
        for (node, history) in nodes.iter().zip(&histories) {
            assert_eq!(history, &histories[0], "nodes {} and {node} differ", nodes[0]);
        }
        let history = histories.into_iter().next().unwrap();
        let all = ids(&history);
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "a record stands there twice");
        history
    }

    /// Waits until each of these records is final on each of these nodes.
    ///
    /// # Panics
    /// One never is.
    pub fn all_final(&self, records: &BTreeSet<String>, nodes: &[usize]) {
        for node in nodes {
            let api = self.node(*node);
            let mut missing = records.clone();
            let mut height = 0;
            let what = format!("records to become final on node {node}");
            wait_for_or(&what, &mut missing, |missing| {
                let page = api.json(&format!("/v1/blocks?limit=1000&after={height}"));
                for block in page["blocks"].as_array().unwrap() {
                    height = block["height"].as_u64().unwrap();
                    for id in block["ids"].as_array().unwrap() {
                        missing.remove(id.as_str().unwrap());
                    }
                }
                missing.is_empty()
            });
        }
    }

    /// Where each of these records stands, in the order given.
    ///
    /// # Panics
    /// One is not in this history.
    pub fn places<'a>(
        history: &[Block],
        records: impl IntoIterator<Item = &'a String>,
    ) -> Vec<usize> {
        let all = ids(history);
        let places: BTreeMap<&String, usize> = all.iter().zip(0..).collect();
        records.into_iter().map(|id| places[id]).collect()
    }
}

/// As [`crate::wait_for`], and says what it saw last where the condition never holds.
fn wait_for_or<S: std::fmt::Debug>(
    what: &str,
    seen: &mut S,
    mut holds: impl FnMut(&mut S) -> bool,
) {
    let start = Instant::now();
    while !holds(seen) {
        if start.elapsed() > PATIENCE {
            let seen: String = format!("{seen:?}").chars().take(2000).collect();
            panic!("waited {PATIENCE:?} for {what}; at last: {seen}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
