//! One run: machines, links and clock, moved on event by event.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use quittance_ledger::{digest::RecordId, record::Record};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use crate::{
    clock::{Clock, Moment},
    ledger::Ledger,
    network::{Machine, Message, Network, Quality},
    node::{Action, Halt, Identity, Node, ToEngine},
    plan::{Fault, Join, Plan, Sabotage, Submitter},
    properties::Properties,
};

/// After the faults have stopped, everything is decided within this virtual time.
pub const LIVENESS_BOUND: Duration = Duration::from_secs(120);

/// How often a machine looks after itself.
const TICK: Duration = Duration::from_millis(200);

/// The longest way of a message between a machine's own threads.
const LOCAL_DELAY: Duration = Duration::from_millis(2);

/// After how long whoever gets no answer submits again.
const SUBMIT_AGAIN: Duration = Duration::from_millis(300);

#[derive(Debug)]
enum Event {
    Deliver { from: Machine, to: Machine, message: Message },
    Engine { machine: Machine, start: u64, message: ToEngine },
    Host { machine: Machine, start: u64 },
    Tick { machine: Machine, start: u64 },
    Submit { submitter: usize },
    Fault(usize),
    Heal,
    Back(Machine),
    Calm,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The hash of everything that happened, in order.
    pub trace: [u8; 32],
    /// Events that happened.
    pub events: u64,
    /// Blocks that were decided.
    pub blocks: usize,
    /// Crashes of machines.
    pub crashes: u64,
    /// Validators that somebody holds evidence of.
    pub accused: usize,
    /// From when the faults stop until all is decided.
    pub recovery: Duration,
}

/// Somebody's records, one after the other.
struct Submission {
    of: Submitter,
    records: Vec<Record>,
    next: usize,
    acknowledged: BTreeSet<Machine>,
    /// Submitted only once these are decided where they are submitted.
    after: Vec<RecordId>,
}

impl Submission {
    fn new(of: Submitter, records: Vec<Record>, after: Vec<RecordId>) -> Self {
        Self { of, records, next: 0, acknowledged: BTreeSet::new(), after }
    }
}

/// One run.
pub struct World {
    plan: Plan,
    random: ChaCha8Rng,
    clock: Clock<Event>,
    network: Network,
    nodes: Vec<Node>,
    submissions: Vec<Submission>,
    properties: Properties,
    /// How long each machine is away when it crashes.
    away: Vec<Duration>,
    partitions: usize,
    is_calm: bool,
    trace: Sha256,
    events: u64,
    crashes: u64,
    /// Writes every event down, for whoever replays a seed.
    tell: bool,
}

impl World {
    /// The world of a seed; `tell` prints what happens in it.
    pub fn new(seed: u64, tell: bool) -> Self {
        Self::sabotaged(seed, tell, None)
    }

