//! Members that keep to no rule: what they send goes no further and is bounded.

use std::{
    num::NonZeroU32,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use libp2p::{
    gossipsub::{Event, PublishError as PubsubError},
    identity::Keypair,
    request_response,
    swarm::SwarmEvent,
};

use super::{
    harness::{EPOCH, Node, attestation, batch, consortium, introduce, of_test, peer, quick},
    raw::{Raw, RawBehaviourEvent},
};
use crate::gossip::{
    GossipLimits, Peer,
    limits::Rate,
    wire::{self, Answer, Request},
};

/// A member that keeps to no rule, connected to the first of two members; the
/// second does not know where it is.
async fn beside(limits: &GossipLimits) -> (Raw, Vec<Node>) {
    let key = Keypair::generate_ed25519();
    let member = Peer { peer: peer(&key), addresses: Vec::new() };
    let nodes = consortium(2, limits).await;
    for node in &nodes {
        let mut peers: Vec<Peer> = nodes.iter().map(Node::as_peer).collect();
        peers.push(member.clone());
        node.gossip.set_peers(peers);
    }
    let mut raw = Raw::new(key);
    let records = raw.topics.records.hash();
    // Membership reaches the swarm a moment later: until then, it is a stranger.
    loop {
        let target = nodes[0].address().with_p2p(nodes[0].peer).unwrap();
        raw.swarm.dial(target).unwrap();
        let connected = raw
            .until("an answer", |event| match event {
                SwarmEvent::Behaviour(RawBehaviourEvent::Pubsub(Event::Subscribed {
                    topic,
                    ..
                })) if *topic == records => Some(true),
                SwarmEvent::ConnectionClosed { .. }
                | SwarmEvent::OutgoingConnectionError { .. } => Some(false),
                _ => None,
            })
            .await;
        if connected {
            return (raw, nodes);
        }
    }
}

fn content(number: u64, text: &str) -> Vec<u8> {
    wire::encode_batch(&batch(EPOCH, number, &[text.as_bytes()])).unwrap()
}

async fn cut_off(raw: &mut Raw) {
    raw.until("shut out", |event| {
        matches!(event, SwarmEvent::ConnectionClosed { num_established: 0, .. }).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_batch_is_not_forwarded_and_who_sends_them_is_shut_out() {
    let (mut raw, nodes) = beside(&quick()).await;
    raw.publish_records(content(0, "valid")).unwrap();
    let second = nodes[1].inbox.clone();
    raw.during(second.until("the valid one", |inbox| inbox.batches().len() == 1)).await;
    assert_eq!(nodes[1].inbox.batches()[0].0, raw.peer(), "forwarded, with its author");
    for number in 0..4 {
        let _ = raw.publish_records(content(number, &format!("invalid {number}")));
    }
    cut_off(&mut raw).await;
    // It reached the first, and the first tells the second nothing but its own.
    assert!(nodes[0].inbox.batches().len() > 1);
    nodes[0].gossip.publish_records(&batch(EPOCH, 9, &[b"after"])).unwrap();
    nodes[1].inbox.until("what comes after", |inbox| inbox.batches().len() == 2).await;
    assert_eq!(nodes[1].inbox.batches()[1].1, batch(EPOCH, 9, &[b"after"]));
    // While it is shut out, it cannot connect.
    let target = nodes[0].address().with_p2p(nodes[0].peer).unwrap();
    raw.swarm.dial(target).unwrap();
    raw.until("refused", |event| match event {
        SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
            Some(())
        }
        SwarmEvent::Behaviour(RawBehaviourEvent::Pubsub(event)) => panic!("served: {event:?}"),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_shut_out_may_come_back_and_is_heard_again() {
    let limits = GossipLimits { shut_out_time: Duration::from_secs(2), ..quick() };
    let (mut raw, nodes) = beside(&limits).await;
    for number in 0..4 {
        raw.publish_records(vec![number; 100]).unwrap();
    }
    cut_off(&mut raw).await;
    assert!(nodes[0].inbox.batches().is_empty(), "they could not even be read");
    let inbox = nodes[0].inbox.clone();
    let mut number = 0;
    let heard = async {
        while inbox.batches().is_empty() {
            if !raw.swarm.is_connected(&nodes[0].peer) {
                let target = nodes[0].address().with_p2p(nodes[0].peer).unwrap();
                raw.swarm.dial(target).unwrap();
            }
            number += 1;
            let _ = raw.publish_records(content(number, "better now"));
            raw.during(tokio::time::sleep(Duration::from_millis(100))).await;
        }
    };
    assert!(tokio::time::timeout(super::harness::PATIENCE, heard).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_message_is_neither_taken_nor_does_it_disturb_others() {
    let (mut raw, nodes) = beside(&quick()).await;
    for number in 0..20_u8 {
        let _ = raw.publish_records(vec![number; 4 * 1024 * 1024]);
        latency(&mut raw, &nodes, u64::from(number)).await;
    }
    assert!(nodes.iter().all(|node| node.inbox.batches().is_empty()));
}

/// How long an attestation takes from the second node to the first, while the
/// other member goes on.
async fn latency(raw: &mut Raw, nodes: &[Node], number: u64) -> Duration {
    let start = Instant::now();
    nodes[1].gossip.publish_attestation(&attestation(number)).unwrap();
    let arrived = nodes[0]
        .inbox
        .until("an attestation", |_| of_test(&nodes[0]).contains_key(&(nodes[1].peer, number)));
    raw.during(arrived).await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_member_gets_no_more_than_its_rate_and_is_shut_out() {
    let number = |value| NonZeroU32::new(value).unwrap();
    let limits = GossipLimits {
        origin_rate: Rate {
            messages_per_second: number(20),
            messages_burst: number(80),
            ..GossipLimits::default().origin_rate
        },
        ..quick()
    };
    let (mut raw, nodes) = beside(&limits).await;
    let start = Instant::now();
    let mut sent = 0_u64;
    let mut slowest = Duration::ZERO;
    while raw.swarm.is_connected(&nodes[0].peer) && start.elapsed() < Duration::from_secs(30) {
        for _ in 0..200 {
            sent += 1;
            match raw.publish_records(content(sent, "flood")) {
                Ok(()) | Err(PubsubError::AllQueuesFull(_)) => {}
                Err(PubsubError::NoPeersSubscribedToTopic) => break,
                Err(error) => panic!("{error}"),
            }
        }
        slowest = slowest.max(latency(&mut raw, &nodes, sent).await);
    }
    assert!(!raw.swarm.is_connected(&nodes[0].peer), "not shut out");
    let most = 80 + 20 * usize::try_from(start.elapsed().as_secs() + 1).unwrap();
    for node in &nodes {
        let got = node.inbox.batches().len();
        assert!(got <= most, "{got} of {sent}, at most {most}");
    }
    assert!(nodes[0].inbox.batches().len() >= 50, "what is within the rate is taken");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validations_that_never_end_are_bounded_and_given_up() {
    let limits = GossipLimits {
        validations_max: 10,
        validation_timeout: Duration::from_millis(500),
        ..quick()
    };
    let nodes = consortium(2, &limits).await;
    nodes[0].inbox.until("quiet", |inbox| inbox.validating.load(Ordering::SeqCst) == 0).await;
    nodes[0].inbox.stuck.store(true, Ordering::SeqCst);
    for number in 0..100 {
        let one = batch(EPOCH, number, &[format!("record {number}").as_bytes()]);
        nodes[1].gossip.publish_records(&one).unwrap();
    }
    nodes[0].inbox.until("ten", |inbox| inbox.validating.load(Ordering::SeqCst) == 10).await;
    // All hundred have come when something that was sent after them is answered.
    nodes[1].gossip.request_records(nodes[0].peer, EPOCH, 0).await.unwrap();
    assert!(nodes[0].inbox.validating.load(Ordering::SeqCst) <= 10);
    nodes[0].inbox.until("given up", |inbox| inbox.validating.load(Ordering::SeqCst) == 0).await;
    nodes[0].inbox.stuck.store(false, Ordering::SeqCst);
    let before = nodes[0].inbox.batches().len();
    assert!(before < 100, "{before}");
    nodes[1].gossip.publish_records(&batch(EPOCH, 100, &[b"and now"])).unwrap();
    nodes[0].inbox.until("the next", |inbox| inbox.batches().len() > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_whose_validations_do_not_end_leaves_room_for_others() {
    let limits = GossipLimits { validations_per_origin_max: 5, ..quick() };
    let nodes = consortium(3, &limits).await;
    let inbox = &nodes[0].inbox;
    inbox.until("quiet", |inbox| inbox.validating.load(Ordering::SeqCst) == 0).await;
    inbox.stuck.store(true, Ordering::SeqCst);
    for number in 0..50 {
        let one = batch(EPOCH, number, &[format!("record {number}").as_bytes()]);
        nodes[1].gossip.publish_records(&one).unwrap();
    }
    inbox.until("five", |inbox| inbox.validating.load(Ordering::SeqCst) == 5).await;
    nodes[1].gossip.request_records(nodes[0].peer, EPOCH, 0).await.unwrap();
    assert_eq!(inbox.validating.load(Ordering::SeqCst), 5);
    nodes[2].gossip.publish_records(&batch(EPOCH, 0, &[b"another's"])).unwrap();
    inbox.until("six", |inbox| inbox.validating.load(Ordering::SeqCst) == 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validation_that_panics_does_not_end_the_gossip() {
    let nodes = consortium(2, &quick()).await;
    nodes[1].gossip.publish_records(&batch(EPOCH, 0, &[b"panic"])).unwrap();
    nodes[1].gossip.publish_records(&batch(EPOCH, 1, &[b"no panic"])).unwrap();
    nodes[0].inbox.until("the next", |inbox| inbox.batches().len() == 1).await;
    assert!(!nodes[0].running.is_finished());
    introduce(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_asks_without_end_is_answered_as_busy_and_shut_out() {
    let limits = GossipLimits { requests_per_second: NonZeroU32::new(5).unwrap(), ..quick() };
    let (mut raw, nodes) = beside(&limits).await;
    let mut busy = 0;
    while raw.swarm.is_connected(&nodes[0].peer) {
        for _ in 0..20 {
            raw.ask(nodes[0].peer, Request::Records { epoch: EPOCH, first: 0 });
        }
        raw.until("an answer", |event| match event {
            SwarmEvent::Behaviour(RawBehaviourEvent::Requests(
                request_response::Event::Message {
                    message: request_response::Message::Response { response, .. },
                    ..
                },
            )) => {
                busy += usize::from(*response == Answer::Busy);
                Some(())
            }
            SwarmEvent::ConnectionClosed { .. } => Some(()),
            _ => None,
        })
        .await;
    }
    assert!(busy > 0);
    assert!(nodes[0].inbox.asked.load(Ordering::SeqCst) < 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_sends_more_frames_than_anyone_needs_is_shut_out() {
    let limits = GossipLimits { frames_per_second: 100, ..quick() };
    let (mut raw, nodes) = beside(&limits).await;
    let topic = raw.topics.attestations.clone();
    let mut rounds = 0_u32;
    while raw.swarm.is_connected(&nodes[0].peer) {
        // Frames that tell gossipsub something, and the application nothing.
        for _ in 0..50 {
            raw.swarm.behaviour_mut().pubsub.unsubscribe(&topic);
            raw.swarm.behaviour_mut().pubsub.subscribe(&topic).unwrap();
        }
        rounds += 1;
        latency(&mut raw, &nodes, u64::from(rounds)).await;
        assert!(rounds < 10_000, "not shut out");
    }
}
