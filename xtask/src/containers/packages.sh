#!/bin/sh
# In a container that has nothing but a minimal system: installs the packages in /packages, looks whether all that they bring works, and
# removes them again.
set -eu
fail() { echo "packages: $1" >&2; exit 1; }

dpkg --install /packages/*.deb
muster --version | grep -q "^muster "
muster-agent --version | grep -q "^muster-agent "
muster-keeper --help > /dev/null
bash -c '. /usr/share/bash-completion/completions/muster && complete -p muster' > /dev/null || fail "completions do not load"
zcat /usr/share/man/man1/muster-machine-list.1.gz | grep -q "muster" || fail "a page of the manual is missing"
grep -q "^ExecStart=/usr/bin/muster-agent$" /usr/lib/systemd/system/muster-agent.service || fail "the unit is missing"
files=$(dpkg --listfiles muster muster-agent | sort -u)

# The agent runs as it is installed, with its settings, its state where the unit has it, and the keeper beside it.
said=$(. /etc/muster/agent.env && MUSTER_INSECURE_LOCAL=true MUSTER_NATS=nats://127.0.0.1:1 timeout 5 muster-agent --machine packaged 2>&1 || true)
[ -d /var/lib/muster/agent/work ] || fail "the agent did not start: $said"

echo "# changed" >> /etc/muster/agent.env
dpkg --remove muster muster-agent
[ -e /etc/muster/agent.env ] || fail "settings are gone although the package was only removed"
[ -d /var/lib/muster/agent ] || fail "the agent's state is gone although the package was only removed"
dpkg --purge muster muster-agent
[ ! -e /var/lib/muster ] || fail "the agent's state is left"
for file in $files; do
    [ -d "$file" ] || [ ! -e "$file" ] || fail "$file is left"
done
