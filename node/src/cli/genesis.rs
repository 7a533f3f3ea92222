//! `quittance genesis`: from the members' public parts to a ledger.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use quittance_ledger::{
    limits::GENESIS_BYTES_MAX,
    membership::{
        Backdating, Disposition, Genesis, GenesisError, Member, MemberFile, MemberId, Membership,
        Origin,
    },
};

use super::{CommandResult, Failure, Outcome, output};
use crate::{
    files,
    layout::read_genesis,
    network::{NetworkError, neighbours},
};

#[derive(Debug, Args)]
pub(super) struct GenesisArgs {
    /// The ledger's name, for ever: a domain you hold and a path, such as ledger.example/quittance
    #[arg(long, value_name = "NAME", required_unless_present = "canonical")]
    origin: Option<Origin>,
    /// How old a record may be: unlimited, or a duration such as 1h
    #[arg(long, value_name = "AGE", default_value = "unlimited")]
    backdating: Backdating,
    /// Accept and list what breaks this rule, instead of refusing it; may be repeated
    #[arg(long, value_name = "RULE")]
    flag: Vec<Rule>,
    /// Print the canonical form of a genesis instead, whose SHA-256 is the ledger id
    #[arg(long, value_name = "GENESIS.TOML", conflicts_with_all = ["origin", "backdating", "flag", "members"])]
    canonical: Option<PathBuf>,
    /// The members' public parts
    #[arg(required_unless_present = "canonical", value_name = "MEMBER.TOML")]
    members: Vec<PathBuf>,
}

/// A rule that a genesis may soften.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Rule {
    ChangeOnlyAtPeriodEnd,
    DossierRed,
    NoticeTooLate,
}

pub(super) fn genesis(args: GenesisArgs) -> CommandResult {
    if let Some(path) = &args.canonical {
        output::bytes(read_genesis(path)?.canonical().as_bytes())?;
        return Ok(Outcome::Yes);
    }
    let Some(origin) = &args.origin else {
        return Err(Failure::unusable("--origin names the ledger"));
    };
    let genesis = join(&args, origin)?;
    output::bytes(genesis.to_toml()?.as_bytes())?;
    if let Some(problem) = unreachable(&genesis) {
        output::note(format!("No node will start on this ledger: {problem}"));
    }
    output::note(format!("Ledger id {}", genesis.ledger_id()));
    Ok(Outcome::Yes)
}

/// Why a node of this ledger could not reach the others.
fn unreachable(genesis: &Genesis) -> Option<NetworkError> {
    let membership = Membership::from_genesis(genesis);
    // As two of them see it: nobody counts among its own neighbours.
    // A lone validator need not be reached.
    let several = membership.validators().len() > 1;
    let mut views = membership.members().take(if several { 2 } else { 0 });
    views.find_map(|own| neighbours(&membership, &own.id).find_map(Result::err))
}

fn join(args: &GenesisArgs, origin: &Origin) -> Result<Genesis, Failure> {
    let mut members = Vec::new();
    let mut files_of: BTreeMap<MemberId, &Path> = BTreeMap::new();
    for path in &args.members {
        for member in read(path, origin)? {
            if let Some(first) = files_of.insert(member.id.clone(), path) {
                return Err(Failure::unusable(format_args!(
                    "member {} stands in {} and in {}; each member stands once",
                    member.id,
                    first.display(),
                    path.display()
                )));
            }
            members.push(member);
        }
    }
    if members.iter().all(|member| member.validator.is_none()) {
        return Err(Failure::unusable(
            "no member validates, so nobody would decide on blocks; \
             include the member.toml of one made without --no-validator",
        ));
    }
    let mut genesis = Genesis::from_members(origin.clone(), members).map_err(|error| {
        let file = match &error {
            GenesisError::Member { member, .. } => files_of.get(member),
            _ => None,
        };
        match file {
            Some(path) => Failure::unusable(format_args!("{}: {error}", path.display())),
            None => error.into(),
        }
    })?;
    genesis.backdating = args.backdating;
    for rule in &args.flag {
        let disposition = match rule {
            Rule::ChangeOnlyAtPeriodEnd => &mut genesis.rules.change_only_at_period_end,
            Rule::DossierRed => &mut genesis.rules.dossier_red,
            Rule::NoticeTooLate => &mut genesis.rules.notice_too_late,
        };
        *disposition = Disposition::Flag;
    }
    Ok(genesis)
}

