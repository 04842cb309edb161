#!/usr/bin/env bash
# Runs the image as an operator would: user of the image, read-only root, no capabilities, certificate and tokens mounted,
# state on a volume. A client outside trains with a token; the server is killed with SIGKILL, started again on its volume, and
# the client finds state, versions and its published function. It ends with SIGTERM and status 0.
# The container shares this machine's network, so it listens on loopback here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need buildah crun unshare

bin=$root/.venv/bin
check=$work/check
volume=$check/volume
access=$check/access
name=exprd-check-$$
port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
target=127.0.0.1:$port
serve=(serve --listen "$target" --state /var/lib/exprd --tokens /etc/exprd/tokens.toml
    --tls-cert /etc/exprd/server.pem --tls-key /etc/exprd/server.key)

# In a mount namespace of its own, because crun refuses a machine that has both kinds of control groups.
runtime() {
    unshare -m bash -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager=disabled "$@"' crun "$@"
}

# What `docker run --read-only --tmpfs /tmp --cap-drop ALL -v … IMAGE COMMAND` would run, until it ends.
container() {
    local id=$1
    shift
    "$bin/python" "$root/container/bundle.py" \
        --mount "$volume:/var/lib/exprd" --mount "$access/server:/etc/exprd:ro" \
        --env EXPRD_TARGET="$target" --env EXPRD_TLS_CA=/etc/exprd/ca.pem \
        "$check/image.json" "$mounted" "$check/$id" -- "$@"
    runtime run --bundle "$check/$id" "$id"
}

# Returns with the first line that the server prints, which says that it can be called.
start() {
    rm -f "$check/out"
    mkfifo "$check/out"
    container "$name" "${serve[@]}" >"$check/out" 2>>"$check/serve.log" &
    run=$!
    exec 3<"$check/out"
    read -r <&3 || { cat "$check/serve.log" >&2; exit 1; }
}

inside() {
    runtime exec --user "$user:$user" "$name" "$@"
}

ask() {
    "$bin/python" "$root/container/ask.py" "$1" "$target" "$access"
}

finish() {
    runtime delete --force "$name" >/dev/null 2>&1 || true
    buildah rm "$made" >/dev/null
}

rm -rf "$check"
mkdir -p "$check" "$volume"
buildah inspect --type image "$image" >"$check/image.json"
user=$("$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["OCIv1"]["config"]["User"].partition(":")[0])' \
    <"$check/image.json")
chown "$user:$user" "$volume"
"$bin/python" "$root/container/access.py" "$access" "$user"
made=$(buildah from --pull-never "$image")
trap finish EXIT
mounted=$(buildah mount "$made")

size=$(du -sm "$mounted" | cut -f1)
echo "image $image: $size MB unpacked, user $user"
echo "doctor:"
container "$name-doctor" doctor "${serve[@]:1}" | sed 's/^/  /'

start
echo "serving over TLS, with tokens, root read-only, no capabilities:"
pid=$(runtime state "$name" | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
capabilities=$(awk '/^CapEff/ {print $2}' "/proc/$pid/status")
[[ $capabilities == 0000000000000000 ]]
refusal=$( (inside python3 -c 'open("/opt/x", "w")' 2>&1 || true) | grep -o "Read-only file system")
echo "  user $(stat --format %u "/proc/$pid"), capabilities $capabilities, $refusal"
mapfile -t health < <("$bin/python" -c 'import json, sys
for word in json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"][1:]: print(word)' <"$check/image.json")
told=$(inside "${health[@]}")
echo "  ${health[*]}: $told"
echo "from outside:"
ask refused
ask train

runtime kill "$name" KILL
wait "$run" || echo "killed: status $?"
runtime delete --force "$name" 2>/dev/null || true
begun=${EPOCHREALTIME/./}
start
restart=$(((${EPOCHREALTIME/./} - begun) / 1000))
echo "started again on its volume, in $restart ms:"
ask again

runtime kill "$name" TERM
wait "$run"
echo "SIGTERM: status $?"

# For the table of reliability, as the tests do it.
if [[ -n ${EXPRD_FIGURES:-} ]]; then
    printf '{"area": "container", "test": "container/check.sh", "soak": false, "date": "%s", "numbers": %s}\n' \
        "$(date -u +%F)" "{\"image_mb\": $size, \"restart_ms\": $restart, \"lost\": 0}" >>"$EXPRD_FIGURES"
fi
