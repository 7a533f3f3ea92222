//! A ledger of several validators, each with a node of its own, as processes on
//! this machine.
//!
//! ```no_run
//! use quittance_tests::Cluster;
//!
//! let mut cluster = Cluster::new(4);
//! cluster.start_all();
//! let load = cluster.load(&[0, 1, 2, 3]);
//! load.wait_for_acknowledged(50);
//! cluster.kill(&[2]);
//! load.wait_for_acknowledged(100);
//! cluster.start(2);
//! let told = load.end();
//! cluster.all_final(&told.acknowledged_ids(), &[0, 1, 2, 3]);
//! cluster.same_history(&[0, 1, 2, 3]);
//! ```

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    ops::Deref,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use tempfile::TempDir;

use crate::{
    Api, Ended, Members, Node, Settings, members::member_without_node, namespaces::Lan, quittance,
    relay::Relay, wait_for,
};

/// The ledger's name.
const ORIGIN: &str = "tests.quittance.example/consortium";

/// The organisations that validate, as many as a test wants, and their roles.
const VALIDATORS: [(&str, &str); 7] = [
    ("petexpert", "insurer"),
    ("heca", "broker"),
    ("comp-it", "insurer"),
    ("netvox", "broker"),
    ("rs-de", "insurer"),
    ("makler-1", "broker"),
    ("auto-fr", "insurer"),
];

/// Members that run no node, and their roles.
const GUESTS: [(&str, &str); 2] = [("vet-1", "provider"), ("otp-it", "trust_service")];

/// How the nodes of a cluster reach each other.
#[derive(Debug)]
enum Wiring {
    /// Over loopback.
    Direct,
    /// Over loopback, each node behind relays: first the engine's, then the gossip's.
    Relayed(Vec<[Relay; 2]>),
    /// Each in a network namespace of its own.
    Lan(Lan),
}

/// A ledger of several validators that was set up with the program's own
/// commands, in a temporary folder, and the record keys of all of them. Its
/// nodes are counted from 0; they end with it.
#[derive(Debug)]
pub struct Cluster {
    members: Members,
    genesis: String,
    seats: Vec<Seat>,
    // Nodes first: namespaces and folders end after what is in them.
    wiring: Wiring,
    folder: TempDir,
}

/// Where the API of a node is at the moment; none while the node is down.
pub(crate) type Door = Arc<Mutex<Option<Api>>>;

/// What belongs to one node, whether it runs or not.
#[derive(Debug)]
struct Seat {
    member: &'static str,
    data: PathBuf,
    addresses: Addresses,
    settings: Settings,
    node: Option<Node>,
    door: Door,
}

impl Deref for Cluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

/// The addresses of a node: what the others are told, engine and gossip, and
/// where it listens where that is something else.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    engine: SocketAddr,
    gossip: SocketAddr,
    listen: Option<(SocketAddr, SocketAddr)>,
}

impl Cluster {
    /// So many validators that reach each other over loopback. None is started.
    ///
    /// # Panics
    /// A command fails.
    #[must_use]
    pub fn new(validators: usize) -> Self {
        let (host, port) = free_ports(validators);
        let addresses = (0..validators).map(|index| Addresses {
            engine: at(host, index, port),
            gossip: at(host, index, port + 1),
            listen: None,
        });
        Self::set_up(addresses.collect(), Wiring::Direct, &[])
    }

    /// As [`Cluster::new`], with a provider `vet-1` and a trust service `otp-it`
    /// that run no node.
    ///
    /// # Panics
    /// A command fails.
    #[must_use]
    pub fn with_guests(validators: usize) -> Self {
        let (host, port) = free_ports(validators);
        let addresses = (0..validators).map(|index| Addresses {
            engine: at(host, index, port),
            gossip: at(host, index, port + 1),
            listen: None,
        });
        Self::set_up(addresses.collect(), Wiring::Direct, &GUESTS)
    }

