//! A ledger of the eleven organisations of the sample dossiers.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ed25519_dalek::{SigningKey, pkcs8::DecodePrivateKey as _};
use quittance_ledger::{
    membership::{Genesis, Membership},
    record,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Node, Settings, Signed, quittance};

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
    membership: Membership,
    keys: BTreeMap<String, SigningKey>,
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
        let mut keys = BTreeMap::new();
        for (number, (member, role)) in ORGANISATIONS.into_iter().enumerate() {
            let key = data.join(format!("keys/record-{member}-1.pem"));
            if number == 0 {
                let arguments = ["init", "--member", member, "--role", role, "--data"];
                let _ = quittance(arguments.iter().map(Path::new).chain([&*data])).success();
                parts.push(data.join("member.toml"));
            } else {
                let made =
                    quittance([Path::new("key"), Path::new("new"), Path::new("--out"), &key]);
                let public = made.success().text().trim().to_owned();
                let part = folder.path().join(format!("{member}.toml"));
                let text = format!(
                    "[[member]]\nid = \"{member}\"\nname = \"{member}\"\nrole = \"{role}\"\n\
                     keys = [{{ id = \"1\", alg = \"Ed25519\", public = \"{public}\" }}]\n"
                );
                fs::write(&part, text).unwrap();
                parts.push(part);
            }
            let pem = fs::read_to_string(&key).unwrap();
            keys.insert(member.to_owned(), SigningKey::from_pkcs8_pem(&pem).unwrap());
        }
        let arguments = ["genesis", "--origin", ORIGIN].map(PathBuf::from);
        let genesis = quittance(arguments.into_iter().chain(parts)).success();
        fs::write(data.join("genesis.toml"), &genesis.stdout).unwrap();
        let membership = Membership::from_genesis(&Genesis::from_toml(genesis.text()).unwrap());
        Self { folder, membership, keys }
    }

    /// A temporary folder for what a test writes beside the data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder of its node.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Who is on the ledger.
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        self.membership.origin().as_str()
    }

    /// The record key of a member.
    ///
    /// # Panics
    /// There is no such member.
    pub fn key(&self, member: &str) -> &SigningKey {
        &self.keys[member]
    }

    /// The trust policy in a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn policy_file(&self) -> PathBuf {
        let path = self.folder.path().join("policy");
        fs::write(&path, self.membership.policy().to_bytes()).unwrap();
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

    /// Signs a record as a member.
    ///
    /// # Panics
    /// There is no such member, or what is to be signed is no record.
    #[must_use]
    pub fn sign(&self, member: &str, payload: &Value) -> Signed {
        let Value::Object(payload) = payload.clone() else { panic!("a payload is an object") };
        let envelope = record::sign(
            payload,
            self.membership.origin(),
            &member.parse().unwrap(),
            &"1".parse().unwrap(),
            self.key(member),
        )
        .unwrap_or_else(|refusal| panic!("{refusal}"));
        Signed::of(String::from_utf8(envelope.jws().to_vec()).unwrap())
    }
}
