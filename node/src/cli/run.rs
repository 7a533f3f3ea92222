//! `quittance run`: a node in this process.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use quittance_ledger::membership::{MemberId, Membership};
use tracing_subscriber::{EnvFilter, fmt};

use super::{CommandResult, Failure, Outcome, output};
use crate::{
    config::{Config, ConfigError, Log, LogFormat, OpenReading, Tls},
    run::{self as node, RunError},
};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The data folder; where it is empty or absent a ledger is made in it [default: quittance-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Where the API listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Read settings from this file; options go before it (see config/node.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A proxy in front of this node does TLS; unsigned records and readers need a token then
    #[arg(long)]
    behind_proxy: bool,
    /// Take unsigned records with a token only, from this machine too
    #[arg(long)]
    no_unsigned: bool,
    /// Where the ledger is read without a token: loopback, true or false [default: loopback]
    #[arg(long, value_name = "WHERE")]
    open_reading: Option<OpenReading>,
    /// Serve TLS with this certificate chain
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's secret key
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How log lines look [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Fetch the ledger again from the other nodes: after damage, or onto an empty
    /// disk. Keys, the log of votes and records that wait are kept
    #[arg(long)]
    resync: bool,
    /// Stop when standard input closes: for a program that starts nodes
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
    /// Print no greeting
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: RunArgs) -> CommandResult {
    let (quiet, stop_with_stdin) = (args.quiet, args.stop_with_stdin);
    let config = configured(args)?;
    start_logging(&config.log)?;
    let tls = config.tls.is_some();
    let mut greeted = Ok(());
    node::run(&config, |node| {
        if stop_with_stdin && let Some(stop) = node.take_stop() {
            std::thread::spawn(move || {
                // Until it closes, or cannot be read, which is the same here.
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                let _ = stop.send(());
            });
        }
        if !quiet {
            let text = greeting(
                node.membership(),
                node.held_members(),
                &config.data,
                node.address(),
                tls,
                config.unsigned && !config.behind_proxy,
                config.reading_is_open(node.address()),
            );
            greeted = output::line(text);
        }
    })
    .map_err(|error| match error {
        RunError::Resynced => start_again(),
        error => error,
    })
    .map_err(|error| {
        if error.is_damage() {
            output::note(
                "Where the ledger has several validators, `quittance run --resync` fetches it again \
                 from the other nodes; see \"Damage\" in docs/OPERATIONS.md.",
            );
        }
        // A ledger with a defect is an answer; a wrong setting is none.
        if error.is_failure() { Failure::negative(error) } else { Failure::unusable(error) }
    })?;
    greeted?;
    Ok(Outcome::Yes)
}

/// Starts this program again in its place, as a node that votes. Comes back only
/// with what hindered it.
fn start_again() -> RunError {
    use std::os::unix::process::CommandExt as _;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--resync");
    match std::env::current_exe() {
        Ok(program) => {
            let error = std::process::Command::new(program).args(arguments).exec();
            RunError::Start(error)
        }
        Err(error) => RunError::Start(error),
    }
}

/// The settings of the file, with those of the command line before them.
fn configured(args: RunArgs) -> Result<Config, ConfigError> {
    let mut config = Config::load(args.config.as_deref())?;
    config.data = args.data.unwrap_or(config.data);
    config.http = args.http.unwrap_or(config.http);
    config.behind_proxy |= args.behind_proxy;
    config.unsigned &= !args.no_unsigned;
    config.open_reading = args.open_reading.unwrap_or(config.open_reading);
    config.resync = args.resync;
    config.log.format = args.log_format.unwrap_or(config.log.format);
    if let (Some(cert), Some(key)) = (args.tls_cert, args.tls_key) {
        config.tls = Some(Tls { cert, key });
    }
    Ok(config)
}

/// What the engine's crates log where the level does not speak of them.
const QUIET: &str = ",arc_malachitebft_app=warn,arc_malachitebft_core_consensus=warn,\
    arc_malachitebft_core_driver=warn,arc_malachitebft_discovery=off,\
    arc_malachitebft_engine=error,arc_malachitebft_network=off,arc_malachitebft_sync=error,\
    arc_malachitebft_wal=warn,libp2p_gossipsub=error";

/// Starts to log to standard error. RUST_LOG goes before the configuration.
pub(super) fn start_logging(log: &Log) -> Result<(), Failure> {
    let wrong = |level: &str, error: &dyn std::fmt::Display| {
        Failure::unusable(format_args!("the log level {level:?} cannot be used: {error}"))
    };
    let level = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| log.level.clone());
    // The engine tells every step at `info`, and every message that found no
    // peer or could not be sent as an error. Whoever names it in the level gets
    // what they ask for.
    let quiet = if level.contains("malachite") { "" } else { QUIET };
    let filter =
        EnvFilter::try_new(format!("{level}{quiet}")).map_err(|error| wrong(&level, &error))?;
    let logger = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            logger.with_target(false).with_ansi(terminal).try_init()
        }
        LogFormat::Json => logger.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| wrong(&level, &error))
}