    /// So many validators whose links go through relays: see [`Cluster::relays`].
    ///
    /// # Panics
    /// A command fails.
    #[must_use]
    pub fn relayed(validators: usize) -> Self {
        let (host, port) = free_ports(validators);
        let addresses: Vec<_> = (0..validators)
            .map(|index| Addresses {
                engine: at(host, index, port),
                gossip: at(host, index, port + 1),
                listen: Some((at(host, index, port + 2), at(host, index, port + 3))),
            })
            .collect();
        let relays = addresses.iter().filter_map(|node| {
            let (engine, gossip) = node.listen?;
            Some([Relay::new(node.engine, engine), Relay::new(node.gossip, gossip)])
        });
        let wiring = Wiring::Relayed(relays.collect());
        Self::set_up(addresses, wiring, &[])
    }

    /// So many validators in network namespaces: see [`Cluster::lan`]. None
    /// where that cannot be had and may be missing.
    ///
    /// # Panics
    /// A command fails.
    #[must_use]
    pub fn on_lan(validators: u8) -> Option<Self> {
        let lan = Lan::new(validators)?;
        let addresses = (0..validators).map(|index| {
            let host = IpAddr::from(Lan::address(index));
            Addresses {
                engine: SocketAddr::new(host, 27000),
                gossip: SocketAddr::new(host, 27001),
                listen: None,
            }
        });
        Some(Self::set_up(addresses.collect(), Wiring::Lan(lan), &[]))
    }

    fn set_up(
        addresses: Vec<Addresses>,
        wiring: Wiring,
        guests: &[(&'static str, &'static str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut seats = Vec::new();
        for (index, ((member, role), addresses)) in
            VALIDATORS.into_iter().zip(addresses).enumerate()
        {
            let data = folder.path().join(member);
            let mut settings = Settings::default();
            if let Some((engine, gossip)) = addresses.listen {
                settings.config = format!(
                    "[network]\nengine_listen = \"{}\"\ngossip_listen = \"{}\"\n",
                    multiaddress(engine),
                    multiaddress(gossip)
                );
            }
            if let Wiring::Lan(lan) = &wiring {
                settings.namespace = Some(lan.namespace(index).clone());
            }
            init(member, role, &data, addresses);
            let door = Door::default();
            seats.push(Seat { member, data, addresses, settings, node: None, door });
        }
        let mut parts: Vec<_> = seats.iter().map(|seat| seat.data.join("member.toml")).collect();
        let mut keys: Vec<_> =
            seats.iter().map(|seat| (seat.member, record_key(&seat.data, seat.member))).collect();
        for guest in guests {
            let key = folder.path().join(format!("{}.pem", guest.0));
            parts.push(member_without_node(folder.path(), *guest, &key));
            keys.push((guest.0, key));
        }
        let (members, genesis) = Members::of_genesis(ORIGIN, parts, keys);
        for seat in &seats {
            fs::write(seat.data.join("genesis.toml"), &genesis).unwrap();
        }
        Self { members, genesis, seats, wiring, folder }
    }

    /// One more node, of an organisation that the genesis does not list, with
    /// keys of its own and the others' genesis; it is not started.
    ///
    /// # Panics
    /// There are seven already, or the command fails.
    pub fn invite(&mut self) -> usize {
        let (member, role) = VALIDATORS[self.len()];
        self.furnish(member, role, member)
    }

    /// One more node, of the member of another one, that is to take its place:
    /// with keys of its own but for the record key, which is the member's.
    ///
    /// # Panics
    /// The command fails.
    pub fn successor(&mut self, index: usize) -> usize {
        let (member, role) = VALIDATORS[index];
        let successor = self.furnish(member, role, &format!("{member}-new"));
        let key = |index: usize| record_key(self.data(index), member);
        fs::copy(key(index), key(successor)).unwrap();
        successor
    }

    fn furnish(&mut self, member: &'static str, role: &str, folder: &str) -> usize {
        let (host, port) = free_ports(1);
        let addresses =
            Addresses { engine: at(host, 0, port), gossip: at(host, 0, port + 1), listen: None };
        let data = self.folder.path().join(folder);
        init(member, role, &data, addresses);
        fs::write(data.join("genesis.toml"), &self.genesis).unwrap();
        let (settings, door) = (Settings::default(), Door::default());
        self.seats.push(Seat { member, data, addresses, settings, node: None, door });
        self.len() - 1
    }

    /// Two addresses at which nobody listens.
    #[must_use]
    pub fn spare_addresses(&self) -> [SocketAddr; 2] {
        let (host, port) = free_ports(1);
        [at(host, 0, port), at(host, 0, port + 1)]
    }

    /// `quittance member …` through the API of a node, signed as the member of
    /// another one.
    #[must_use]
    pub fn member_command(&self, signer: usize, through: usize, what: &[&str]) -> Ended {
        let member = self.member(signer);
        let key = record_key(self.data(signer), member).display().to_string();
        let (kid, url) = (format!("{member}#1"), self.node(through).url(""));
        let how = ["--key", &key, "--kid", &kid, "--ledger", self.origin(), "--api", &url];
        quittance([&["member"], what, &how].concat())
    }

    /// A temporary folder for what a test writes beside the data folders.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many nodes there are, running or not.
    pub const fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// The number of every node.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.len()).collect()
    }

    /// The genesis, as TOML.
    pub fn genesis(&self) -> &str {
        &self.genesis
    }

    /// The member a node belongs to.
    pub fn member(&self, index: usize) -> &'static str {
        self.seats[index].member
    }

