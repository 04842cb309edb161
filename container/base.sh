#!/usr/bin/env bash
# Makes a base image from Debian's packages, for machines that cannot pull one. A stand-in for python:3.11-slim-bookworm
# with Debian's own Python 3.11; needs root, once. DEBIAN_MIRROR names another mirror.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need buildah debootstrap

if buildah inspect --type image "$base" >/dev/null 2>&1; then
    exit 0
fi
rootfs=$work/rootfs
rm -rf "$rootfs"
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip,libpython3.11 \
    bookworm "$rootfs" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
rm -f "$rootfs"/usr/lib/python3.11/EXTERNALLY-MANAGED
ln -sf python3 "$rootfs/usr/bin/python"

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
buildah add -q "$container" "$rootfs" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
buildah commit -q "$container" "$base" >/dev/null
rm -rf "$rootfs"