/// What a node that has just started tells: its ledger, where to look at it, and
/// what to try first.
///
/// `held` are the members that the node signs for, which it does without a token
/// only where `takes_unsigned`; without `open_reading` readers need one too.
#[must_use]
fn greeting(
    membership: &Membership,
    held: &[MemberId],
    data: &Path,
    address: SocketAddr,
    tls: bool,
    takes_unsigned: bool,
    open_reading: bool,
) -> String {
    let url = url_of(address, tls);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\nLedger     {}\nMembers    {}, of which {} validate{}\nExplorer   {url}/\nAPI        {url}/docs\n\
         Policy     quittance policy {} > policy\n",
        membership.origin(),
        membership.members().count(),
        membership.validators().len(),
        if membership.validators().len() == 1 { "s" } else { "" },
        data.display(),
    );
    if !open_reading {
        let _ = writeln!(
            text,
            "Reading    with a token: quittance token create --data {} --scope read",
            data.display()
        );
    }
    if let Some(member) = first_signer(membership, held)
        && takes_unsigned
        && !tls
        && address.ip().is_loopback()
    {
        let _ = write!(
            text,
            "\nAppend a first record, signed by this node for member {member}:\n\n  \
             curl '{url}/v1/records?signer={member}' -H 'content-type: application/json' -H 'prefer: wait=5' \\\n    \
             -d '{}'\n",
            first_record(&member),
        );
    }
    text.push_str("\nStop with Ctrl-C.\n");
    text
}

/// The member of whom a first record makes most sense: an insurer, or anybody.
fn first_signer(membership: &Membership, held: &[MemberId]) -> Option<MemberId> {
    let insurer = held.iter().find(|id| {
        membership
            .member(id)
            .is_some_and(|member| member.role == quittance_ledger::membership::Role::Insurer)
    });
    insurer.cloned()
}

/// A small record that an insurer may sign on an empty ledger.
pub(crate) fn first_record(insurer: &MemberId) -> String {
    format!(
        r#"{{"type":"contract.issued","occurred_at":"2026-01-02T09:00:00+01:00","contract":"{insurer}/P-1","data":{{"version":1,"line_of_business":"household","period":{{"from":"2026-01-01","to":"2026-12-31"}},"premium":12000,"currency":"EUR","signature_required":false}}}}"#
    )
}

/// The URL of an API.
pub(super) fn url_of(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser as _;

    use quittance_ledger::record::{Record, sign};

    use super::*;
    use crate::{json, setup};

    #[test]
    fn the_first_record_that_a_new_node_suggests_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let (membership, keys) = (folder.membership().unwrap(), folder.keys().unwrap());
        let held: Vec<_> = keys.record.keys().cloned().collect();
        let insurer = first_signer(&membership, &held).unwrap();
        let record = json::object(&first_record(&insurer)).unwrap();
        let (id, key) = &keys.record[&insurer];
        let signed = sign(record, membership.origin(), &insurer, id, key).unwrap();
        Record::open(signed.jws().clone(), &membership).unwrap();
    }

    #[test]
    fn the_greeting_names_ledger_explorer_and_a_first_step() {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let membership = folder.membership().unwrap();
        let held: Vec<_> = folder.keys().unwrap().record.into_keys().collect();
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = greeting(&membership, &held, root.path(), address, false, true, true);
        for part in [
            membership.origin().as_str(),
            "http://127.0.0.1:8080/",
            "quittance policy",
            "curl 'http://127.0.0.1:8080/v1/records?signer=insurer'",
        ] {
            assert!(text.contains(part), "{text}");
        }
        // No suggestion that would fail.
        let behind_proxy = greeting(&membership, &held, root.path(), address, false, false, false);
        assert!(!behind_proxy.contains("curl") && behind_proxy.contains("quittance token create"));
        let holds_nothing = greeting(&membership, &[], root.path(), address, false, true, true);
        assert!(!holds_nothing.contains("curl") && !holds_nothing.contains("token"));
    }

    #[test]
    fn options_go_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, "data = \"a\"\nhttp = \"127.0.0.1:1\"\n[log]\nformat = \"json\"")
            .unwrap();
        let line = ["quittance", "--config", path.to_str().unwrap(), "--http", "127.0.0.1:2"];
        let configure =
            |line: &[&str]| configured(super::super::Cli::try_parse_from(line).unwrap().run);
        let config = configure(&line).unwrap();
        assert_eq!(config.data, Path::new("a"));
        assert_eq!(config.http.port(), 2);
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(config.unsigned);
        assert!(!configure(&["quittance", "--no-unsigned"]).unwrap().unsigned);
        let open = configure(&["quittance", "--open-reading", "true"]).unwrap().open_reading;
        assert_eq!(open, OpenReading::Always);
    }
}
