//! A ledger with one validator and a node that is nothing but a queue before a
//! real store.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use quittance_api::{
    ApiConfig,
    access::Access,
    router_with_figures,
    submit::{Accepted, NodeStatus, Outcome, SignError, Submit, SubmitError},
};
use quittance_ledger::{
    chain,
    digest::RecordId,
    insurance::{rules::BlockState, state::ApplyError},
    membership::{
        Genesis, Member, MemberId, Membership, Origin, RecordKey, Role, Validator, cosigner_name,
    },
    record::{self, Record},
    refusal::{Code, Refusal},
    store::{Options, Store, StoreError},
    transparency::{Checkpoint, Cosigner, LogSigner, SignedCheckpoint},
    vault::{Vault, VaultKey},
};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

pub const ORIGIN: &str = "ledger.example/api";

/// 2026-01-01T00:00:00Z
pub const START_MS: u64 = 1_767_225_600_000;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn seed_of(member: &str) -> u8 {
    match member {
        "insurer" => 1,
        "broker" => 2,
        _ => 3,
    }
}

pub fn membership() -> Membership {
    let origin: Origin = ORIGIN.parse().unwrap();
    let insurer: MemberId = "insurer".parse().unwrap();
    let validator = Validator {
        member: insurer.clone(),
        consensus: key(101).verifying_key(),
        log: log_signer().verifier_key().clone(),
        cosigner: cosigner().verifier_key().clone(),
        peer: None,
        engine_address: None,
        gossip_address: None,
    };
    let member = |id: &str, role, validator| Member {
        id: id.parse().unwrap(),
        name: format!("The <{id}>"),
        role,
        time_zone: None,
        keys: vec![RecordKey {
            id: "1".parse().unwrap(),
            public: key(seed_of(id)).verifying_key().into(),
        }],
        validator,
        observer: None,
    };
    let members = vec![
        member("insurer", Role::Insurer, Some(validator)),
        member("broker", Role::Broker, None),
        member("provider", Role::Provider, None),
    ];
    Membership::from_genesis(&Genesis::from_members(origin, members).unwrap())
}

fn log_signer() -> LogSigner {
    LogSigner::new(&ORIGIN.parse().unwrap(), key(102)).unwrap()
}

fn cosigner() -> Cosigner {
    let name = cosigner_name(&ORIGIN.parse().unwrap(), &"insurer".parse().unwrap());
    Cosigner::new(name, key(103)).unwrap()
}

fn signed(checkpoint: &Checkpoint) -> SignedCheckpoint {
    let (log, cosigner) = (log_signer(), cosigner());
    SignedCheckpoint::assemble(
        checkpoint.clone(),
        (log.verifier_key(), log.sign(checkpoint)),
        &[(cosigner.verifier_key(), START_MS / 1000, cosigner.cosign(checkpoint, START_MS / 1000))],
    )
    .unwrap()
}

pub fn sign_as(member: &str, payload: Value) -> Result<Record, Refusal> {
    let Value::Object(payload) = payload else { panic!("a payload is an object") };
    let membership = membership();
    record::sign(
        payload,
        membership.origin(),
        &member.parse().unwrap(),
        &"1".parse().unwrap(),
        &key(seed_of(member)),
    )?
    .verify(&membership)
}

/// The `number`th of a series of quotes.
pub fn quote(number: u64) -> Record {
    sign_as(
        "broker",
        json!({
            "type": "contract.quoted",
            "salt": format!("{number:A>21}A"),
            "occurred_at": "2026-01-01T00:00:00Z",
            "contract": format!("insurer/C-{}", number % 10),
            "data": { "quote": format!("Q-{number}") },
        }),
    )
    .unwrap()
}

/// What the node does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each submission becomes a block at once.
    Commit,
    /// Records wait until [`FakeNode::commit`].
    Hold,
    Busy,
    Stopping,
}

pub struct FakeNode {
    pub store: Arc<Store>,
    pub vault: Arc<Vault>,
    pub mode: Mutex<Mode>,
    pub held: Vec<&'static str>,
    pub submissions: AtomicUsize,
    /// What its clock says, in milliseconds since the Unix epoch.
    pub time_ms: AtomicU64,
    pub not_ready: Mutex<Option<String>>,
    /// What the API said is damaged.
    pub damage: Mutex<Vec<String>>,
    waiting: Mutex<Vec<(Record, watch::Sender<Outcome>)>>,
    /// Whether what waits is another node's.
    pub foreign: AtomicBool,
    /// What was accepted and then refused.
    pub refused: Mutex<Vec<RecordId>>,
    heights: watch::Sender<u64>,
    /// What people should look at.
    pub alerts: watch::Sender<Vec<String>>,
}

