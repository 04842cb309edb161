#!/usr/bin/env bash
# Runs the image as its own non-root user and asks it something from outside: health, then a compiled function over the
# network. Ends the container with SIGTERM and wants a clean exit.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need buildah

python=$root/.venv/bin/python
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

container=$(buildah from --pull-never "$image")
trap 'buildah rm "$container" >/dev/null' EXIT
user=$(buildah run --isolation chroot "$container" -- id -u)
echo "user inside: $user"
[[ $user != 0 ]]

# Chroot isolation shares the network of this machine, so the container listens on loopback here.
buildah run --isolation chroot --network host "$container" -- \
    exprd serve --listen "127.0.0.1:$port" >"$work/serve.log" 2>&1 &
run=$!
trap 'kill "$run" 2>/dev/null || true; wait "$run" 2>/dev/null || true; buildah rm "$container" >/dev/null' EXIT

"$python" "$root/container/ask.py" "127.0.0.1:$port" || { cat "$work/serve.log" >&2; exit 1; }
