#!/usr/bin/env bash
# Runs the image as its own non-root user and asks it something from outside: its health, then a compiled function and a
# shared variable. Looks whether it would work with a read-only root. Ends it with SIGTERM and wants a clean exit. With chroot isolation the container shares this machine's
# network, so it listens on loopback here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need buildah pgrep

bin=$root/.venv/bin
port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
target=127.0.0.1:$port

container=$(buildah from --pull-never "$image")
server=
finish() {
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    buildah rm "$container" >/dev/null
}
trap finish EXIT

buildah run --isolation chroot --network host "$container" -- exprd serve --listen "$target" >"$work/serve.log" 2>&1 &
run=$!
"$bin/python" "$root/container/ask.py" "$target" || { cat "$work/serve.log" >&2; exit 1; }
"$bin/exprd" health "$target"

user=$(buildah inspect --format '{{.OCIv1.Config.User}}' "$container" | cut -d: -f1)
server=$(pgrep --uid "$user" --full "^[^ ]*python.* serve --listen $target")
echo "the server runs as user $(stat --format %u "/proc/$server")"

buildah run --isolation chroot --network host "$container" -- exprd doctor --listen 127.0.0.1:0

# What a read-only root would have refused: files of the server's user anywhere but in /tmp.
mount=$(buildah mount "$container")
written=$(find "$mount" -xdev -uid "$user" -not -path "$mount/tmp" -not -path "$mount/tmp/*" -print)
buildah umount "$container" >/dev/null
if [[ -n $written ]]; then
    echo "the server wrote outside of /tmp, so it would not run with a read-only root:" "$written" >&2
    exit 1
fi
echo "nothing was written outside of /tmp"

kill -TERM "$server"
wait "$run"
server=
echo "stopped cleanly"
