#!/bin/sh
# Makes the data folders of a consortium on one machine: four validators and an
# observer, each with keys of its own, and the genesis that they share.
#
#   sh config/consortium/set-up.sh [FOLDER]
#
# FOLDER is quittance-consortium unless it is named; the files beside this
# script expect that one. On machines of their own, the members do the same by
# hand, each its own line (see README.md here). The program is $QUITTANCE, or
# else `quittance` from the PATH.
set -eu

folder=${1:-quittance-consortium}
quittance=${QUITTANCE:-quittance}
if [ -e "$folder" ]; then
  echo "$folder is there already; remove it, or name another folder" >&2
  exit 1
fi
mkdir -p "$folder"

# A member makes its keys where its node runs. Only member.toml leaves that
# machine: its public keys, and where the other nodes reach it.
init() {
  member=$1 role=$2 number=$3
  shift 3
  "$quittance" init --member "$member" --role "$role" --data "$folder/$member" \
    --engine-address "/ip4/127.0.0.1/tcp/2710$number" \
    --gossip-address "/ip4/127.0.0.1/tcp/2720$number" "$@"
}
init insurer insurer 1
init broker broker 2
init provider provider 3
init trust trust_service 4
init regulator regulator 5 --no-validator

# One of them joins the member.toml of all. Everybody compares the ledger id it
# prints, or the file, before starting a node on it.
"$quittance" genesis --origin ledger.example/consortium "$folder"/*/member.toml \
  > "$folder/genesis.toml"
for data in "$folder"/*/; do
  cp "$folder/genesis.toml" "$data"
done
