//! Who is no member gets nothing and disturbs nobody.

use std::time::{Duration, Instant};

use libp2p::{
    identity::Keypair,
    swarm::{DialError, SwarmEvent},
};
use tokio::net::TcpStream;

use super::{
    harness::{EPOCH, Node, batch, consortium, of_test, peer, quick},
    raw::{Raw, RawBehaviourEvent},
};
use crate::gossip::{Peer, RequestError, wire::Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_dials_a_member_is_cut_off_and_served_nothing() {
    let nodes = consortium(2, &quick()).await;
    nodes[0].inbox.own.lock().unwrap().push(b"secret"[..].into());
    let mut stranger = Raw::new(Keypair::generate_ed25519());
    let stranger_peer = stranger.peer();
    // More often than one address may have connections in their handshake: none may be left.
    for _ in 0..40 {
        let target = nodes[0].address().with_p2p(nodes[0].peer).unwrap();
        stranger.swarm.dial(target).unwrap();
        stranger.ask(nodes[0].peer, Request::Records { epoch: EPOCH, first: 0 });
        let mut served = Vec::new();
        stranger
            .until("cut off", |event| match event {
                SwarmEvent::ConnectionClosed { .. }
                | SwarmEvent::OutgoingConnectionError { .. } => Some(()),
                SwarmEvent::Behaviour(
                    event @ (RawBehaviourEvent::Pubsub(_)
                    | RawBehaviourEvent::Requests(
                        libp2p::request_response::Event::Message { .. },
                    )),
                ) => {
                    served.push(format!("{event:?}"));
                    None
                }
                _ => None,
            })
            .await;
        assert!(served.is_empty(), "{served:?}");
        assert!(!stranger.swarm.is_connected(&nodes[0].peer));
    }
    assert!(nodes[0].inbox.changes().iter().all(|(peer, _)| *peer != stranger_peer));
    nodes[0].gossip.publish_records(&batch(EPOCH, 0, &[b"still here"])).unwrap();
    nodes[1].inbox.until("the batch", |inbox| inbox.batches().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_at_the_address_of_a_member_is_not_taken_for_it() {
    let mut stranger = Raw::new(Keypair::generate_ed25519());
    let address = stranger.address().await;
    let member = peer(&Keypair::generate_ed25519());
    let node = Node::start(
        Keypair::generate_ed25519(),
        vec![Peer { peer: member, addresses: vec![address] }],
        quick(),
    )
    .await;
    // It is dialled again and again, and each time the connection ends in the handshake.
    for _ in 0..3 {
        stranger
            .until("a failed handshake", |event| match event {
                SwarmEvent::IncomingConnectionError { .. }
                | SwarmEvent::ConnectionClosed { .. } => Some(()),
                SwarmEvent::Behaviour(RawBehaviourEvent::Pubsub(event)) => {
                    panic!("served: {event:?}")
                }
                _ => None,
            })
            .await;
    }
    assert!(node.inbox.changes().is_empty());
    assert_eq!(
        node.gossip.request_records(member, EPOCH, 0).await.unwrap_err(),
        RequestError::NotConnected
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_refuses_to_dial_a_stranger_even_when_asked_to() {
    let mut stranger = Raw::new(Keypair::generate_ed25519());
    let address = stranger.address().await;
    let mut swarm = crate::gossip::behaviour::swarm(
        Keypair::generate_ed25519(),
        &super::harness::ledger(),
        &quick(),
    )
    .unwrap();
    let error = swarm.dial(address.with_p2p(stranger.peer()).unwrap()).unwrap_err();
    assert!(matches!(error, DialError::Denied { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_hold_hundreds_of_silent_connections_do_not_disturb_members() {
    let nodes = consortium(2, &quick()).await;
    let address = nodes[0].address().to_string();
    let port: u16 = address.rsplit('/').next().unwrap().parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    for number in 0..50 {
        let start = Instant::now();
        nodes[1].gossip.publish_attestation(&super::harness::attestation(number)).unwrap();
        nodes[0]
            .inbox
            .until("an attestation", |_| of_test(&nodes[0]).contains_key(&(nodes[1].peer, number)))
            .await;
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    drop(silent);
}
