"""The decoder of graphs: what it makes of good ones, limits at their edges, and fuzz."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exprd_proto as wire
from exprd_compiler.errors import ExprdError, GraphError, LimitExceeded
from exprd_compiler.ir.graph import Graph
from exprd_compiler.ir.text import print_graph
from exprd_compiler.ops.table import OPS
from exprd_server import requests
from exprd_server.deadline import Deadline
from exprd_server.decode import decode_bundle
from exprd_server.reading import GraphReader
from exprd_server.settings import Limits
from tests.server import graphs
from tests.server.bad_graphs import (
    attribute,
    constant,
    good_graph,
    good_nodes,
    leaf,
    node,
)
from tests.server.wire import bundle, graph_message

LIMITS = Limits()


def decode(*messages: wire.Graph, limits: Limits = LIMITS, gradients=()) -> Graph:
    return decode_bundle(wire.GraphBundle(opset_version=1, graphs=messages), gradients, limits)


@pytest.mark.parametrize(
    "build", [graphs.step, graphs.scale, graphs.transfer, graphs.counter, graphs.keep_everything]
)
def test_a_graph_survives_the_wire(build):
    graph = build()
    data = bundle(graph).SerializeToString()
    back = decode_bundle(wire.GraphBundle.FromString(data), (), LIMITS)
    assert print_graph(back) == print_graph(graph)


def test_origins_are_positions_of_the_wire():
    nodes = decode(good_graph()).nodes()
    assert sorted(node.origin for node in nodes) == [0, 1, 2, 3]


def test_odd_but_possible_constants_pass():
    values = [np.nan, np.inf, -0.0, 5e-324]
    extra = [constant(np.array([v]).tobytes(), (1,)) for v in values]
    extra.append(constant(b"", (0, 3)))
    decode(good_graph(nodes=[*good_nodes(), *extra]))


def test_equal_nodes_stay_apart():
    """Nodes keep their identity as sent: only the compiler's first pass merges them."""
    message = good_graph(nodes=[*good_nodes(), node("neg", 0), node("neg", 0)], outputs=[4, 5])
    first, second = decode(message).outputs
    assert first is not second


def test_the_node_limit_holds_at_its_edge():
    message = graph_message(graphs.chain(8))  # 9 nodes in 1 graph
    decode(message, limits=Limits(graph_nodes=10))
    with pytest.raises(LimitExceeded, match="graph of 10 nodes is above the limit of 9"):
        decode(message, limits=Limits(graph_nodes=9))


def test_many_empty_graphs_are_counted_too():
    with pytest.raises(LimitExceeded, match="nodes"):
        decode(*[wire.Graph()] * 11, limits=Limits(graph_nodes=10))


def test_a_hundred_thousand_nodes_decode():
    graph = decode(graph_message(graphs.chain(100_000)))
    assert len(graph.nodes()) == 100_001


def test_a_type_of_4_gib_is_the_largest():
    def message(count: int) -> wire.Graph:
        return good_graph(nodes=[leaf("input", "x", 12, (count,)), leaf("shared", "w")])

    exact = message(1 << 29)
    del exact.outputs[:], exact.updates[:]
    decode(exact)
    with pytest.raises(LimitExceeded, match="4294967304 bytes"):
        decode(message((1 << 29) + 1))


@pytest.mark.parametrize("rank", [32, 33])
def test_rank_32_is_the_highest(rank):
    message = wire.Graph(nodes=[leaf("input", "x", 12, (1,) * rank)], inputs=[0])
    if rank == 32:
        decode(message)
    else:
        with pytest.raises(LimitExceeded, match="rank 33"):
            decode(message)


def test_sub_graphs_are_decoded_and_their_nesting_is_limited():
    """No op takes a sub-graph yet, so each says so; the limit is met before the op is asked."""

    def nest(count: int) -> list[wire.Graph]:
        inner = wire.Graph(nodes=[wire.Node(op="neg", attributes=[attribute("g", graph_value=1)])])
        return [inner, *[wire.Graph() for _ in range(count)]]

    with pytest.raises(GraphError, match="cannot take no inputs with attributes"):
        decode(*nest(1))
    with pytest.raises(LimitExceeded, match="nested 1 deep"):
        decode(*nest(1), limits=Limits(graph_nesting=0))


