#!/bin/sh
# The keys of a new pool, once, and everybody's own into the volume that they alone mount; the whole directory stays with who looks
# after the pool. Run again after `muster admin rotate`.
set -eu
umask 027
keys=/var/lib/muster/keys
given=/var/lib/muster/given

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# The servers read who may connect from their own volume.
ln -sf "$given/nats/authorization.conf" "$keys/authorization.conf"
[ -e "$keys/identities.toml" ] || muster admin init --keys "$keys" --administrator admin
for service in scheduler machine-lifecycle reservation telemetry-logger report; do
    cp "$keys/service-$service".* "$given/$service/"
    chmod 0600 "$given/$service"/*
done

[ -s "$given/postgres/password" ] || secret > "$given/postgres/password"
[ -s "$given/report/postgres-password" ] || secret > "$given/report/postgres-password"
chmod 0640 "$given/postgres/password" "$given/report/postgres-password"

cp /usr/local/share/muster/compose/nats/*.conf "$given/nats/"
[ -s "$keys/routes" ] || secret > "$keys/routes"
password=$(cat "$keys/routes")
cat > "$given/nats/routes.conf" <<END
authorization { user: route, password: "$password" }
routes: ["nats://route:$password@nats:6222", "nats://route:$password@nats-2:6222", "nats://route:$password@nats-3:6222"]
END
