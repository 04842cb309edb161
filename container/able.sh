#!/usr/bin/env bash
# Whether this machine can build and check the image: root, the tools, and a base image that is here, can be made of Debian's
# packages, or is named by BASE_IMAGE. Says what is missing, and ends with status 1 then.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

missing=()
[[ $(id -u) == 0 ]] || missing+=("root")
for tool in buildah crun unshare; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]} == 0)) && [[ -z ${BASE_IMAGE:-} ]] && ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    command -v debootstrap >/dev/null || missing+=("debootstrap, for want of $base or BASE_IMAGE")
fi
((${#missing[@]} == 0)) || { echo "container: missing: ${missing[*]}" >&2; exit 1; }
