//! `quittance status`: how a node and its ledger are.

use clap::Args;

use super::{ApiArgs, CommandResult, Outcome, output};
use crate::client::{Patience, Status};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print the node's own JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs) -> CommandResult {
    let client = args.api.client(Patience::NONE)?;
    if args.json {
        output::json(&client.status_json()?)?;
    } else {
        let mut table = output::table(&[]);
        for (name, value) in rows(&client.status()?) {
            table.add_row([name.to_owned(), output::printable_line(&value).into_owned()]);
        }
        output::line(table.to_string())?;
    }
    Ok(Outcome::Yes)
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let Status { ledger, node, head, pending, members, validators, quorum, peers, alerts } = status;
    let member = match (&node.member, node.validator) {
        (Some(member), true) => format!("{member}, validating"),
        (Some(member), false) => format!("{member}, observing"),
        (None, _) => "observing".to_owned(),
    };
    let mut rows = vec![
        ("ledger", ledger.origin.clone()),
        ("ledger id", ledger.id.clone()),
        ("records", head.tree_size.to_string()),
        ("block", head.height.to_string()),
        ("block hash", head.hash.clone()),
    ];
    match &head.time {
        Some(serde_json::Value::String(time)) => rows.push(("block time", time.clone())),
        Some(serde_json::Value::Null) | None => {}
        Some(time) => rows.push(("block time", time.to_string())),
    }
    rows.push(("tree root", head.root.clone()));
    if let Some(size) = head.checkpoint_size {
        rows.push(("checkpoint", format!("covers {size} records")));
    }
    rows.push(("waiting", format!("{} records, {} bytes", pending.records, pending.bytes)));
    rows.push(("members", format!("{members}, {validators} validating, quorum {quorum}")));
    rows.push(("node", format!("{member}, release {}, up {}", node.version, up(node.uptime_s))));
    for (name, reached) in [("reaches", true), ("does not reach", false)] {
        let others: Vec<_> = peers
            .iter()
            .filter(|peer| peer.connected == reached)
            .map(|peer| peer.member.as_deref().unwrap_or("?"))
            .collect();
        if !others.is_empty() {
            rows.push((name, others.join(", ")));
        }
    }
    for alert in alerts {
        rows.push(("alert", alert.as_str().map_or_else(|| alert.to_string(), str::to_owned)));
    }
    rows
}

fn up(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_answer_of_the_contract_is_shown() {
        let status: Status = serde_json::from_str(
            r#"{"ledger":{"origin":"l.example/q","id":"00"},
                "node":{"version":"0.1.0","member":"a","validator":true,"uptime_s":90061},
                "head":{"height":0,"hash":"00","time":null,"tree_size":0,"root":"e3","checkpoint_size":0},
                "pending":{"records":1,"bytes":2},"members":4,"validators":1,"quorum":1,
                "peers":[{"member":"b","validator":true,"connected":true,"height":0},
                         {"member":"c","validator":true,"connected":false,"height":null},
                         {"member":"d","validator":false,"connected":true,"height":3}],
                "alerts":["look"]}"#,
        )
        .unwrap();
        let rows = rows(&status);
        assert!(rows.contains(&("node", "a, validating, release 0.1.0, up 1 d 1 h".to_owned())));
        assert!(rows.contains(&("reaches", "b, d".to_owned())));
        assert!(rows.contains(&("does not reach", "c".to_owned())));
        assert!(rows.contains(&("alert", "look".to_owned())));
    }
}
