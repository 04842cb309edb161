"""A server of gRPC alone that gives bytes back as they came: what ours is measured beside.

`python -m tests.server.bare [CERT KEY CA]` listens on a free port, with TLS that asks for
certificates where files are given, says where, and ends with its standard input.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

METHOD = "/bare.Echo/Unary"


class Echo(grpc.GenericRpcHandler):
    """The answer to every call, whatever it is called."""

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda data, _: data)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Echo(),))
    if files := [Path(name).read_bytes() for name in sys.argv[1:]]:
        cert, key, ca = files
        asking = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", asking)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"serving on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main()
