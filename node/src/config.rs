//! The configuration file of `quittance run --config FILE`.
//!
//! Every setting has a default, so that an empty file is a configuration too;
//! `config/node.toml` lists them all. A setting that does not exist is an
//! error: a typing error should not be taken for the default. Options of the
//! command line go before the file.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use libp2p::Multiaddr;
use quittance_api::{LimitError, Limits};
use quittance_ledger::{limits::VAULT_RECORDS_MAX, store};
use serde::Deserialize;

use crate::files::{self, FileError};

/// The largest configuration file, in bytes.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// So much of a wrong line is shown, in characters.
const LINE_CHARS_MAX: usize = 120;

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A bound in it is absurd.
    #[error("{}: {problem}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Which bound, and what it may be.
        problem: LimitError,
    },
    /// A line of it is wrong.
    #[error("{}, line {line}, `{text}`: {problem}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands in it.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// All settings of a node.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where the API listens.
    pub http: SocketAddr,
    /// Whether a proxy in front of the node does TLS. It lets the API listen on
    /// other addresses than loopback without TLS of its own, and takes neither
    /// unsigned records nor readers without a token any more, since every
    /// request then comes from loopback.
    pub behind_proxy: bool,
    /// Whether JSON without a signature is taken from this machine and signed
    /// with the record keys that the node holds, without a token.
    pub unsigned: bool,
    /// Where the ledger is read without a token.
    pub open_reading: OpenReading,
    /// The API's own certificate.
    pub tls: Option<Tls>,
    /// What is logged, and how.
    pub log: Log,
    /// How the store is opened.
    pub store: Store,
    /// How much the vault holds.
    pub vault: Vault,
    /// Where the node listens for other nodes.
    pub network: Network,
    /// The bounds of the API.
    pub limits: Limits,
    /// Whether the ledger is to be fetched again from the other nodes: an
    /// option of the command line, no setting.
    #[serde(skip)]
    pub resync: bool,
}

/// Where the ledger is read without a token: `"loopback"`, `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum OpenReading {
    /// Where the API listens on a loopback address and no proxy passes on what
    /// comes from elsewhere.
    Loopback,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// A text is no setting of [`OpenReading`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading is open on \"loopback\", always (true) or never (false)")]
pub struct NotOpenReading;

impl FromStr for OpenReading {
    type Err = NotOpenReading;

    fn from_str(text: &str) -> Result<Self, NotOpenReading> {
        match text {
            "loopback" => Ok(Self::Loopback),
            "true" => Ok(Self::Always),
            "false" => Ok(Self::Never),
            _ => Err(NotOpenReading),
        }
    }
}

impl TryFrom<toml::Value> for OpenReading {
    type Error = NotOpenReading;

    fn try_from(value: toml::Value) -> Result<Self, NotOpenReading> {
        match value {
            toml::Value::Boolean(true) => Ok(Self::Always),
            toml::Value::Boolean(false) => Ok(Self::Never),
            toml::Value::String(text) if text == "loopback" => Ok(Self::Loopback),
            _ => Err(NotOpenReading),
        }
    }
}

