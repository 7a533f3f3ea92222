//! `quittance token`: who may use a node's API, and for what.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use quittance_api::access::{Scope, TokenId, TokenRecord, TokenState};
use serde::Serialize;

use super::{CommandResult, Failure, Outcome, output};
use crate::{
    files,
    layout::DataFolder,
    tokens::{self, TokenError},
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and print it this once; nobody can tell it again
    #[command(
        after_help = "Examples:\n  quittance token create --data quittance-data --scope read --label dashboard\n  \
        quittance token create --scope read --scope append:broker --expires 2099-01-01 --out broker.token\n\n\
        A running node takes it up within a second. Scopes:\n  \
        read             to read the ledger\n  \
        append:MEMBER    to have JSON signed as that member, whose record key the node holds\n  \
        private:MEMBER   to handle private data of the records that member signed\n  \
        admin            to manage the node, and to read"
    )]
    Create(CreateArgs),
    /// List the tokens of a node, by their public ids
    #[command(after_help = "Example:\n  quittance token list --data quittance-data")]
    List(ListArgs),
    /// Take a token back for good; a running node refuses it within a second
    #[command(after_help = "Example:\n  quittance token revoke 0123456789ab --data quittance-data")]
    Revoke(RevokeArgs),
}

/// Whose tokens.
#[derive(Debug, Args)]
struct DataArgs {
    /// The node's data folder
    #[arg(long, value_name = "DIR", default_value = "quittance-data")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    data: DataArgs,
    /// What it is good for: read, append:MEMBER, private:MEMBER or admin; may be repeated
    #[arg(long, value_name = "SCOPE", required = true)]
    scope: Vec<Scope>,
    /// What it is for, in your words
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// From when on it is no longer good: a day, which begins in UTC, or a time (RFC 3339)
    #[arg(long, value_name = "DATE")]
    expires: Option<Expiry>,
    /// Write it to this new file, readable by its owner only, instead of to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its public id
    #[arg(value_name = "ID")]
    id: TokenId,
    #[command(flatten)]
    data: DataArgs,
}

/// A day or a time.
#[derive(Debug, Clone, Copy)]
struct Expiry(Timestamp);

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(time) = text.parse() {
            return Ok(Self(time));
        }
        // A date with a time but no offset would be read as a date alone.
        let day = if text.len() == 10 { text.parse::<Date>().ok() } else { None };
        day.and_then(|day| day.to_zoned(TimeZone::UTC).ok())
            .map(|start| Self(start.timestamp()))
            .ok_or("expected a day such as 2027-01-01, or a time such as 2027-01-01T12:00:00Z")
    }
}

/// A token as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    id: TokenId,
    label: &'a str,
    scopes: &'a [Scope],
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    state: TokenState,
}

impl<'a> Listed<'a> {
    fn of(token: &'a TokenRecord, now: Timestamp) -> Self {
        let text = |time: &Timestamp| time.to_string();
        Self {
            id: token.id(),
            label: &token.label,
            scopes: &token.scopes,
            created_at: text(&token.created_at),
            expires_at: token.expires_at.as_ref().map(text),
            revoked_at: token.revoked_at.as_ref().map(text),
            state: token.state(now),
        }
    }
}

pub(super) fn token(args: TokenArgs) -> CommandResult {
    match args.command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(args) => list(&args),
        TokenCommand::Revoke(args) => revoke(&args),
    }
}