/// The members of one file, with their vkeys named for the ledger.
fn read(path: &Path, origin: &Origin) -> Result<Vec<Member>, Failure> {
    let text = files::read_text(path, GENESIS_BYTES_MAX)?;
    let wrong = |error: GenesisError| {
        let error = error.to_string();
        Failure::unusable(format_args!("{}: {}", path.display(), error.trim_end()))
    };
    let entries = MemberFile::from_toml(&text).map_err(wrong)?.member;
    entries
        .into_iter()
        .map(|entry| entry.named_for(origin)?.into_member())
        .collect::<Result<_, _>>()
        .map_err(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::Parser as _;

    use super::{super::Cli, *};
    use crate::{cli, layout::DataFolder};

    fn init(root: &Path, member: &str, role: &str, more: &[&str]) -> PathBuf {
        let data = root.join(member);
        let line = ["quittance", "init", "--member", member, "--role", role, "--data"];
        let line = line.iter().copied().chain([data.to_str().unwrap()]).chain(more.iter().copied());
        let Some(cli::Command::Init(args)) = Cli::try_parse_from(line).unwrap().command else {
            panic!("init");
        };
        cli::init::init(args).unwrap();
        data.join("member.toml")
    }

    fn origin() -> Origin {
        "ledger.example/q".parse().unwrap()
    }

    fn args(members: Vec<PathBuf>) -> GenesisArgs {
        GenesisArgs {
            origin: Some(origin()),
            canonical: None,
            backdating: Backdating::Unlimited,
            flag: vec![Rule::DossierRed],
            members,
        }
    }

    #[test]
    fn what_init_makes_becomes_a_genesis_that_its_nodes_accept() {
        let root = tempfile::tempdir().unwrap();
        let validator = init(
            root.path(),
            "petexpert",
            "insurer",
            &[
                "--engine-address",
                "/ip4/127.0.0.1/tcp/27000",
                "--gossip-address",
                "/ip4/127.0.0.1/tcp/27001",
            ],
        );
        let observer = init(root.path(), "vet-1", "provider", &["--no-validator"]);
        let genesis = join(&args(vec![validator, observer]), &origin()).unwrap();
        assert_eq!(genesis.rules.dossier_red, Disposition::Flag);
        let genesis = Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap();
        let membership = Membership::from_genesis(&genesis);
        for member in ["petexpert", "vet-1"] {
            let keys = DataFolder::new(root.path().join(member)).keys().unwrap();
            keys.check(&membership).unwrap();
        }
        let validators: Vec<_> = membership.validators().iter().collect();
        assert_eq!(validators.len(), 1);
        assert_eq!(validators[0].log.name(), "ledger.example/q");
        assert_eq!(validators[0].cosigner.name(), "ledger.example/q/petexpert");
        assert!(validators[0].peer.as_ref().unwrap().starts_with("12D3Koo"));
        assert_eq!(validators[0].engine_address.as_deref(), Some("/ip4/127.0.0.1/tcp/27000"));
    }

    #[test]
    fn a_genesis_without_validators_or_with_a_member_twice_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let observer = init(root.path(), "vet-1", "provider", &["--no-validator"]);
        let error = join(&args(vec![observer.clone()]), &origin()).unwrap_err().message;
        assert!(error.contains("no member validates"), "{error}");
        let validator = init(root.path(), "a", "insurer", &[]);
        let error = join(&args(vec![validator, observer.clone(), observer]), &origin())
            .unwrap_err()
            .message;
        assert!(error.contains("vet-1 stands in"), "{error}");
    }

    #[test]
    fn errors_name_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("wrong.toml");
        for text in [
            "[[member]]\nid = \"A\"",
            "nothing",
            "[[member]]\nid='a'\nrole='insurer'\nkeys=[{id='1',alg='Ed25519',public='x'}]",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = join(&args(vec![path.clone()]), &origin()).unwrap_err().message;
            assert!(error.contains("wrong.toml"), "{error}");
        }
        let error =
            join(&args(vec![root.path().join("absent.toml")]), &origin()).unwrap_err().message;
        assert!(error.contains("absent.toml"), "{error}");
    }

    #[test]
    fn init_never_overwrites() {
        let root = tempfile::tempdir().unwrap();
        let member = init(root.path(), "a", "insurer", &[]);
        let before = std::fs::read(&member).unwrap();
        let data = root.path().join("a");
        let line = ["quittance", "init", "--member", "a", "--role", "insurer", "--data"];
        let line = line.into_iter().chain([data.to_str().unwrap()]);
        let Some(cli::Command::Init(args)) = Cli::try_parse_from(line).unwrap().command else {
            panic!("init");
        };
        let error = cli::init::init(args).unwrap_err();
        assert!(error.message.contains("is there already"), "{}", error.message);
        assert_eq!(std::fs::read(&member).unwrap(), before);
    }
}