    /// The world of a seed whose machines have a mistake.
    pub fn sabotaged(seed: u64, tell: bool, sabotage: Option<Sabotage>) -> Self {
        let plan = Plan::of(seed);
        let ledger = Ledger::new(plan.validators);
        if tell {
            println!("{plan:#?}");
        }
        let nodes = plan.machines.iter().enumerate().map(|(machine, of)| {
            let key = of.validator.map(Ledger::consensus_key);
            let identity = Identity::new(key, ledger.id(), &plan, machine);
            let mut node = Node::new(identity, ledger.genesis());
            node.works.sabotage = sabotage;
            node
        });
        let twins = plan.machines.iter().filter(|of| of.twin).filter_map(|of| of.validator);
        let twins = twins.map(|number| Ledger::consensus_key(number).verifying_key().to_bytes());
        let mut properties =
            Properties::new(ledger.genesis(), plan.machines.len(), twins.collect());
        let mut submissions = Vec::new();
        for (number, submitter) in plan.submitters.iter().enumerate() {
            let member = number % plan.validators;
            let records: Vec<_> = (0..submitter.records)
                .map(|record| ledger.record(member, number, record))
                .collect();
            if submitter.machines.len() == 1 {
                properties.expect_in_order(&records);
            }
            submissions.push(Submission::new(submitter.clone(), records, Vec::new()));
        }
        if let Some(join) = plan.join {
            submissions.extend(changes(&plan, &ledger, join));
        }
        Self {
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5EED),
            clock: Clock::default(),
            network: Network::new(plan.machines.len(), plan.quality),
            nodes: nodes.collect(),
            submissions,
            properties,
            away: vec![Duration::from_secs(1); plan.machines.len()],
            partitions: 0,
            is_calm: false,
            trace: Sha256::new(),
            events: 0,
            crashes: 0,
            tell,
            plan,
        }
    }

    /// Runs until everything is decided after the faults.
    ///
    /// # Errors
    /// A property does not hold: which one, and when.
    pub fn run(mut self) -> Result<History, String> {
        self.run_on().map_err(|violation| {
            let mut report = format!("at {} ms: {violation}\n", self.clock.now().as_ms());
            for (machine, node) in self.nodes.iter().enumerate() {
                let of = self.plan.machines[machine];
                let _ = writeln!(report, "  machine {machine} ({of:?}): {}", node.describe());
            }
            report
        })
    }

    fn run_on(&mut self) -> Result<History, String> {
        for machine in 0..self.nodes.len() {
            self.start(machine)?;
        }
        for (place, (at, _)) in self.plan.faults.iter().enumerate() {
            self.clock.at(*at, Event::Fault(place));
        }
        for (submitter, submission) in self.submissions.iter().enumerate() {
            self.clock.at(submission.of.begins, Event::Submit { submitter });
        }
        self.clock.at(self.plan.calm, Event::Calm);
        let end = self.plan.calm + LIVENESS_BOUND;
        while let Some(event) = self.clock.next() {
            self.note(&event);
            self.happen(event)?;
            if self.is_calm && self.is_complete() {
                let now = self.clock.now();
                return Ok(History {
                    trace: std::mem::take(&mut self.trace).finalize().into(),
                    events: self.events,
                    blocks: self.properties.height(),
                    crashes: self.crashes,
                    accused: self.properties.accused.len(),
                    recovery: Duration::from_micros(now.0 - self.plan.calm.0),
                });
            }
            if self.clock.now() > end {
                let missing = self.properties.missing();
                return Err(format!("no progress within {LIVENESS_BOUND:?}: {missing}"));
            }
        }
        Err("nothing is left to happen".to_owned())
    }

    fn honest(&self) -> impl Iterator<Item = Machine> + '_ {
        (0..self.nodes.len()).filter(|machine| self.plan.machines[*machine].is_honest())
    }

    fn is_complete(&self) -> bool {
        self.submissions.iter().all(|submission| submission.next == submission.records.len())
            && self.properties.is_complete(self.honest())
    }

    /// Adds an event to the trace.
    fn note(&mut self, event: &Event) {
        let now = self.clock.now().0;
        let text = match event {
            Event::Deliver { from, to, message } => {
                format!("{now} {from} -> {to} {}", summary(message))
            }
            other => format!("{now} {other:?}"),
        };
        if self.tell {
            println!("{text}");
        }
        self.trace.update(text.as_bytes());
        self.trace.update(b"\n");
        self.events += 1;
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver { from, to, message } => {
                if self.network.joins(from, to) {
                    // Two liars that answer each other would never come to an end.
                    if self.plan.machines[to].liar && !self.plan.machines[from].liar {
                        self.lie(to, &message)?;
                    }
                    self.with(to, |node| node.hear(from, message))?;
                }
            }
            Event::Engine { machine, start, message } => {
                if self.nodes[machine].start == start {
                    self.with(machine, |node| node.tell(message))?;
                }
            }
            Event::Host { machine, start } => {
                if self.nodes[machine].start == start {
                    self.with(machine, Node::answer_next)?;
                }
            }
            Event::Tick { machine, start } => {
                if self.nodes[machine].start == start && self.nodes[machine].is_up {
                    self.with(machine, Node::tick)?;
                    self.clock.after(TICK, Event::Tick { machine, start });
                }
            }
            Event::Submit { submitter } => self.submit(submitter)?,
            Event::Fault(place) => self.fault(place),
            Event::Back(machine) => self.start(machine)?,
            Event::Heal => {
                self.partitions -= 1;
                if self.partitions == 0 {
                    self.join()?;
                }
            }
            Event::Calm => self.calm()?,
        }
        Ok(())
    }

    /// Lets a machine do something, and does what it wants done.
    fn with(
        &mut self,
        machine: Machine,
        act: impl FnOnce(&mut Node) -> Result<(), Halt>,
    ) -> Result<(), String> {
        let now = self.clock.now();
        let node = &mut self.nodes[machine];
        if !node.is_up {
            return Ok(());
        }
        node.works.now = now;
        let result = act(node);
        let start = node.start;
        for action in std::mem::take(&mut node.works.outbox) {
            self.act(machine, start, action)?;
        }
        match result {
            Ok(()) => Ok(()),
            Err(Halt::Crashed) => {
                self.crash(machine);
                Ok(())
            }
            Err(Halt::Failed(why)) if self.plan.machines[machine].is_honest() => {
                Err(format!("machine {machine}: {why}"))
            }
            // Whoever votes twice may fail: its log contradicts itself.
            Err(Halt::Failed(_)) => {
                self.crash(machine);
                Ok(())
            }
        }
    }

    fn act(&mut self, machine: Machine, start: u64, action: Action) -> Result<(), String> {
        let fail = |why| format!("machine {machine}: {why}");
        match action {
            Action::Broadcast(message) => {
                for to in 0..self.nodes.len() {
                    if to != machine {
                        self.send(machine, to, &message);
                    }
                }
            }
            Action::Send(to, message) => self.send(machine, to, &message),
            Action::Timer(id, after) => {
                let message = ToEngine::Elapsed(id);
                self.clock.after(after, Event::Engine { machine, start, message });
            }
            Action::Engine(message) => {
                let delay = self.random.random_range(Duration::ZERO..=LOCAL_DELAY);
                self.clock.after(delay, Event::Engine { machine, start, message });
            }
            Action::Host => {
                let delay = self.random.random_range(Duration::ZERO..=LOCAL_DELAY);
                self.clock.after(delay, Event::Host { machine, start });
            }
            Action::Signed(message) => {
                if self.plan.machines[machine].is_honest() {
                    self.properties.signed(machine, &message).map_err(fail)?;
                }
            }
            Action::Decided => {
                if let Some(block) = self.nodes[machine].works.disk.blocks.last() {
                    self.properties.decided(machine, block).map_err(fail)?;
                }
            }
            Action::Accused(accused) => self.properties.accused(&accused).map_err(fail)?,
            Action::Acknowledged(record) => {
                self.properties.acknowledged(&record);
                for submission in &mut self.submissions {
                    let waits_for = submission.records.get(submission.next).map(Record::id);
                    if submission.of.machines.contains(&machine) && waits_for == Some(record.id()) {
                        submission.acknowledged.insert(machine);
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, from: Machine, to: Machine, message: &Message) {
        if self.network.joins(from, to) {
            for delay in self.network.delays(&mut self.random) {
                let message = message.clone();
                self.clock.after(delay, Event::Deliver { from, to, message });
            }
        }
    }

    /// A lying machine makes something of what it hears.
    fn lie(&mut self, machine: Machine, message: &Message) -> Result<(), String> {
        let floods = self.random.random_bool(0.02);
        self.with(machine, |node| {
            if let Message::Block { init, block } = message {
                node.works.falsify(*init, block);
            } else if floods {
                node.works.flood();
            }
            Ok(())
        })
    }

    fn submit(&mut self, submitter: usize) -> Result<(), String> {
        let submission = &self.submissions[submitter];
        let Some(record) = submission.records.get(submission.next).cloned() else { return Ok(()) };
        for machine in submission.of.machines.clone() {
            let decided = &self.nodes[machine].works.disk.decided;
            let submission = &self.submissions[submitter];
            let is_due = submission.after.iter().all(|id| decided.contains(id));
            if is_due && !submission.acknowledged.contains(&machine) {
                self.with(machine, |node| node.submit(&record))?;
            }
        }
        let submission = &mut self.submissions[submitter];
        let delay = if submission.acknowledged.len() == submission.of.machines.len() {
            submission.acknowledged.clear();
            submission.next += 1;
            submission.of.pause
        } else {
            SUBMIT_AGAIN
        };
        self.clock.after(delay, Event::Submit { submitter });
        Ok(())
    }

    fn fault(&mut self, place: usize) {
        match self.plan.faults[place].1.clone() {
            Fault::Crash { machine, after, away } => {
                self.away[machine] = away;
                self.nodes[machine].light_fuse(after);
            }
            Fault::Partition { sides, lasts } => {
                self.network.sides = sides;
                self.partitions += 1;
                self.clock.after(lasts, Event::Heal);
            }
        }
    }

    fn crash(&mut self, machine: Machine) {
        self.crashes += 1;
        self.nodes[machine].crash(&mut self.random);
        for node in &mut self.nodes {
            node.disconnect(machine);
        }
        self.clock.after(self.away[machine], Event::Back(machine));
    }

    fn start(&mut self, machine: Machine) -> Result<(), String> {
        if self.nodes[machine].is_up {
            return Ok(());
        }
        self.properties
            .restarted(machine, &self.nodes[machine].works.disk.blocks)
            .map_err(|why| format!("machine {machine}: {why}"))?;
        let node = &mut self.nodes[machine];
        node.is_up = true;
        self.with(machine, Node::start)?;
        let start = self.nodes[machine].start;
        self.clock.after(TICK, Event::Tick { machine, start });
        for other in 0..self.nodes.len() {
            self.connect(machine, other)?;
        }
        Ok(())
    }

    fn connect(&mut self, one: Machine, other: Machine) -> Result<(), String> {
        let both_up = self.nodes[one].is_up && self.nodes[other].is_up;
        if one != other && both_up && self.network.joins(one, other) {
            for (machine, peer) in [(one, other), (other, one)] {
                self.with(machine, |node| {
                    node.connect(peer);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Everybody can talk to everybody, over new connections.
    fn join(&mut self) -> Result<(), String> {
        self.network.sides.fill(0);
        for one in 0..self.nodes.len() {
            for other in 0..one {
                self.connect(one, other)?;
            }
        }
        Ok(())
    }

    fn calm(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.network.quality = Quality::GOOD;
        for machine in 0..self.nodes.len() {
            self.nodes[machine].put_out_fuse();
            self.start(machine)?;
        }
        self.join()
    }
}

/// The records by which a validator joins, and leaves again: each is submitted to
/// another machine, once what it refers to is decided there.
fn changes(plan: &Plan, ledger: &Ledger, join: Join) -> Vec<Submission> {
    let honest: Vec<_> =
        (0..plan.machines.len()).filter(|machine| plan.machines[*machine].is_honest()).collect();
    let mut places = honest.iter().cycle();
    let mut submit = |record: Record, after: Vec<RecordId>| {
        let machines = places.next().into_iter().copied().collect();
        let (begins, pause) = (join.begins, Duration::ZERO);
        Submission::new(Submitter { machines, begins, records: 1, pause }, vec![record], after)
    };
    let mut submissions = Vec::new();
    let mut before = Vec::new();
    for (number, joins) in [(100, true), (101, false)] {
        if joins || join.leaves {
            let (proposal, approvals) = ledger.change(number, plan.validators, joins);
            let after = vec![proposal.id()];
            submissions.push(submit(proposal, std::mem::take(&mut before)));
            before = approvals.iter().map(Record::id).collect();
            submissions
                .extend(approvals.into_iter().map(|approval| submit(approval, after.clone())));
        }
    }
    submissions
}

/// A message in a few words, with the hash of what it holds.
fn summary(message: &Message) -> String {
    let short = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes)[..6]);
    match message {
        Message::Consensus(bytes) => format!("consensus {}", short(bytes)),
        Message::Liveness(bytes) => format!("liveness {}", short(bytes)),
        Message::Block { init, block } => {
            format!("block {} {} {}", init.height, init.round, short(block))
        }
        Message::Blocks { first, blocks } => format!("blocks {first} {}", blocks.len()),
        Message::Records { epoch, first, records, answer } => {
            format!("records {epoch} {first} {} {answer}", records.len())
        }
        other => format!("{other:?}"),
    }
}

/// The moment as text, for reports.
impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.as_ms())
    }
}
