#!/bin/sh
# A node agent in a container that stands for a machine: two directories stand for its disks. On its first start it waits for the token
# that demo.sh gives it.
set -eu
machine=/var/lib/muster/machine
until [ -e "$machine/state/credentials" ] || [ -e "$machine/token" ]; do sleep 0.2; done
exec muster-agent --machine "$1" --state "$machine/state" --join "$machine/token" --disk "$machine/disk1" --disk "$machine/disk2" \
    --home "$machine" --crash-files "$machine/crash"
