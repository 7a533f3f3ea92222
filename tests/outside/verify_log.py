"""Verifies a served ledger with the package aics-tlog, and with nothing of ours.

usage: verify_log.py URL LOG-VKEY WITNESS-VKEY INDEX:ID...

Fetches the checkpoint and verifies the log's signature and the validator's
cosignature, authenticates every tile and entry bundle against its root, and
proves that the records of these ids stand at these places.
"""

import sys

from aics_tlog import note, tiles, tree
from aics_tlog.checkpoint import WitnessPolicy, checkpoint_from_note, verify_checkpoint
from aics_tlog.remote import HttpTileReader
from aics_tlog.verified import VerifiedTileReader, audit_tiles


def main(url: str, log: str, witness: str, *records: str) -> None:
    reader = HttpTileReader(url, proxies={})
    checkpoint, signed = checkpoint_from_note(reader.read_checkpoint())
    policy = WitnessPolicy(
        quorum=1, witnesses=(note.parse_vkey(witness),), max_age_seconds=3600
    )
    result = verify_checkpoint(signed, note.parse_vkey(log), policy=policy)
    assert result.ok and result.log_ok, result.error
    assert result.cosignature_count == 1, result

    report = audit_tiles(reader, result.size, result.root)
    print(f"{report.size} entries verified in {report.tiles} tiles, {report.bundles} bundles")

    verified = VerifiedTileReader(reader, result.size, result.root)
    for record in records:
        index, identifier = record.split(":")
        leaf = bytes.fromhex(identifier)
        assert verified.entry(int(index)) == leaf, record
        proof = tiles.inclusion_proof_from_tiles(verified, int(index), result.size)
        assert tree.verify_leaf_inclusion(leaf, int(index), result.size, proof, result.root)
    print(f"{len(records)} records included")


if __name__ == "__main__":
    main(*sys.argv[1:])
