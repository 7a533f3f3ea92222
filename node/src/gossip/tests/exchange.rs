//! What all are to get, all get, once.

use std::collections::HashMap;

use super::harness::{EPOCH, Node, attestation, batch, consortium, of_test, quick};

async fn everything_arrives_once(count: usize) {
    let nodes = consortium(count, &quick()).await;
    let each = 20_u64;
    for node in &nodes {
        for number in 0..each {
            let text = format!("record {number} of {}", node.peer);
            node.gossip.publish_records(&batch(EPOCH, number, &[text.as_bytes()])).unwrap();
            node.gossip.publish_attestation(&attestation(number)).unwrap();
        }
    }
    let expected = usize::try_from(each).unwrap() * (count - 1);
    for node in &nodes {
        node.inbox
            .until("everything", |inbox| {
                inbox.batches().len() >= expected
                    && of_test(node).values().sum::<usize>() >= expected
            })
            .await;
    }
    // What comes twice comes soon after, or by the heartbeat's gossip: each node asks
    // each other one more thing behind which nothing can be left.
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.peer != node.peer) {
            node.gossip.request_records(other.peer, EPOCH, 0).await.unwrap();
        }
    }
    for node in &nodes {
        let mut counts = HashMap::new();
        for (origin, batch) in node.inbox.batches() {
            assert_eq!(
                batch.records[0],
                format!("record {} of {origin}", batch.first),
                "the author is who signed"
            );
            *counts.entry((origin, batch.first)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), expected);
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        let counts = of_test(node);
        assert_eq!(counts.len(), expected);
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_get_each_others_messages_once() {
    everything_arrives_once(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_get_each_others_messages_once() {
    everything_arrives_once(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_to_nobody_is_no_error_and_what_was_missed_can_be_asked_for() {
    let alone =
        Node::start(libp2p::identity::Keypair::generate_ed25519(), Vec::new(), quick()).await;
    let missed = batch(EPOCH, 0, &[b"one", b"two", b"three"]);
    alone.inbox.own.lock().unwrap().extend(missed.records.clone());
    alone.inbox.notes.lock().unwrap().extend([b"note 1".to_vec(), b"note 2".to_vec()]);
    alone.gossip.publish_records(&missed).unwrap();

    let other =
        Node::start(libp2p::identity::Keypair::generate_ed25519(), vec![alone.as_peer()], quick())
            .await;
    alone.gossip.set_peers(vec![other.as_peer()]);
    other.until_connected(&[alone.peer]).await;
    let ask = |epoch, first| other.gossip.request_records(alone.peer, epoch, first);
    assert_eq!(ask(EPOCH, 0).await.unwrap(), missed);
    assert_eq!(ask(EPOCH, 2).await.unwrap(), batch(EPOCH, 2, &[b"three"]));
    assert_eq!(ask(EPOCH, 3).await.unwrap(), batch(EPOCH, 3, &[]));
    assert_eq!(ask(EPOCH + 1, 3).await.unwrap(), missed, "another epoch: from the start");
    assert_eq!(
        other.gossip.request_checkpoints(alone.peer, 1).await.unwrap(),
        vec![b"note 2".to_vec()]
    );
    assert!(other.inbox.batches().is_empty());
}
