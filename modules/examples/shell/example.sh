#!/bin/bash
# A whole test module: it checks in, measures and stops. It needs nc of OpenBSD or socat; a restart of its agent ends it.
if [ "$1" = describe ]; then
    cat <<'MANIFEST'
{"name": "example-shell", "version": "0.1.0", "description": "compares copies of a file: an example of a module in shell",
 "stop_grace": "5s", "artifacts": [{"architecture": "any", "path": "example.sh"}],
 "parameters": [{"name": "blocks", "type": "integer", "default": "64", "minimum": "1", "maximum": "65536",
                 "help": "blocks of 4 KiB of the file"}]}
MANIFEST
    exit 0
fi
if command -v nc >/dev/null; then
    coproc AGENT { exec nc -U "$MUSTER_SOCKET"; }
else
    coproc AGENT { exec socat - "UNIX-CONNECT:$MUSTER_SOCKET"; }
fi
# Nobody is left in its group when it has ended: nc goes on for a moment by itself.
trap 'kill "$AGENT_PID" 2>/dev/null; wait' EXIT
say() { printf '%s\n' "$1" >&"${AGENT[1]}"; }
blocks=$(sed -n 's/.*"blocks": *"\([0-9]*\)".*/\1/p' "$MUSTER_CONTEXT")
iterations=0 result=pass reason=

# One step of the test itself.
step() {
    head -c $((blocks * 4096)) /dev/urandom >original && cp original copy
    if ! cmp -s original copy; then result=fail reason='the copy differs'; fi
    iterations=$((iterations + 1))
}
totals() { printf '{"copied_bytes":%d,"copies_count":%d}' $((iterations * blocks * 4096)) "$iterations"; }
finish() { say "{\"type\":\"done\",\"status\":\"complete\",\"result\":\"$result\",\"reason\":\"$reason\",\"final\":$(totals)}"; }

say "{\"type\":\"hello\",\"protocol\":1,\"run\":$MUSTER_RUN,\"dpid\":\"$MUSTER_DPID\",\"attempt\":$MUSTER_ATTEMPT,\"pid\":$$}"
say '{"type":"ready"}'
reported=$SECONDS said=
while :; do
    # A word of the agent, or a tenth of a second for the test.
    if read -r -t 0.1 line <&"${AGENT[0]}"; then
        case $line in
        *'"type":"ping"'*)
            n=${line#*'"n":'}
            say "{\"type\":\"pong\",\"n\":${n%%[,\}]*},\"iterations\":$iterations}" ;;
        *'"type":"stop"'*) said=1; finish ;;
        *'"type":"kept"'*) [ $result = pass ]; exit ;;
        *'"type":"abort"'*) exit 2 ;;
        esac
    elif [ $? -le 128 ]; then
        exit 2 # the connection ended
    fi
    [ -n "$said" ] && continue
    step
    if [ $result = fail ]; then said=1; finish; fi
    if [ $((SECONDS - reported)) -ge 1 ]; then
        reported=$SECONDS
        say "{\"type\":\"metric\",\"device\":\"\",\"counters\":$(totals),\"gauges\":{}}"
    fi
done
