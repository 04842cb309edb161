#!/usr/bin/env bash
# Builds the server's image with buildah, without a container engine. BASE_IMAGE=python:3.11-slim-bookworm takes the
# official base where a registry can be reached; otherwise base.sh makes one from Debian's packages.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need buildah

if [[ -z ${BASE_IMAGE:-} ]]; then
    "$root/container/base.sh"
    BASE_IMAGE=$base
    pull=--pull-never
fi

# This machine's way to the package index goes in as build secrets, so that nothing of it stays in the image:
# a pip configuration, and the certificates this machine trusts.
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
{
    printf '[global]\n'
    index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
    [[ -z $index ]] || printf 'index-url = %s\n' "$index"
    printf 'cert = /run/ca.crt\n'
} >"$work/pip.conf"
trap 'rm -f "$work/pip.conf"' EXIT

buildah bud --isolation chroot --layers --format docker ${pull:-} --quiet \
    --secret id=pipconf,src="$work/pip.conf" --secret id=ca,src="$certificates" \
    --build-arg BASE_IMAGE="$BASE_IMAGE" --tag "$image" "$root"
