# Sourced by the scripts beside it: names, the image store of this checkout, and what has to be installed.
# Everything lies under build/container, so that `make clean` removes it.

image=localhost/exprd:dev
base=localhost/exprd-base:bookworm
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/build/container
mkdir -p "$work"

# The overlay driver, because layers are cached well on it (vfs copies every layer whole).
export CONTAINERS_STORAGE_CONF=$work/storage.conf
printf '[storage]\ndriver = "overlay"\nrunroot = "%s/run"\ngraphroot = "%s/store"\n' "$work" "$work" \
    >"$CONTAINERS_STORAGE_CONF"

need() {
    local missing=()
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if ((${#missing[@]})); then
        echo "container: ${missing[*]} missing; on Debian, as root:" \
            "apt-get install --no-install-recommends buildah crun debootstrap containers-storage" >&2
        exit 1
    fi
}
