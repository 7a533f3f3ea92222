//! `quittance init`: a member's keys, and its public part.

use std::path::PathBuf;

use clap::Args;
use libp2p::{Multiaddr, multiaddr::Protocol};
use quittance_ledger::{
    membership::{Algorithm, MemberFile, MemberId, Role},
    time_zones,
};

use super::{CommandResult, Failure, Outcome, output};
use crate::{
    files,
    keys::Keys,
    layout::DataFolder,
    setup::{self, Addresses},
};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The member's id: lower-case letters, digits and . _ -
    #[arg(long, value_name = "ID")]
    member: MemberId,
    /// What the member is: insurer, broker, provider, trust_service or regulator
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The data folder to make
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// What people call the member [default: its id]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The IANA time zone in which its contracts count days, such as Europe/Rome
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    time_zone: Option<String>,
    /// Where other nodes reach the consensus engine, such as /ip4/192.0.2.1/tcp/27000
    #[arg(long, value_name = "MULTIADDR", requires = "gossip_address", value_parser = node_address)]
    engine_address: Option<Multiaddr>,
    /// Where other nodes reach the record gossip, such as /ip4/192.0.2.1/tcp/27001
    #[arg(long, value_name = "MULTIADDR", requires = "engine_address", value_parser = node_address)]
    gossip_address: Option<Multiaddr>,
    /// Only a record key and an observer's node: the member does not validate
    #[arg(long)]
    no_validator: bool,
    /// What the record key signs with: Ed25519 or ES256
    #[arg(long, value_name = "ALG", default_value_t = Algorithm::Ed25519)]
    record_alg: Algorithm,
}

fn time_zone(text: &str) -> Result<String, String> {
    match time_zones::time_zone(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("no IANA time zone; expected one such as Europe/Brussels".to_owned()),
    }
}

/// An address that other nodes can dial: names are not looked up, and the peer id
/// is added by whoever dials.
fn node_address(text: &str) -> Result<Multiaddr, String> {
    let address: Multiaddr = text.parse().map_err(|error| format!("no multiaddress: {error}"))?;
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Ip4(ip), Protocol::Tcp(1..)] if !ip.is_unspecified() => Ok(address),
        [Protocol::Ip6(ip), Protocol::Tcp(1..)] if !ip.is_unspecified() => Ok(address),
        _ => Err("expected an address that other nodes can dial, such as \
                  /ip4/192.0.2.1/tcp/27000 or /ip6/2001:db8::1/tcp/27000"
            .to_owned()),
    }
}

pub(super) fn init(args: InitArgs) -> CommandResult {
    let folder = DataFolder::new(&args.data);
    let member_path = folder.member_path();
    if member_path.exists() {
        return Err(Failure::unusable(format_args!(
            "{} is there already; choose another folder with --data",
            member_path.display()
        )));
    }
    let validates = !args.no_validator;
    let keys = Keys::create_with(&folder.keys_path(), &args.member, validates, args.record_alg)?;
    let addresses = match (args.engine_address, args.gossip_address) {
        (Some(engine), Some(gossip)) => {
            Some(Addresses { engine: engine.to_string(), gossip: gossip.to_string() })
        }
        _ => None,
    };
    let mut entry =
        setup::member_entry(args.member.clone(), args.role, &keys, validates, addresses)?;
    entry.name = args.name;
    entry.time_zone = args.time_zone;
    let text = MemberFile { member: vec![entry] }.to_toml()?;
    files::create(&member_path, text.as_bytes(), false)?;
    files::sync_folder(&args.data)?;
    output::note(format!(
        "The secret keys of {} are in {}; keep a copy in a safe place.\n\
         Hand {} to whoever makes the genesis.",
        args.member,
        folder.keys_path().display(),
        member_path.display(),
    ));
    output::note(if validates {
        format!("Put the genesis.toml you get back into {}.", args.data.display())
    } else {
        format!(
            "To run a node that observes, put the genesis.toml you get back into {}.\n\
             To sign and append through another node's API, once the ledger runs: quittance append \
             FILE --api URL --key {} --kid {}#1 --ledger ORIGIN",
            args.data.display(),
            folder.keys_path().join(format!("record-{}-1.pem", args.member)).display(),
            args.member,
        )
    });
    Ok(Outcome::Yes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_that_nobody_could_dial_are_refused() {
        for good in ["/ip4/192.0.2.1/tcp/27000", "/ip6/2001:db8::1/tcp/1"] {
            assert_eq!(node_address(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "192.0.2.1:27000",
            "/ip4/0.0.0.0/tcp/27000",
            "/ip6/::/tcp/27000",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/udp/27000",
            "/dns4/ledger.example/tcp/27000",
            "/ip4/192.0.2.1/tcp/27000/p2p/12D3KooWBmztA8jd7ai1Co1kJCMP81RnGjZ5hKh1k5f7beVhKjLx",
        ] {
            assert!(node_address(bad).is_err(), "{bad}");
        }
    }
}
