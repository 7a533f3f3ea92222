//! The command line: what `quittance` understands, and how it ends.
//!
//! A command ends with 0 when all went well, with 1 when the answer is no (a
//! receipt that is invalid, a record that is refused, a history with a defect),
//! and with 2 when there is no answer (a file that cannot be read, a node that
//! cannot be reached, a wrong option). Results go to standard output, and to
//! nothing else; progress and errors go to standard error.

mod append;
mod audit;
mod demo;
mod documents;
mod genesis;
mod init;
mod key;
mod load;
mod member;
mod output;
mod policy;
mod private;
mod reindex;
mod run;
mod sign;
mod source;
mod status;
mod token;
mod verify;
mod views;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use quittance_api::access::Token;

use crate::{
    client::{Client, Patience},
    files,
};

/// The variable with the token to show to a node. A command line can be seen by
/// every user of a machine, so no option takes a token.
const TOKEN_VARIABLE: &str = "QUITTANCE_TOKEN";

/// A file with a token, in bytes.
const TOKEN_FILE_BYTES_MAX: usize = 4096;

/// A shared, append-only audit ledger for insurance.
///
/// Without a command, `quittance` runs a node (see `quittance run --help`).
#[derive(Debug, Parser)]
#[command(
    name = "quittance",
    bin_name = "quittance",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  quittance\n  quittance demo\n  quittance append policies.jsonl"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node, after making a single-validator ledger where there is none yet
    #[command(after_help = "Example:\n  quittance run --data quittance-data --http 127.0.0.1:8080")]
    Run(run::RunArgs),
    /// Play five real dossiers on a consortium of five nodes on this machine, and verify every receipt offline
    #[command(after_help = "Example:\n  quittance demo --keep")]
    Demo(demo::DemoArgs),
    /// Make the keys of a member's node, and its public part for a genesis
    #[command(
        after_help = "Examples:\n  quittance init --member petexpert --role insurer --data petexpert\n  \
        quittance init --member vet-1 --role provider --data vet-1 --no-validator"
    )]
    Init(init::InitArgs),
    /// Join the members' public parts into the genesis of a ledger
    #[command(
        after_help = "Example:\n  quittance genesis --origin ledger.example/quittance petexpert/member.toml vet-1/member.toml > genesis.toml\n\n\
        Then put genesis.toml into the data folder of every node."
    )]
    Genesis(genesis::GenesisArgs),
    /// Sign a record offline, for a ledger and as a member
    #[command(
        after_help = "Examples:\n  quittance sign --key keys/record-petexpert-1.pem --kid petexpert#1 --ledger ledger.example/quittance record.json > record.jws\n  \
        quittance sign --key keys/record-petexpert-1.pem --kid petexpert#1 --ledger ledger.example/quittance --document invoice=invoice.pdf --out record.jws record.json\n\n\
        The id of the record is what `sha256sum record.jws` prints. Of documents the record holds \
        salted commitments only; their salts are private fields, in record.sd-jwt, and stand in \
        record.jws.salts too."
    )]
    Sign(sign::SignArgs),
    /// Tell whether files are the documents that a record speaks of
    #[command(after_help = "Examples:\n  quittance document record.jws invoice.pdf\n  \
        quittance document record.jws invoice.pdf --salts record.sd-jwt\n\n\
        Ends with 0 when all are, unchanged, 1 when one is not, 2 when a file cannot be used.")]
    Document(documents::CheckArgs),
    /// Append records to the ledger, and keep a receipt of each beside its file
    #[command(after_help = "Examples:\n  quittance append record.jws\n  \
        quittance append policies.jsonl --api http://127.0.0.1:8080\n  \
        quittance append record.json --signer broker\n  \
        quittance append policies.jsonl --key keys/record-petexpert-1.pem --kid petexpert#1 \
        --ledger ledger.example/quittance\n\n\
        A record is a JWS, or JSON for the node or --key to sign: the record itself, or\n\
        {\"signer\": MEMBER, \"record\": {...}}. An entry of documents may be {\"kind\": KIND, \"file\": PATH}:\n\
        its commitment is computed here, and its salt kept beside the file, with the records' own.\n\n\
        Running it again is harmless: what is on the ledger already is not recorded twice.")]
    Append(append::AppendArgs),
    /// Verify receipts offline, against a trust policy
    #[command(after_help = "Example:\n  quittance verify record.tlog-proof --policy policy\n\n\
        Ends with 0 when all are valid, 1 when one is not, 2 when a file cannot be used, or\n\
        --genesis does not tell whose key signed a record: it was added later, or does not exist.")]
    Verify(verify::VerifyArgs),
    /// Verify a whole history again: every signature, id, block, rule, tree and cosignature
    #[command(after_help = "Examples:\n  quittance audit quittance-data\n  \
        quittance audit http://127.0.0.1:8080 --policy policy --since checkpoint")]
    Audit(audit::AuditArgs),
    /// Make or show keys
    #[command(
        after_help = "Examples:\n  quittance key new --out key.pem\n  quittance key show key.pem"
    )]
    Key(key::KeyArgs),
    /// List the members of a ledger, and propose or approve changes
    #[command(after_help = "Examples:\n  quittance member list\n  \
        quittance member propose add vet-3/member.toml --signer petexpert")]
    Member(member::MemberArgs),
    /// Print the trust policy of a ledger (C2SP tlog-policy)
    #[command(after_help = "Examples:\n  quittance policy quittance-data > policy\n  \
        quittance policy http://127.0.0.1:8080 --at 100\n  quittance policy genesis.toml")]
    Policy(policy::PolicyArgs),
    /// Show how a node and its ledger are
    #[command(after_help = "Example:\n  quittance status --api http://127.0.0.1:8080")]
    Status(status::StatusArgs),
    /// Make, list and revoke tokens: who may use a node's API, and for what
    #[command(
        after_help = "Examples:\n  quittance token create --scope read\n  quittance token list"
    )]
    Token(token::TokenArgs),
    /// Show the dossier of a contract, now or as of a past moment
    #[command(after_help = "Examples:\n  quittance dossier petexpert/PX-1001\n  \
        quittance dossier petexpert/PX-1001 --at 2025-09-01T15:00:00+02:00\n  \
        quittance dossier petexpert/PX-1001 --at 120 --json\n\n\
        A time or a day shows what had happened by then, as it is known today; a height shows what\n\
        the ledger held after that block. --csv prints the events.")]
    Dossier(views::DossierArgs),
    /// Show a claim: amounts, settlement, payments and deadlines
    #[command(after_help = "Example:\n  quittance claim petexpert/PX-C1 --at 2025-09-01")]
    Claim(views::ClaimArgs),
    /// Show what a payee received in a period, and what is open
    #[command(
        after_help = "Example:\n  quittance statement --payee vet-1 --from 2025-09-01 --to 2025-09-30"
    )]
    Statement(views::StatementArgs),
    /// List what people should look at: flagged, late, corrected, not done in time
    #[command(
        after_help = "Example:\n  quittance exceptions --from 2025-09-01 --to 2025-09-30 --csv"
    )]
    Exceptions(views::ExceptionsArgs),
    /// List documents that were used before for another contract or claim
    #[command(after_help = "Examples:\n  quittance duplicates\n  \
        quittance duplicates --at 2025-09-30 --csv")]
    Duplicates(views::DuplicatesArgs),
    /// Show what a node keeps that is private of a record, or erase it
    #[command(after_help = "Examples:\n  \
        quittance private 291e45d88538c4c9ea802c82193fd0cd9c9ecc9c59c3cd1ab9e9ba81de2d2c81\n  \
        quittance private 291e45d88538c4c9ea802c82193fd0cd9c9ecc9c59c3cd1ab9e9ba81de2d2c81 \
        --erase gdpr_17_1_b\n\n\
        Both take a token for the private data of the member that signed the record. An erasure\n\
        cannot be undone; the id of the record that says so is printed. Ends with 1 where the node\n\
        keeps nothing private of the record, or no longer.")]
    Private(private::PrivateArgs),
    /// Put load on a node, and measure it beside this machine's own rates
    #[command(
        after_help = "Example:\n  quittance load --api http://127.0.0.1:8080 --records 100000 --data quittance-data"
    )]
    Load(load::LoadArgs),
    /// Make everything that is derived from the blocks again, while no node runs on the folder
    #[command(after_help = "Example:\n  quittance reindex --data quittance-data")]
    Reindex(reindex::ReindexArgs),
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The answer is yes.
    Yes,
    /// The answer is no.
    No,
}

