"""What `docker run` would make of the image: an OCI bundle with a read-only root, for crun.

    python bundle.py [--mount SOURCE:PLACE[:ro]]... [--env NAME=VALUE]...
        IMAGE.json ROOTFS FOLDER [-- COMMAND...]

IMAGE.json is what `buildah inspect` says of the image; its user, environment and entry point are
kept. The process has no capability and cannot get any; /tmp is memory; the network is that of the
machine. COMMAND stands for the image's own, as it would after the image's name.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FILES = 4096
SYSTEM: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "mode=755", "size=64k"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=256m"],
    },
    {
        "destination": "/tmp",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=1777", "size=512m"],
    },
]


def bundle(image: dict[str, Any], rootfs: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The configuration of the container (OCI runtime specification 1.0)."""
    config = image["OCIv1"]["config"]
    uid, _, gid = config["User"].partition(":")
    command = options.command or config.get("Cmd", [])
    return {
        "ociVersion": "1.0.0",
        "process": {
            "terminal": False,
            "user": {"uid": int(uid), "gid": int(gid)},
            "args": [*config["Entrypoint"], *command],
            "env": [*config["Env"], *options.env],
            "cwd": config.get("WorkingDir") or "/",
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": FILES, "soft": FILES}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(rootfs), "readonly": True},
        "mounts": SYSTEM + [_bind(text) for text in options.mount],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/sys", "/proc/irq", "/proc/bus"],
        },
    }


def _bind(text: str) -> dict[str, Any]:
    source, place, *rest = text.split(":")
    options = ["rbind", "nosuid", "nodev", "ro" if rest == ["ro"] else "rw"]
    return {"destination": place, "type": "bind", "source": source, "options": options}


def main() -> None:
    """Writes config.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("rootfs", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mount", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    image = json.loads(options.image.read_text(encoding="utf-8"))
    options.folder.mkdir(parents=True, exist_ok=True)
    config = bundle(image, options.rootfs, options)
    (options.folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
