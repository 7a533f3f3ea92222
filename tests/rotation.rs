//! Who validates changes while records are taken: nodes come, go and get other
//! keys, and no other node is restarted for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, thread, time::Duration};

use quittance_tests::{Cluster, Load, Signed, load::Pace, quittance, wait_for};
use serde_json::{Value, json};

/// Proposes a change as one member and approves it as others, each through its
/// own node, and waits until it is in force at all of these nodes.
fn change(cluster: &Cluster, by: usize, approving: &[usize], what: &[&str]) -> String {
    let proposed = cluster.member_command(by, by, &[&["propose"], what].concat()).success();
    let proposal = proposed.text().trim().to_owned();
    for member in approving {
        // It may not have arrived at that node yet.
        wait_for("the proposal", || {
            let list = cluster.node(*member).json("/v1/members").to_string();
            list.contains(&proposal).then_some(())
        });
        let _ = cluster.member_command(*member, *member, &["approve", &proposal]).success();
    }
    for node in approving {
        wait_for("the change to be in force", || {
            let list = cluster.node(*node).json("/v1/members");
            list["proposals"].as_array().unwrap().is_empty().then_some(())
        });
    }
    proposal
}

fn file(cluster: &Cluster, node: usize) -> String {
    cluster.data(node).join("member.toml").display().to_string()
}

/// Whether a node votes, and reaches enough of the others.
fn validates(cluster: &Cluster, node: usize) -> bool {
    let status = cluster.node(node).json("/v1/status");
    status["node"]["validator"] == true && cluster.node(node).is_ready()
}

/// Waits until a block that this node proposed is final, and so all of its keys
/// are in use.
fn proposes(cluster: &Cluster, node: usize, seen_by: usize) {
    let own = fs::read_to_string(file(cluster, node)).unwrap();
    wait_for(&format!("a block of node {node}"), || {
        let status = cluster.node(seen_by).json("/v1/status");
        let height = status["head"]["height"].as_u64().unwrap();
        let page = cluster
            .node(seen_by)
            .json(&format!("/v1/blocks?limit=50&after={}", height.saturating_sub(50)));
        let blocks = page["blocks"].as_array().unwrap();
        let is_own = |block: &Value| {
            let proposer = hex::decode(block["header"]["proposer"].as_str().unwrap()).unwrap();
            own.contains(&base64(&proposer))
        };
        blocks.iter().any(is_own).then_some(())
    });
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// A load that leaves six nodes on one machine time for what they do besides.
fn even(cluster: &Cluster, nodes: &[usize]) -> Load {
    cluster.load_with(nodes, Pace { pause: Duration::from_millis(200), ..Pace::default() })
}

#[test]
fn validators_come_go_and_change_their_keys_under_load() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let load = even(&cluster, &[0, 1, 2]);
    load.wait_for_acknowledged(30);
    let early = load.told().acknowledged[0].record.clone();

    // One more. Its node runs before anybody knows it, and is let in afterwards.
    let fifth = cluster.invite();
    cluster.launch(&[fifth]);
    assert!(!cluster.node(fifth).is_ready());
    change(&cluster, 0, &[0, 1, 2], &["add", &file(&cluster, fifth)]);
    wait_for("the fifth to validate", || validates(&cluster, fifth).then_some(()));
    proposes(&cluster, fifth, 0);
    load.wait_for_acknowledged(30);

    // One less: it stays a member, whose node observes.
    change(&cluster, 0, &[0, 1, 2, fifth], &["validator-out", cluster.member(3)]);
    wait_for("the fourth to observe", || {
        let status = cluster.node(3).json("/v1/status");
        (status["node"]["validator"] == false).then_some(())
    });
    load.wait_for_acknowledged(30);

    // Other keys: a node on a new folder takes the place of the old one.
    let successor = cluster.successor(2);
    cluster.launch(&[successor]);
    change(&cluster, 2, &[0, 1, fifth], &["validator-in", &file(&cluster, successor)]);
    wait_for("the successor to validate", || validates(&cluster, successor).then_some(()));
    proposes(&cluster, successor, 0);
    cluster.stop(&[2]);
    load.wait_for_acknowledged(30);

    // One leaves for good. Nothing is served to its node any more.
    let load_of_three = even(&cluster, &[0, 1, fifth]);
    change(&cluster, 0, &[0, 1, fifth], &["remove", cluster.member(3)]);
    let height =
        |node: usize| cluster.node(node).json("/v1/status")["head"]["height"].as_u64().unwrap();
    let running = [0, 1, fifth, successor];
    for node in running {
        wait_for("the removed one to be cut off", || {
            let log = cluster.node(node).log();
            let parted =
                |line: &str| line.contains("is let in no more") && line.contains(cluster.member(3));
            log.lines().any(parted).then_some(())
        });
    }
    let (last, before) = (height(3), height(0));
    wait_for("more blocks", || (height(0) > before + 10).then_some(()));
    // But for what was on its way to it.
    assert!(height(3) <= last + 2, "{last} became {}", height(3));

    let mut told = load.end().acknowledged_ids();
    told.extend(load_of_three.end().acknowledged_ids());
    cluster.all_final(&told, &running);
    cluster.same_history(&running);
    // It says so, and takes nothing that would reach nobody.
    wait_for("the removed one to hear of it", || {
        (cluster.node(3).get("/readyz").text().contains("is no member")).then_some(())
    });
    let late = cluster.sign(
        "petexpert",
        &json!({
            "type": "reward.recorded", "occurred_at": "2026-01-02T09:00:00Z",
            "data": { "referral": "late", "to": "C-1", "amount": 500, "currency": "EUR" },
        }),
    );
    let refused = cluster.node(3).append(&late);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "not_listed"));
    assert_eq!(cluster.node(3).append(&early).status, 200);

    for node in running {
        let _ = quittance(["audit", &cluster.node(node).url("")]).success();
    }
    old_receipts_hold(&cluster, &early);
}