fn create(args: CreateArgs) -> CommandResult {
    if args.out.is_none() && output::is_file_of_others() {
        return Err(Failure::unusable(
            "others could read the token in that file; --out FILE makes one that only you can read",
        ));
    }
    let folder = existing(&args.data)?;
    if let Some(path) = args.out.as_deref().filter(|path| path.exists()) {
        return Err(Failure::unusable(format_args!("{} is there already", path.display())));
    }
    for scope in &args.scope {
        check_scope(scope, &folder)?;
    }
    let expires_at = args.expires.map(|Expiry(time)| time);
    let (token, record) =
        tokens::create(&folder, args.label.unwrap_or_default(), args.scope, expires_at)?;
    let written = match &args.out {
        Some(path) => {
            let line = format!("{}\n", token.expose());
            files::create(path, line.as_bytes(), true).map_err(Failure::from)
        }
        None => output::line(token.expose()),
    };
    if let Err(failure) = written {
        // A token that nobody has got is none.
        tokens::revoke(&folder, &record.id())?;
        return Err(failure);
    }
    let until = record.expires_at.map_or_else(String::new, |time| format!(" until {time}"));
    output::note(format!(
        "Token {} is good for {}{until}. It is not kept, only its hash is: it cannot be shown again.\n\
         Take it back with: quittance token revoke {} --data {}",
        record.id(),
        scopes(&record),
        record.id(),
        folder.root().display(),
    ));
    Ok(Outcome::Yes)
}

/// Refuses a scope that is good for nothing on this node, and tells of one that
/// may be a mistake.
fn check_scope(scope: &Scope, folder: &DataFolder) -> Result<(), Failure> {
    match scope {
        Scope::Append(member) if !folder.keys()?.record.contains_key(member) => {
            Err(Failure::unusable(format_args!(
                "this node holds no record key of member {member}, so it cannot sign for it; put \
                 the key into {} first",
                folder.keys_path().display()
            )))
        }
        Scope::Private(member) if folder.membership()?.member(member).is_none() => {
            output::note(format!(
                "The genesis does not list member {member}; one who joined since is fine."
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn list(args: &ListArgs) -> CommandResult {
    let folder = existing(&args.data)?;
    let (list, now) = (tokens::list(&folder)?, Timestamp::now());
    let listed: Vec<_> = list.tokens().iter().map(|token| Listed::of(token, now)).collect();
    if args.json {
        output::json(&listed)?;
        return Ok(Outcome::Yes);
    }
    let mut table = output::table(&["token", "label", "scopes", "made", "expires", "is"]);
    for (token, listed) in list.tokens().iter().zip(&listed) {
        table.add_row([
            listed.id.to_string(),
            output::printable_line(listed.label).into_owned(),
            scopes(token),
            day(token.created_at),
            token.expires_at.map_or_else(String::new, |time| time.to_string()),
            listed.state.as_str().to_owned(),
        ]);
    }
    output::line(table.to_string())?;
    Ok(Outcome::Yes)
}

fn revoke(args: &RevokeArgs) -> CommandResult {
    let folder = existing(&args.data)?;
    let revoked = tokens::revoke(&folder, &args.id).map_err(|error| match error {
        error @ TokenError::Unknown(_) => Failure::negative(error),
        error => Failure::unusable(error),
    })?;
    output::note(format!("Token {} is revoked ({}).", revoked.id(), scopes(&revoked)));
    Ok(Outcome::Yes)
}

/// The data folder, which a token does not make.
fn existing(args: &DataArgs) -> Result<DataFolder, Failure> {
    let folder = DataFolder::new(&args.data);
    if folder.genesis_path().exists() || folder.keys_path().exists() {
        return Ok(folder);
    }
    Err(Failure::unusable(format_args!(
        "{} is no data folder of a node; name one with --data",
        args.data.display()
    )))
}

fn scopes(token: &TokenRecord) -> String {
    token.scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(", ")
}

fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_expires_at_the_start_of_a_day_or_at_a_time() {
        let at = |text: &str| text.parse::<Expiry>().map(|Expiry(time)| time.to_string());
        assert_eq!(at("2027-01-01").unwrap(), "2027-01-01T00:00:00Z");
        assert_eq!(at("2027-01-01T12:00:00+02:00").unwrap(), "2027-01-01T10:00:00Z");
        for wrong in ["", "tomorrow", "2027-13-01", "2027-01-01T12:00:00", "2027-01", "20270101"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