/// A command could not do what it was asked.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// There is no answer: input, options or the node cannot be used.
    fn unusable(error: impl fmt::Display) -> Self {
        Self { code: 2, message: error.to_string() }
    }

    /// The answer is no.
    fn negative(error: impl fmt::Display) -> Self {
        Self { code: 1, message: error.to_string() }
    }

    /// Nobody reads the output any more, as with `| head`: nothing to tell.
    const fn unread() -> Self {
        Self { code: 0, message: String::new() }
    }
}

/// Every typed error of this crate means that there is no answer.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::unusable(error)
    }
}

type CommandResult = Result<Outcome, Failure>;

/// Which node to talk to.
#[derive(Debug, Clone, Args)]
struct ApiArgs {
    /// The node's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    token: ShownToken,
}

impl ApiArgs {
    fn client(&self, patience: Patience) -> Result<Client, Failure> {
        self.token.client(&self.api, self.ca.as_deref(), patience)
    }
}

/// What to show to a node that asks for a token.
#[derive(Debug, Clone, Args)]
struct ShownToken {
    /// Show the token in this file to the node [default: the one in the variable QUITTANCE_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ShownToken {
    /// A client that shows it.
    fn client(&self, url: &str, ca: Option<&Path>, patience: Patience) -> Result<Client, Failure> {
        let client = Client::new(url, ca, patience)?;
        Ok(match self.read()? {
            Some(token) => client.with_token(&token)?,
            None => client,
        })
    }

