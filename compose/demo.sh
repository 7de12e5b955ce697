#!/bin/sh
# Lets the four machines of the profile `demo` in, one after the other, has them take part, and brings the test modules.
set -eu
machines="node-1 node-2 node-3 node-4"

is_in() { muster admin identities --output csv | grep -q "^agent/$1,"; }
are_up() { [ "$(muster machine list --output csv | grep -c '^node-[1-4],up,')" = 4 ]; }

for machine in $machines; do
    is_in "$machine" || muster admin enroll "$machine" --token "/nodes/$machine/token" --valid 2m --yes
done
patience=120
until are_up; do
    patience=$((patience - 1))
    [ "$patience" -gt 0 ] || { echo "demo: the four machines are not up after two minutes: look at their logs" >&2; exit 1; }
    sleep 1
done
muster machine activate "node-*" --yes
for module in high-io command idle trivial tcp memory lock; do
    muster module add "/usr/local/share/muster/modules/$module" --artifacts /usr/local/bin
done