    /// The data folder of a node.
    pub fn data(&self, index: usize) -> &Path {
        &self.seats[index].data
    }

    /// Where the others reach a node's engine.
    pub fn engine_address(&self, index: usize) -> SocketAddr {
        self.seats[index].addresses.engine
    }

    /// Where the others reach a node's gossip.
    pub fn gossip_address(&self, index: usize) -> SocketAddr {
        self.seats[index].addresses.gossip
    }

    /// How a node is started the next time.
    pub fn settings(&mut self, index: usize) -> &mut Settings {
        &mut self.seats[index].settings
    }

    /// The relays of a node, of its engine and of its gossip.
    ///
    /// # Panics
    /// The cluster has no relays.
    pub fn relays(&self, index: usize) -> &[Relay; 2] {
        match &self.wiring {
            Wiring::Relayed(relays) => &relays[index],
            _ => panic!("a cluster without relays"),
        }
    }

    /// The network of the nodes' namespaces.
    ///
    /// # Panics
    /// The cluster has none.
    pub fn lan(&self) -> &Lan {
        match &self.wiring {
            Wiring::Lan(lan) => lan,
            _ => panic!("a cluster without namespaces"),
        }
    }

    /// A node that runs.
    ///
    /// # Panics
    /// It does not run.
    pub fn node(&self, index: usize) -> &Node {
        self.seats[index].node.as_ref().unwrap_or_else(|| panic!("node {index} does not run"))
    }

    pub(crate) fn door(&self, index: usize) -> Door {
        self.seats[index].door.clone()
    }