def test_gradients_go_where_the_placeholders_are():
    message = good_graph(nodes=[*good_nodes(), node("placeholder"), node("neg", 4)], outputs=[5])
    asked = [wire.GradientRequest(cost=3, wrt=[1], placeholders=[4])]
    (output,) = decode(message, gradients=asked).outputs
    assert output.op is OPS["neg"]
    assert output.type == graphs.VECTOR


@pytest.mark.parametrize("first", [0, 1, 3])
def test_the_place_of_an_error_is_told(first):
    nodes = good_nodes()
    nodes.insert(first, node("neg", 70))
    with pytest.raises(GraphError) as caught:
        decode(good_graph(nodes=nodes))
    assert caught.value.nodes == (first,)
    assert caught.value.fields["path"] == f"graphs[0].nodes[{first}]"


# ---- fuzz: any edit of a good request is accepted or refused with a typed error
SEEDS = [bundle(build()) for build in (graphs.step, graphs.transfer)]
INDEXES = st.one_of(st.integers(0, 8), st.just(2**32 - 1))
VALUES = st.one_of(
    st.builds(lambda v: {"int_value": v}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: {"float_value": v}, st.floats()),
    st.builds(lambda v: {"string_value": v}, st.text(max_size=5)),
    st.builds(lambda v: {"bool_value": v}, st.booleans()),
    st.builds(lambda v: {"dtype_value": v}, st.integers(0, 20)),
    st.builds(lambda v: {"graph_value": v}, st.integers(0, 3)),
    st.builds(
        lambda v: {"int_list": wire.IntList(values=v)},
        st.lists(st.integers(-3, 2**63 - 1), max_size=4),
    ),
    st.builds(
        lambda d, s: {"type_value": wire.TensorType(dtype=d, shape=s)},
        st.integers(0, 18),
        st.lists(st.integers(-2, 2**62), max_size=4),
    ),
    st.builds(
        lambda d, s, b: {"array_value": wire.Array(dtype=d, shape=s, data=b)},
        st.integers(0, 18),
        st.lists(st.integers(-1, 4), max_size=3),
        st.binary(max_size=32),
    ),
    st.just({"none_value": wire.NoneValue()}),
    st.just({}),
)
NAMES = st.one_of(
    st.sampled_from(
        ["axes", "axis", "dtype", "index", "mode", "order", "shape", "length", "type", "value"]
    ),
    st.text(max_size=4),
)
NODES = st.builds(
    lambda op, inputs, attributes: node(op, *inputs, **attributes),
    st.sampled_from([*OPS, "placeholder", "nope"]),
    st.lists(INDEXES, max_size=4),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(NODES, max_size=4),
    st.lists(INDEXES, max_size=3),
    st.lists(st.builds(lambda s, v: wire.Update(shared=s, value=v), INDEXES, INDEXES), max_size=2),
    st.lists(
        st.builds(
            lambda c, w, p: wire.GradientRequest(cost=c, wrt=w, placeholders=p),
            INDEXES,
            st.lists(INDEXES, max_size=2),
            st.lists(INDEXES, max_size=2),
        ),
        max_size=2,
    ),
)
def test_any_edited_graph_is_decoded_or_refused(seed, extra, outputs, updates, gradients):
    edited = wire.GraphBundle()
    edited.CopyFrom(seed)
    main = edited.graphs[0]
    main.nodes.extend(extra)
    main.outputs.extend(outputs)
    main.updates.extend(updates)
    try:
        graph = decode_bundle(edited, gradients, LIMITS)
    except ExprdError:
        return
    print_graph(graph)


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_damaged_request_is_decoded_or_refused(data):
    request = wire.CompileRequest(client_id="c", graph=SEEDS[0])
    damaged = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        head = wire.CompileHead.FromString(bytes(damaged))
    except Exception:  # the service turns this into its own error
        return
    try:
        requests.compile_call(head, GraphReader(LIMITS), LIMITS, Deadline(20))
    except ExprdError:
        return
