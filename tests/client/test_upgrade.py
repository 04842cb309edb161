"""Clients and servers of different versions: what the other does not know is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import exprd
import exprd.tensor as T
import exprd_proto as wire
from exprd import function, shared
from exprd.errors import UnsupportedVersion
from exprd_proto.features import FEATURES
from exprd_proto.framing import text_field

# Fields of a later version: 500 is bytes, 501 an integer, 502 a double.
UNKNOWN = b"\xa2\x1f\x05later" + b"\xa8\x1f\x07" + b"\xb1\x1f" + b"\x00" * 8


class Later(grpc.GenericRpcHandler):
    """A wire on which every message has fields that its receiver does not know."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self.messages = 0

    def service(self, details):
        call = self.channel.stream_stream(details.method)

        def forward(requests, context):
            del context
            for reply in call(map(self.grown, requests)):
                yield self.grown(reply)

        return grpc.stream_stream_rpc_method_handler(forward)

    def grown(self, message: bytes) -> bytes:
        self.messages += 1
        return message + UNKNOWN


def served(handler: grpc.GenericRpcHandler) -> Iterator[str]:
    """The target of a handler."""
    place = grpc.server(ThreadPoolExecutor(16), handlers=(handler,))
    port = place.add_insecure_port("127.0.0.1:0")
    place.start()
    yield f"127.0.0.1:{port}"
    place.stop(None).wait()


@pytest.fixture
def later(server: str) -> Iterator[tuple[str, Later]]:
    """The server of the tests, spoken to and speaking in a later version."""
    handler = Later(server)
    for target in served(handler):
        yield target, handler
    handler.channel.close()


def test_fields_of_a_later_version_are_passed_over(later, figure) -> None:
    """By both sides, in every message of a program that uses most of the protocol."""
    target, handler = later
    with exprd.connect(target):
        x, w = T.dvector("x"), shared(np.zeros(3), "w")
        add = function([x], w.sum(), updates=[(w, w + x)])
        assert add(np.ones(3)) == 0
        assert [float(f.result()) for f in [add.submit(np.ones(3)) for _ in range(3)]] == [3, 6, 9]
        assert [float(v) for v in add.batch([(np.ones(3),)] * 2)] == [12, 15]
        steps: list[int] = []
        add.repeat(3, np.ones(3), on_progress=lambda progress: steps.append(progress.step))
        assert steps == [1, 2, 3]
        large = exprd.put(np.arange(400_000.0))
        assert function([x], x.sum())(large) == np.arange(400_000.0).sum()
        assert large.get()[-1] == 399_999
        w.set_value(np.ones(3))
        (value,) = exprd.read([w])
        assert (value.tolist(), w.version) == ([1, 1, 1], 11)
        exprd.publish("later", add)
        assert exprd.lookup("later")(np.ones(3)) == 3
    assert handler.messages > 40
    figure("upgrade", messages_with_unknown_fields=handler.messages)


class Older(Later):
    """A wire to a server that tells of no features, since it is older than they are."""

    def grown(self, message: bytes) -> bytes:
        for feature in FEATURES:
            message = message.replace(text_field(32, feature), b"")
        return message


def test_what_an_older_server_would_pass_over_is_refused(server: str) -> None:
    handler = Older(server)
    for target in served(handler):
        with exprd.connect(target):
            x, w = T.dvector("x"), shared(np.zeros(3), "w")
            with pytest.raises(UnsupportedVersion, match=r"older than this client.*durability"):
                function([x], updates=[(w, w + x)], durability="off")
            add = function([x], updates=[(w, w + x)])
            with pytest.raises(UnsupportedVersion, match="commit") as caught:
                add.repeat(2, np.ones(3), commit="once")
            assert "upgrade the server" in caught.value.hint
            add.repeat(2, np.ones(3))
            assert w.get_value().tolist() == [2, 2, 2]
    handler.channel.close()


class Newer(grpc.GenericRpcHandler):
    """A server that no longer speaks the protocol of this client."""

    def service(self, details):
        def answer(request, context):
            del request, context
            return wire.GetInfoResponse(protocol_min=2, protocol_max=3).SerializeToString()

        known = details.method.endswith("/GetInfo")
        return grpc.unary_unary_rpc_method_handler(answer) if known else None


def test_a_server_of_other_protocols_is_refused_in_words() -> None:
    for target in served(Newer()):
        with pytest.raises(UnsupportedVersion, match="protocols 2 to 3, this client speaks 1"):
            exprd.connect(target).__enter__()
