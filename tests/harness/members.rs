//! Who is on a ledger, and the record keys of all of them.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use ed25519_dalek::{SigningKey, pkcs8::DecodePrivateKey as _};
use quittance_ledger::{
    membership::{Genesis, Membership},
    record,
};
use serde_json::Value;

use crate::{Signed, quittance};

/// The members of a ledger and their record keys, so that a test can sign as
/// any of them.
#[derive(Debug, Clone)]
pub struct Members {
    membership: Membership,
    keys: BTreeMap<String, SigningKey>,
}

impl Members {
    /// Joins public parts into a genesis with the program's own command, and
    /// gives it as text too.
    ///
    /// # Panics
    /// The command fails, or a key cannot be read.
    pub(crate) fn of_genesis<'a>(
        origin: &str,
        parts: Vec<PathBuf>,
        keys: impl IntoIterator<Item = (&'a str, PathBuf)>,
    ) -> (Self, String) {
        let arguments = ["genesis", "--origin", origin].map(PathBuf::from);
        let genesis = quittance(arguments.into_iter().chain(parts)).success().text().to_owned();
        let membership = Membership::from_genesis(&Genesis::from_toml(&genesis).unwrap());
        let keys = keys.into_iter().map(|(member, path)| (member.to_owned(), read_key(&path)));
        (Self { membership, keys: keys.collect() }, genesis)
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

/// Makes a record key and the public part of a member that runs no node, by
/// hand as the documentation says. Gives the part's file.
pub(crate) fn member_without_node(
    folder: &Path,
    (member, role): (&str, &str),
    key: &Path,
) -> PathBuf {
    let made = quittance([Path::new("key"), Path::new("new"), Path::new("--out"), key]);
    let public = made.success().text().trim().to_owned();
    let part = folder.join(format!("{member}.toml"));
    let text = format!(
        "[[member]]\nid = \"{member}\"\nname = \"{member}\"\nrole = \"{role}\"\n\
         keys = [{{ id = \"1\", alg = \"Ed25519\", public = \"{public}\" }}]\n"
    );
    fs::write(&part, text).unwrap();
    part
}

/// A secret key as the program writes it.
///
/// # Panics
/// The file holds none.
#[must_use]
pub fn read_key(path: &Path) -> SigningKey {
    let pem = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    SigningKey::from_pkcs8_pem(&pem).unwrap()
}
