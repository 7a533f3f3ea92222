//! Nodes of a consortium are killed at random while records come in: nothing
//! acknowledged is lost, there is never a fork, and everything becomes final.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use quittance_tests::{Cluster, quittance, seeded};
use rand::{Rng as _, seq::SliceRandom as _};

const ROUNDS: usize = 12;

/// Kills one, two or all nodes in turn; some come back at once, some only after
/// the others have gone on for a while.
#[test]
fn random_kills_lose_nothing_acknowledged_and_make_no_fork() {
    let mut random = seeded();
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let load = cluster.load(&cluster.all());
    for round in 0..ROUNDS {
        load.wait_for_acknowledged(random.random_range(1..60));
        let mut victims = cluster.all();
        victims.shuffle(&mut random);
        victims.truncate([1, 2, 4][round % 3]);
        println!("round {round}: {victims:?} are killed");
        cluster.kill(&victims);
        if victims.len() < 4 && random.random_bool(0.5) {
            load.wait_for_acknowledged(random.random_range(1..60));
        }
        cluster.launch(&victims);
        cluster.no_fork(&cluster.all());
    }
    let told = load.end();
    cluster.wait_until_ready(&cluster.all());
    let acknowledged = told.acknowledged_ids();
    cluster.all_final(&acknowledged, &cluster.all());
    let history = cluster.same_history(&cluster.all());
    println!(
        "{} blocks; {} acknowledged, {} unanswered",
        history.len(),
        acknowledged.len(),
        told.unknown.len()
    );

    // Nobody's word is taken for it.
    cluster.stop(&cluster.all());
    let policy = cluster.policy_file().display().to_string();
    for node in cluster.all() {
        let data = cluster.data(node).display().to_string();
        let audit = quittance(["audit", &data, "--policy", &policy, "--json"]).success().json();
        assert_eq!(audit["blocks"], history.len(), "{audit}");
    }
}
