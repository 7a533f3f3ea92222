//! Requests are answered, bounded, and end.

use std::{
    num::NonZeroU32,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::harness::{EPOCH, consortium, quick};
use crate::gossip::{GossipLimits, RequestError, limits::ANSWER_RECORDS_BYTES_MAX};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_answer_holds_is_fetched_by_several() {
    let nodes = consortium(2, &quick()).await;
    let own: Vec<Bytes> =
        (0..3_000_u32).map(|number| Bytes::from(vec![number as u8; 1_000])).collect();
    nodes[0].inbox.own.lock().unwrap().clone_from(&own);
    let mut fetched = Vec::new();
    let mut answers = 0;
    loop {
        let first = u64::try_from(fetched.len()).unwrap();
        let batch = nodes[1].gossip.request_records(nodes[0].peer, EPOCH, first).await.unwrap();
        assert_eq!((batch.epoch, batch.first), (EPOCH, first));
        if batch.records.is_empty() {
            break;
        }
        let bytes: usize = batch.records.iter().map(|record| record.len() + 8).sum();
        assert!(bytes <= ANSWER_RECORDS_BYTES_MAX);
        fetched.extend(batch.records);
        answers += 1;
    }
    assert_eq!(fetched, own);
    assert!(answers >= 3, "{answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_costs_the_time_out_and_no_more() {
    let limits = GossipLimits {
        request_timeout: Duration::from_millis(500),
        answers_max: 8,
        answers_per_peer_max: 2,
        ..quick()
    };
    let nodes = consortium(2, &limits).await;
    nodes[0].inbox.silent.store(true, Ordering::SeqCst);
    let ask = || nodes[1].gossip.request_records(nodes[0].peer, EPOCH, 0);
    let start = Instant::now();
    let answers = futures::future::join_all((0..6).map(|_| ask())).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    let of = |is: fn(&RequestError) -> bool| {
        answers.iter().filter(|answer| answer.as_ref().is_err_and(is)).count()
    };
    // Both sides have the same time-out; whichever is first ends it.
    let given_up = |error: &_| matches!(error, RequestError::Timeout | RequestError::Failed(_));
    assert_eq!(of(given_up), 2, "{answers:?}");
    assert_eq!(of(|error| *error == RequestError::Busy), 4, "{answers:?}");
    // Other requests and gossip go on; so do these when the peer answers again.
    assert!(nodes[0].gossip.request_records(nodes[1].peer, EPOCH, 0).await.is_ok());
    nodes[0].inbox.silent.store(false, Ordering::SeqCst);
    let again = async {
        while ask().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(super::harness::PATIENCE, again).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_refused_on_either_side() {
    let limits = GossipLimits {
        requests_per_second: NonZeroU32::new(5).unwrap(),
        requests_max: 4,
        ..quick()
    };
    let nodes = consortium(2, &limits).await;
    let ask = || nodes[1].gossip.request_records(nodes[0].peer, EPOCH, 0);
    let answers = futures::future::join_all((0..40).map(|_| ask())).await;
    assert!(answers.contains(&Err(RequestError::Full)), "{answers:?}");
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        outcomes.push(ask().await);
    }
    assert!(outcomes.contains(&Err(RequestError::Busy)), "{outcomes:?}");
    let stranger = libp2p::PeerId::random();
    assert_eq!(
        nodes[1].gossip.request_checkpoints(stranger, 0).await,
        Err(RequestError::NotConnected)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_when_the_peer_goes_away() {
    let mut nodes = consortium(2, &quick()).await;
    let gone = nodes.pop().unwrap();
    gone.inbox.silent.store(true, Ordering::SeqCst);
    let inbox = gone.inbox.clone();
    let peer = gone.peer;
    let asker = nodes[0].gossip.clone();
    let asked = tokio::spawn(async move { asker.request_records(peer, EPOCH, 0).await });
    inbox.until("the request", |inbox| inbox.asked.load(Ordering::SeqCst) > 0).await;
    gone.running.abort();
    let outcome = asked.await.unwrap();
    assert!(matches!(outcome, Err(RequestError::Failed(_))), "{outcome:?}");
    inbox.silent.store(false, Ordering::SeqCst);
}
