"""Encoding: what the client sends is what the server reads, position by position."""

from __future__ import annotations

import numpy as np
import pytest

import exprd.tensor as T
from exprd.assemble import assemble, numbered
from exprd.encode import encode_bundle
from exprd.io import declared_inputs
from exprd.shared import shared
from exprd_compiler.ir.text import print_graph
from exprd_proto import GraphBundle
from exprd_server.decode import decode_bundle
from exprd_server.settings import Limits


def test_a_graph_survives_the_wire() -> None:
    x, i = T.matrix("x"), T.lvector("i")
    w = shared(np.ones((4, 3), "float32"), "w")
    row = T.row("r")
    y = T.nnet.softmax(T.dot(x[1:, ::-1], w) + row)[T.arange(i.shape[0]), i]
    z = T.switch(y > 0.5, y.reshape((-1, 1)), np.arange(3)).dimshuffle(1, 0)
    graph = assemble(
        declared_inputs([x, i, row]),
        [z, y.max(axis=0), T.cast(y.sum(), "int32"), T.set_subtensor(x[0], 2)],
        [(w, w * np.float32(0.5))],
        None,
    ).graph
    bundle = GraphBundle.FromString(encode_bundle(graph).SerializeToString())
    back = decode_bundle(bundle, (), Limits())
    assert print_graph(back) == print_graph(graph)
    here, there = graph.nodes(), back.nodes()
    assert [n.op.name for n in here] == [n.op.name for n in there]
    # the server names nodes by position: its origins must be the client's order
    assert [n.origin for n in there] == list(range(len(here)))
    copy, origins = numbered(graph)
    assert print_graph(copy) == print_graph(graph)
    assert len(origins) == len(here)
    assert all("test_encode.py" in str(origin) for origin in origins)


def test_no_place_of_a_source_is_sent() -> None:
    x = T.vector("x")
    graph = assemble(declared_inputs([x]), [T.exp(x) + 1], None, None).graph
    assert b"test_encode" not in encode_bundle(graph).SerializeToString()


def test_a_long_chain_is_encoded_without_recursion() -> None:
    x = T.scalar("x")
    y = x
    for _ in range(20_000):
        y = y + x
    graph = assemble(declared_inputs([x]), [y], None, None).graph
    assert len(encode_bundle(graph).graphs[0].nodes) == 20_001


@pytest.mark.parametrize("name", ["tab\there", "x" * 5000])
def test_odd_names_are_made_printable(name: str) -> None:
    x = T.vector(name)
    graph = assemble(declared_inputs([x]), [x + 1], None, None).graph
    sent = encode_bundle(graph).graphs[0].nodes[0].name
    assert sent.isprintable()
    assert len(sent) <= 200
