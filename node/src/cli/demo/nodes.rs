//! The demo's nodes: each a process of its own, as on machines of their own.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use quittance_ledger::membership::MemberId;

use super::super::Failure;
use crate::{
    client::{Client, Patience},
    layout::DataFolder,
};

/// How long a node may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that runs as a process. It ends with this one: it stops when its
/// standard input closes, whatever closes it.
pub(super) struct DemoNode {
    /// The member it belongs to.
    pub(super) member: String,
    /// Where its API listens.
    pub(super) url: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Drop for DemoNode {
    fn drop(&mut self) {
        self.stdin.take();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It may have ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DemoNode {
    /// Starts a node on a data folder, with its log in `node.log` there.
    pub(super) fn start(folder: &DataFolder) -> Result<Self, Failure> {
        let member = folder
            .root()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::unusable(format_args!("the node of {member}: {what}: {error}"))
        };
        let program =
            std::env::current_exe().map_err(|error| failed("this program is gone", &error))?;
        let log = File::create(folder.root().join("node.log"))
            .map_err(|error| failed("its log cannot be written", &error))?;
        let mut child = Command::new(program)
            .args(["run", "--http", "127.0.0.1:0", "--stop-with-stdin", "--data"])
            .arg(folder.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| failed("it cannot be started", &error))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let mut node = Self { member: member.clone(), url: String::new(), child, stdin };
        let mut lines = stdout.map(BufReader::new).into_iter().flat_map(|out| out.lines());
        node.url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("API").map(|rest| rest.trim().to_owned()))
            .and_then(|url| url.strip_suffix("/docs").map(str::to_owned))
            .ok_or_else(|| failed("it did not start; see its node.log", &"no greeting"))?;
        // Nothing more is of interest, but a full pipe would stop the node.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(node)
    }

    /// A client of its API.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, None, Patience { tries: 3 })?)
    }

    /// Waits until it reaches enough of the others.
    fn wait_ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let client = self.client()?;
        loop {
            match client.ready() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// The nodes of the demo, and who signs at which.
pub(super) struct DemoNodes {
    /// The nodes; the last one observes.
    pub(super) nodes: Vec<DemoNode>,
    by_signer: BTreeMap<MemberId, usize>,
}

impl DemoNodes {
    /// Starts a node on each folder and waits until all reach each other.
    pub(super) fn start(folders: &[DataFolder]) -> Result<Self, Failure> {
        let mut nodes = Vec::new();
        let mut by_signer = BTreeMap::new();
        for (place, folder) in folders.iter().enumerate() {
            by_signer.extend(folder.keys()?.record.into_keys().map(|member| (member, place)));
            nodes.push(DemoNode::start(folder)?);
        }
        for node in &nodes {
            node.wait_ready()?;
        }
        Ok(Self { nodes, by_signer })
    }

    /// The node that signs for a member.
    pub(super) fn of(&self, signer: Option<&str>) -> Result<&DemoNode, Failure> {
        signer
            .and_then(|signer| signer.parse::<MemberId>().ok())
            .and_then(|signer| self.by_signer.get(&signer))
            .and_then(|place| self.nodes.get(*place))
            .ok_or_else(|| {
                Failure::unusable(format_args!(
                    "no node signs for {}",
                    signer.unwrap_or("a record without a signer")
                ))
            })
    }
}