/// Certificate and key of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub cert: PathBuf,
    /// Its secret key, in PEM.
    pub key: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,quittance_node=debug`. The variable RUST_LOG goes before it.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// A JSON object a line.
    Json,
}

/// How the store is opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The page cache of the index, in bytes.
    pub cache_bytes: u64,
}

/// How much the vault holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vault {
    /// Records with private fields, those that were erased included. Beyond, no
    /// private fields of more records are taken.
    pub records_max: usize,
}

impl Default for Vault {
    fn default() -> Self {
        Self { records_max: VAULT_RECORDS_MAX }
    }
}

/// Where the node listens for other nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Where the consensus engine listens; where it is left out, at the address
    /// that the ledger's members know.
    pub engine_listen: Option<Multiaddr>,
    /// Where the record gossip listens; as above.
    pub gossip_listen: Option<Multiaddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("quittance-data"),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            behind_proxy: false,
            unsigned: true,
            open_reading: OpenReading::Loopback,
            tls: None,
            log: Log::default(),
            store: Store::default(),
            vault: Vault::default(),
            network: Network::default(),
            limits: Limits::default(),
            resync: false,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Human }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_bytes: store::Options::default().cache_bytes }
    }
}

impl Config {
    /// Reads a configuration file; without one, the defaults.
    ///
    /// # Errors
    /// It cannot be read, or holds what is no setting.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = files::read_text(path, CONFIG_BYTES_MAX)?;
        let config: Self =
            toml::from_str(&text).map_err(|error| wrong_line(path, &text, &error))?;
        let limit = |problem| ConfigError::Limit { path: path.to_owned(), problem };
        config.limits.check().map_err(limit)?;
        Ok(config)
    }

    /// Whether reading needs no token where the API listens on `address`. Whom
    /// a request comes from does not matter: an address can be passed on.
    #[must_use]
    pub fn reading_is_open(&self, address: SocketAddr) -> bool {
        match self.open_reading {
            OpenReading::Loopback => address.ip().is_loopback() && !self.behind_proxy,
            OpenReading::Always => true,
            OpenReading::Never => false,
        }
    }

    /// How the store is opened.
    #[must_use]
    pub fn store_options(&self) -> store::Options {
        store::Options { cache_bytes: self.store.cache_bytes, ..store::Options::default() }
    }
}

/// Shows the line that an error is about: the error itself may name neither the
/// setting nor its value.
fn wrong_line(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let lines_before = before.matches('\n').count();
    let line = text.lines().nth(lines_before).unwrap_or_default().trim();
    ConfigError::Toml {
        path: path.to_owned(),
        line: lines_before.saturating_add(1),
        text: line.chars().take(LINE_CHARS_MAX).collect(),
        problem: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const DOCUMENTED: &str = include_str!("../../config/node.toml");

    #[test]
    fn the_documented_file_is_the_defaults() {
        let config: Config = toml::from_str(DOCUMENTED).unwrap();
        assert_eq!(config, Config::default());
    }

    /// The settings that a table knows: the error about an unknown one lists them.
    fn known(table: &str) -> Vec<String> {
        let text = format!("{table}\nno_such_setting = 1");
        let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
        let list = error.split_once("expected").unwrap().1;
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_setting_is_documented() {
        let documented: toml::Table = uncommented().parse().unwrap();
        let compare = |name: &str, table: &toml::Table, mut known: Vec<String>| {
            let mut names: Vec<_> = table.keys().cloned().collect();
            names.sort();
            known.sort();
            assert_eq!(names, known, "{name}");
        };
        compare("the file", &documented, known(""));
        for table in ["tls", "log", "store", "vault", "limits"] {
            let settings = documented[table].as_table().unwrap();
            compare(table, settings, known(&format!("[{table}]")));
        }
    }

    /// The documented file with what it leaves out by default.
    fn uncommented() -> String {
        DOCUMENTED
            .lines()
            .map(|line| {
                if line.starts_with("#[") || line.contains(".pem\"") {
                    line.trim_start_matches('#')
                } else {
                    line
                }
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn settings_that_are_commented_out_in_the_documented_file_work() {
        let config: Config = toml::from_str(&uncommented()).unwrap();
        assert_eq!(config.tls.unwrap().cert, Path::new("/etc/quittance/cert.pem"));
    }

    #[test]
    fn reading_is_open_on_loopback_alone_unless_the_setting_says_otherwise() {
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let here = ["127.0.0.1:80", "[::1]:80"];
        let beyond = ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[::ffff:127.0.0.1]:80"];
        for (text, open_here, open_beyond) in [
            ("", true, false),
            ("open_reading = \"loopback\"", true, false),
            ("behind_proxy = true", false, false),
            ("open_reading = true\nbehind_proxy = true", true, true),
            ("open_reading = true", true, true),
            ("open_reading = false", false, false),
        ] {
            for (addresses, open) in [(&here[..], open_here), (&beyond[..], open_beyond)] {
                for address in addresses {
                    let address = address.parse().unwrap();
                    assert_eq!(config(text).reading_is_open(address), open, "{text} {address}");
                }
            }
        }
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_typing_errors_are_named() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        for (text, says) in [
            ("behind_proxi = true", "behind_proxi"),
            ("[log]\nlevle = \"info\"", "levle"),
            ("[limits]\nnothing_such = 1", "nothing_such"),
            ("http = \"localhost\"", "socket address"),
            ("[tls]\ncert = \"a.pem\"", "`key`"),
            ("open_reading = \"everywhere\"", "\"loopback\", always (true) or never (false)"),
            ("[limits]\n\nrequests_max = -1 # none", "line 3, `requests_max = -1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Config::load(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("node.toml, line"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        std::fs::write(&path, "[limits]\nrequests_max = 0").unwrap();
        let error = Config::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("node.toml: limits.requests_max is 0"), "{error}");
    }
}