/// A receipt of the beginning, verified under the policy of its time, which is
/// no longer today's.
fn old_receipts_hold(cluster: &Cluster, early: &Signed) {
    let node = cluster.node(1);
    let receipt = cluster.folder().join("early.tlog-proof");
    fs::write(&receipt, node.get(&format!("/v1/records/{}/receipt", early.id)).body).unwrap();
    let record = node.json(&format!("/v1/records/{}", early.id));
    let height = record["height"].as_u64().unwrap();
    let policy = |query: &str, name: &str| {
        let path = cluster.folder().join(name);
        fs::write(&path, node.get(&format!("/v1/policy{query}")).body).unwrap();
        path.display().to_string()
    };
    let then = policy(&format!("?at={height}"), "policy-then");
    let now = policy("", "policy-now");
    let receipt = receipt.display().to_string();
    assert_ne!(fs::read(&then).unwrap(), fs::read(&now).unwrap());
    let _ = quittance(["verify", &receipt, "--policy", &then]).success();
}

#[test]
fn of_two_conflicting_changes_at_once_one_wins_everywhere() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let load = cluster.load(&cluster.all());
    let key = |name: &str| {
        let path = cluster.folder().join(name).display().to_string();
        quittance(["key", "new", "--out", &path]).success().text().trim().to_owned()
    };
    // Each takes a place in which there is room for one.
    let (first, second) = (key("first.pem"), key("second.pem"));
    let propose = |by: usize, public: &str| {
        let what = ["propose", "key-added", cluster.member(3), "2", public];
        cluster.member_command(by, by, &what).success().text().trim().to_owned()
    };
    let proposals = [propose(0, &first), propose(1, &second)];
    for node in cluster.all() {
        wait_for("both proposals", || {
            let list = cluster.node(node).json("/v1/members").to_string();
            proposals.iter().all(|proposal| list.contains(proposal)).then_some(())
        });
    }
    // All approve both, two of them in the other order, all at once.
    thread::scope(|scope| {
        for node in cluster.all() {
            let (cluster, proposals) = (&cluster, &proposals);
            scope.spawn(move || {
                for which in [node % 2, (node + 1) % 2] {
                    let ended = cluster.member_command(node, node, &["approve", &proposals[which]]);
                    let is_over = ["proposal_settled", "proposal_void"]
                        .iter()
                        .any(|code| ended.stderr.contains(code));
                    assert!(ended.code == Some(0) || is_over, "{}", ended.stderr);
                }
            });
        }
    });
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.same_history(&cluster.all());
    let keys_of_fourth = |node: usize| {
        let list = cluster.node(node).json("/v1/members");
        let members = list["members"].as_array().unwrap();
        let fourth = members.iter().find(|one| one["id"] == cluster.member(3)).unwrap();
        assert_eq!(list["proposals"], json!([]), "{list}");
        fourth["keys"].clone()
    };
    let keys = keys_of_fourth(0);
    let all = keys.to_string();
    assert!(all.contains(&first) != all.contains(&second), "{all}");
    for node in cluster.all() {
        assert_eq!(keys_of_fourth(node), keys);
        let _ = quittance(["audit", &cluster.node(node).url("")]).success();
    }
}