    /// The nodes that run.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        self.all().into_iter().filter(|index| self.seats[*index].node.is_some()).collect()
    }

    /// Starts nodes and waits until their APIs answer, not until they are ready.
    ///
    /// # Panics
    /// One ends instead, or runs already.
    pub fn launch(&mut self, indexes: &[usize]) {
        thread::scope(|scope| {
            for (index, seat) in self.seats.iter_mut().enumerate() {
                if indexes.contains(&index) {
                    assert!(seat.node.is_none(), "node {index} runs already");
                    scope.spawn(move || seat.launch());
                }
            }
        });
    }

    /// Starts a node, of a cluster that has a quorum with it, and waits until
    /// it is ready.
    ///
    /// # Panics
    /// It does not become ready.
    pub fn start(&mut self, index: usize) {
        self.launch(&[index]);
        self.wait_until_ready(&[index]);
    }

    /// Starts every node that does not run, and waits until all are ready.
    ///
    /// # Panics
    /// One does not become ready.
    pub fn start_all(&mut self) {
        let running = self.running();
        let missing: Vec<_> = self.all().into_iter().filter(|i| !running.contains(i)).collect();
        self.launch(&missing);
        self.wait_until_ready(&self.all());
    }

    /// Waits until these nodes say that they can do their work.
    ///
    /// # Panics
    /// One never does.
    pub fn wait_until_ready(&self, indexes: &[usize]) {
        for index in indexes {
            let node = self.node(*index);
            wait_for(&format!("node {index} to become ready"), || node.is_ready().then_some(()));
        }
    }

    /// Kills nodes (SIGKILL), all at the same moment.
    ///
    /// # Panics
    /// One does not run.
    pub fn kill(&mut self, indexes: &[usize]) {
        for index in indexes {
            *self.seats[*index].door.lock().unwrap() = None;
            self.node(*index).kill_now();
        }
        for index in indexes {
            self.seats[*index].take().kill();
        }
    }

    /// Stops nodes in order, all at once, and gives what they said.
    ///
    /// # Panics
    /// One does not end well.
    pub fn stop(&mut self, indexes: &[usize]) -> Vec<Ended> {
        for index in indexes {
            *self.seats[*index].door.lock().unwrap() = None;
            self.node(*index).terminate();
        }
        let stop = |index: &usize| {
            let ended = self.seats[*index].take().wait();
            assert_eq!(ended.code, Some(0), "node {index}: {}", ended.stderr);
            ended
        };
        indexes.iter().map(stop).collect()
    }

    /// Empties the disk of a node that does not run: only its keys and the
    /// genesis are left.
    ///
    /// # Panics
    /// It runs.
    pub fn wipe(&self, index: usize) {
        let seat = &self.seats[index];
        assert!(seat.node.is_none(), "node {index} runs");
        for entry in fs::read_dir(&seat.data).unwrap() {
            let path = entry.unwrap().path();
            let kept = ["keys", "genesis.toml", "member.toml"];
            if kept.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
    }

    /// The trust policy in a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn policy_file(&self) -> PathBuf {
        let path = self.folder.path().join("policy");
        fs::write(&path, self.membership().policy().to_bytes()).unwrap();
        path
    }
}

impl Seat {
    fn launch(&mut self) {
        let node = Node::try_launch(&self.data, &self.settings).unwrap_or_else(|ended| {
            panic!("the node of {} ended with {:?}:\n{}", self.member, ended.code, ended.stderr)
        });
        *self.door.lock().unwrap() = Some(node.api().clone());
        self.node = Some(node);
    }

    fn take(&mut self) -> Node {
        self.node.take().unwrap_or_else(|| panic!("the node of {} does not run", self.member))
    }
}

fn init(member: &str, role: &str, data: &Path, addresses: Addresses) {
    let (engine, gossip) = (multiaddress(addresses.engine), multiaddress(addresses.gossip));
    let arguments = [
        ["init", "--member", member, "--role", role],
        ["--engine-address", &engine, "--gossip-address", &gossip, "--data"],
    ];
    let arguments = arguments.concat();
    let _ = quittance(arguments.into_iter().map(Path::new).chain([data])).success();
}

fn record_key(data: &Path, member: &str) -> PathBuf {
    data.join(format!("keys/record-{member}-1.pem"))
}

fn multiaddress(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

/// The address of a node of a cluster on loopback.
fn at(host: Ipv4Addr, index: usize, port: u16) -> SocketAddr {
    let [a, b, c, _] = host.octets();
    let last = u8::try_from(index + 1).unwrap();
    SocketAddr::from(([a, b, c, last], port))
}

/// The part of loopback that is this test process's own, and the first of four
/// ports that are free there for so many nodes. Addresses stand in the genesis,
/// and so they must be known before anybody listens.
fn free_ports(count: usize) -> (Ipv4Addr, u16) {
    // Below the ports that the system gives to clients.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let [_, _, high, low] = process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 1 + high % 254, low, 0);
    loop {
        let port = NEXT.fetch_add(4, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        let is_free = |index, port| TcpListener::bind(at(host, index, port)).is_ok();
        if (0..count).all(|index| (port..port + 4).all(|port| is_free(index, port))) {
            return (host, port);
        }
    }
}