impl FakeNode {
    pub fn new(folder: &Path, mode: Mode) -> Arc<Self> {
        let options = Options { cache_bytes: 8 << 20, segment_bytes_max: 1 << 20, inspect: false };
        let store = Arc::new(Store::open(folder, membership(), options).unwrap());
        store
            .put_first_checkpoint(&signed(&Checkpoint {
                origin: ORIGIN.parse().unwrap(),
                size: 0,
                root: quittance_ledger::transparency::tree::EMPTY_ROOT,
            }))
            .unwrap();
        let vault = Vault::open(&folder.join("vault"), VaultKey::from_bytes([7; 32]), 100).unwrap();
        Arc::new(Self {
            store,
            vault: Arc::new(vault),
            mode: Mutex::new(mode),
            held: vec!["insurer", "broker"],
            submissions: AtomicUsize::new(0),
            time_ms: AtomicU64::new(START_MS),
            not_ready: Mutex::new(None),
            damage: Mutex::default(),
            waiting: Mutex::default(),
            foreign: AtomicBool::new(false),
            refused: Mutex::default(),
            heights: watch::Sender::new(0),
            alerts: watch::Sender::default(),
        })
    }

    /// Refuses what waits.
    pub fn refuse(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        self.refused.lock().unwrap().extend(waiting.iter().map(|(record, _)| record.id()));
    }

    /// Makes one block of what waits.
    pub fn commit(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        let records: Vec<_> = waiting.iter().map(|(record, _)| record.clone()).collect();
        let tip = self.store.tip();
        let built = chain::build::<StoreError>(
            &tip,
            &*self.store,
            key(101).verifying_key().to_bytes(),
            self.now_ms(),
            records,
            |id| self.store.contains(id),
        )
        .unwrap();
        if let Some(block) = built.block {
            let certificate = chain::Certificate::of_one(&block.header, &key(101));
            let appended = self.store.append(block, &certificate).unwrap();
            let checkpoint = signed(appended.checkpoint());
            self.store.commit(appended, Some(&checkpoint)).unwrap();
        }
        let refused: HashMap<RecordId, _> = built.refused.into_iter().collect();
        for (record, sender) in waiting {
            let outcome = match refused.get(&record.id()) {
                Some(refusal) => Outcome::Refused(refusal.clone()),
                None => Outcome::Final(self.store.find(&record.id()).unwrap().unwrap()),
            };
            sender.send_replace(outcome);
        }
        self.heights.send_replace(self.store.tip().height);
    }

    fn now_ms(&self) -> u64 {
        self.time_ms.load(Ordering::SeqCst)
    }

    fn accept(&self, record: Record) -> Accepted {
        if let Some(location) = self.store.find(&record.id()).unwrap() {
            return Accepted::Recorded(location);
        }
        let now_ms = self.now_ms();
        let tip = self.store.tip();
        let first = tip.frontier.size();
        let mut block = BlockState::new(tip.height + 1, now_ms, first, &tip.members, &*self.store);
        match block.apply(&record) {
            Ok(()) => {}
            Err(ApplyError::Refused(refusal)) => return Accepted::Refused(refusal),
            Err(ApplyError::State(error)) => panic!("{error}"),
        }
        let mut waiting = self.waiting.lock().unwrap();
        if let Some((_, sender)) = waiting.iter().find(|(other, _)| *other == record) {
            return Accepted::Pending(sender.subscribe());
        }
        let sender = watch::Sender::new(Outcome::Pending);
        let receiver = sender.subscribe();
        waiting.push((record, sender));
        Accepted::Pending(receiver)
    }
}