    /// The token, where there is one.
    fn read(&self) -> Result<Option<Token>, Failure> {
        let (text, place) = match &self.token_file {
            Some(path) => {
                (files::read_text(path, TOKEN_FILE_BYTES_MAX)?, path.display().to_string())
            }
            None => (env::var(TOKEN_VARIABLE).unwrap_or_default(), TOKEN_VARIABLE.to_owned()),
        };
        let text = text.trim();
        if text.is_empty() && self.token_file.is_none() {
            return Ok(None);
        }
        // The error does not repeat what may be a secret.
        let token = text.parse::<Token>();
        token.map(Some).map_err(|error| Failure::unusable(format_args!("{place}: {error}")))
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Demo(args)) => demo::demo(&args),
        Some(Command::Init(args)) => init::init(args),
        Some(Command::Genesis(args)) => genesis::genesis(args),
        Some(Command::Sign(args)) => sign::sign(&args),
        Some(Command::Append(args)) => append::append(args),
        Some(Command::Verify(args)) => verify::verify(&args),
        Some(Command::Audit(args)) => audit::audit(&args),
        Some(Command::Document(args)) => documents::check(&args),
        Some(Command::Key(args)) => key::key(&args),
        Some(Command::Member(args)) => member::member(&args),
        Some(Command::Policy(args)) => policy::policy(&args),
        Some(Command::Status(args)) => status::status(&args),
        Some(Command::Token(args)) => token::token(args),
        Some(Command::Dossier(args)) => views::dossier(&args),
        Some(Command::Claim(args)) => views::claim(&args),
        Some(Command::Statement(args)) => views::statement(&args),
        Some(Command::Exceptions(args)) => views::exceptions(&args),
        Some(Command::Duplicates(args)) => views::duplicates(&args),
        Some(Command::Private(args)) => private::private(&args),
        Some(Command::Load(args)) => load::load(args),
        Some(Command::Reindex(args)) => reindex::reindex(&args),
    };
    match result {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(Failure { code, message }) => {
            if !message.is_empty() {
                output::error(&message);
            }
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::CommandFactory as _;

    use super::*;

    /// A command and those below it.
    fn all(command: &clap::Command) -> Vec<clap::Command> {
        let mut found = vec![command.clone()];
        found.extend(command.get_subcommands().flat_map(all));
        found
    }

    #[test]
    fn options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example_that_parses() {
        for command in all(&Cli::command()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing");
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name}: no example"));
            let mut examples = 0;
            for line in help.to_string().lines() {
                let Some(line) = line.strip_prefix("  quittance") else { continue };
                // What the shell takes for itself is none of clap's.
                let words = line.split_whitespace().take_while(|word| !matches!(*word, ">" | "|"));
                let parsed = Cli::try_parse_from(std::iter::once("quittance").chain(words));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                examples += 1;
            }
            assert!(examples > 0, "{name}: no example");
        }
    }

    #[test]
    fn values_have_names() {
        for command in all(&Cli::command()) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                if argument.get_action().takes_values() {
                    let names = argument.get_value_names().unwrap_or_default();
                    assert!(
                        names.first().is_some_and(|name| name != id),
                        "{} {id} needs a value name",
                        command.get_name()
                    );
                }
                assert!(
                    argument.get_help().is_some(),
                    "{} {id} needs a help text",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn no_command_is_run() {
        let cli = Cli::try_parse_from(["quittance", "--data", "x"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.data, Some(PathBuf::from("x")));
    }
}
