//! A ledger of the eleven organisations of the sample dossiers.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Members, Node, Settings, members::member_without_node, quittance};

/// The ledger's name.
const ORIGIN: &str = "tests.quittance.example/ledger";

/// The organisations and their roles. The first one validates.
const ORGANISATIONS: [(&str, &str); 11] = [
    ("petexpert", "insurer"),
    ("comp-it", "insurer"),
    ("rs-de", "insurer"),
    ("auto-fr", "insurer"),
    ("santevet", "insurer"),
    ("heca", "broker"),
    ("makler-1", "broker"),
    ("netvox", "broker"),
    ("vet-1", "provider"),
    ("vet-2", "provider"),
    ("otp-it", "trust_service"),
];

/// A ledger that was set up with the program's own commands, in a temporary
/// folder, and the record keys of all its members.
#[derive(Debug)]
pub struct Consortium {
    folder: TempDir,
    members: Members,
}

impl Deref for Consortium {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

impl Default for Consortium {
    fn default() -> Self {
        Self::new()
    }
}

impl Consortium {
    /// Sets the ledger up. Its one node holds the record keys of all members.
    ///
    /// # Panics
    /// A command fails.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut parts = Vec::new();
        let mut keys = Vec::new();
        for (number, (member, role)) in ORGANISATIONS.into_iter().enumerate() {
            let key = data.join(format!("keys/record-{member}-1.pem"));
            if number == 0 {
                let arguments = ["init", "--member", member, "--role", role, "--data"];
                let _ = quittance(arguments.iter().map(Path::new).chain([&*data])).success();
                parts.push(data.join("member.toml"));
            } else {
                parts.push(member_without_node(folder.path(), (member, role), &key));
            }
            keys.push((member, key));
        }
        let (members, genesis) = Members::of_genesis(ORIGIN, parts, keys);
        fs::write(data.join("genesis.toml"), genesis).unwrap();
        Self { folder, members }
    }

    /// A temporary folder for what a test writes beside the data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder of its node.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
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

    /// Starts its node.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start(&self) -> Node {
        Node::start(&self.data())
    }

    /// Starts its node with settings.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start_with(&self, settings: &Settings) -> Node {
        Node::start_with(&self.data(), settings)
    }
}