impl Submit for FakeNode {
    fn submit(
        &self,
        records: Vec<Record>,
    ) -> BoxFuture<'static, Result<Vec<Accepted>, SubmitError>> {
        self.submissions.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock().unwrap();
        let answer = match mode {
            Mode::Busy => Err(SubmitError::Busy { retry_after_s: 7 }),
            Mode::Stopping => Err(SubmitError::Stopping),
            Mode::Commit | Mode::Hold => {
                Ok(records.into_iter().map(|record| self.accept(record)).collect::<Vec<_>>())
            }
        };
        if mode == Mode::Commit {
            self.commit();
        }
        Box::pin(async move { answer })
    }

    fn pending(&self, id: &RecordId) -> Option<Record> {
        let waiting = self.waiting.lock().unwrap();
        waiting.iter().map(|(record, _)| record).find(|record| record.id() == *id).cloned()
    }

    fn keeps(&self, id: &RecordId) -> bool {
        !self.foreign.load(Ordering::SeqCst) && self.pending(id).is_some()
    }

    fn refusal(&self, id: &RecordId) -> Option<Refusal> {
        let refused = self.refused.lock().unwrap();
        let refusal = Refusal::new(Code::VersionGap, "a test");
        refused.contains(id).then_some(refusal)
    }

    fn sign(&self, member: &MemberId, payload: Map<String, Value>) -> Result<Record, SignError> {
        if !self.held.contains(&member.as_str()) {
            return Err(SignError::NotHeld(member.clone()));
        }
        Ok(sign_as(member.as_str(), Value::Object(payload))?)
    }

    fn held_members(&self) -> Vec<MemberId> {
        self.held.iter().map(|member| member.parse().unwrap()).collect()
    }

    fn heights(&self) -> watch::Receiver<u64> {
        self.heights.subscribe()
    }

    fn alerts(&self) -> watch::Receiver<Vec<String>> {
        self.alerts.subscribe()
    }

    fn vault(&self) -> Option<Arc<Vault>> {
        Some(self.vault.clone())
    }

    fn damaged(&self, error: StoreError) {
        self.damage.lock().unwrap().push(error.to_string());
    }

    fn status(&self) -> NodeStatus {
        let waiting = self.waiting.lock().unwrap();
        NodeStatus {
            member: Some("insurer".parse().unwrap()),
            validator: true,
            uptime: Duration::from_secs(5),
            pending_records: waiting.len() as u64,
            pending_bytes: waiting.iter().map(|(record, _)| record.jws().len() as u64).sum(),
            not_ready: self.not_ready.lock().unwrap().clone(),
            ..NodeStatus::default()
        }
    }
}

/// The API over a store in a temporary folder, asked as from this machine.
pub struct Api {
    pub node: Arc<FakeNode>,
    pub router: Router,
    folder: tempfile::TempDir,
}

impl Api {
    pub fn new(mode: Mode) -> Self {
        Self::with(mode, ApiConfig::default())
    }

    pub fn with(mode: Mode, config: ApiConfig) -> Self {
        Self::with_access(mode, config, Access::open())
    }

    pub fn with_access(mode: Mode, config: ApiConfig, access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = FakeNode::new(folder.path(), mode);
        let submit = Arc::clone(&node) as Arc<dyn Submit>;
        let store = Arc::clone(&node.store);
        let router =
            router_with_figures(store, submit, config, access, Registry::default()).unwrap();
        Self { node, router, folder }
    }

    /// A ledger of `blocks` blocks of `size` quotes each.
    pub fn filled(blocks: u64, size: u64) -> Self {
        let api = Self::new(Mode::Hold);
        for block in 0..blocks {
            api.add(block * size..(block + 1) * size);
        }
        *api.node.mode.lock().unwrap() = Mode::Commit;
        api
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Commits one block of these quotes.
    pub fn add(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            drop(self.node.accept(quote(number)));
        }
        self.node.commit();
    }

    pub async fn ask_from(&self, peer: &str, mut request: Request<Body>) -> Answer {
        let peer: SocketAddr = peer.parse().unwrap();
        request.headers_mut().entry(header::HOST).or_insert("127.0.0.1:8080".parse().unwrap());
        let router = self.router.clone().layer(Extension(ConnectInfo(peer)));
        Answer::of(router.oneshot(request).await.unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        self.ask_from("127.0.0.1:50000", request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, content_type).body(body.into());
        self.ask(request.unwrap()).await
    }

    /// Appends a record, waiting for it to be final.
    pub async fn append(&self, record: &Record) -> Answer {
        let request = Request::post("/v1/records")
            .header(header::CONTENT_TYPE, "application/jose")
            .header("prefer", "wait=5")
            .body(Body::from(record.jws().to_vec()));
        self.ask(request.unwrap()).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {:?} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that it is a problem of that status and code, in every part of it.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{text}");
        assert_eq!(problem["status"], status, "{text}");
        assert_eq!(problem["type"], format!("/docs/problems#{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        problem
    }
}

/// Changes every byte of each file of a folder.
pub fn damage(folder: &Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        std::fs::write(&path, bytes).unwrap();
    }
}
