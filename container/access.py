"""Files that guard a server, for a check: an authority, a certificate for 127.0.0.1, two tokens.

    python access.py FOLDER UID

The server's files in FOLDER/server can be read by UID alone; the tokens in the clear, each of a
namespace of its own, lie in FOLDER/token-<namespace>.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path

import trustme

NAMESPACES = ("trained", "undisturbed")


def main() -> None:
    """Writes the files."""
    folder, uid = Path(sys.argv[1]), int(sys.argv[2])
    server = folder / "server"
    server.mkdir(parents=True)
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.cert_pem.write_to_path(str(server / "ca.pem"))
    (server / "server.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    (server / "server.key").write_bytes(made.private_key_pem.bytes())
    rows = []
    for namespace in NAMESPACES:
        token = secrets.token_urlsafe(32)
        (folder / f"token-{namespace}").write_text(token, encoding="utf-8")
        digest = hashlib.sha256(token.encode()).hexdigest()
        rows.append(f'[[token]]\nsha256 = "{digest}"\nnamespace = "{namespace}"\n')
    (server / "tokens.toml").write_text("\n".join(rows), encoding="utf-8")
    for path in (*server.iterdir(), server):
        path.chmod(0o500 if path.is_dir() else 0o400)
        os.chown(path, uid, uid)


if __name__ == "__main__":
    main()
