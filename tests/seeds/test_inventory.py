"""The list of snippets is whole: numbered without gaps, in the order of the documents."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest

from tests.seeds.seeding import DOCUMENTS
from tools.seeds_page import modules, shown

# what no function is compiled in, or what sets up its own process
ONE_PLACE = {
    "test_a_tensor_in_a_file",
    "test_a_list_of_tensors_in_a_file",
    "test_a_dict_of_tensors_in_a_file",
    "test_the_order_of_what_sets_an_option",
    "test_the_configuration_is_listed",
    "test_three_ways_to_make_a_variable",
    "test_typical_constructors",
    "test_all_names_are_imported_by_a_star",
    "test_a_new_type",
    # 10,000 steps; fewer of them run in both places
    "test_logistic_regression_learns_its_targets",
    "test_the_solution_in_float32",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_snippets_of_a_document_are_numbered_in_order(document: str) -> None:
    snippets = sorted(
        (s for s, _ in shown() if s.document == document), key=lambda snippet: snippet.number
    )
    assert [s.number for s in snippets] == list(range(1, len(snippets) + 1))
    starts = [int(s.lines.partition("-")[0]) for s in snippets]
    assert all(a <= b for a, b in pairwise(starts))


def test_every_snippet_is_either_shown_or_waits_for_something() -> None:
    for snippet, test in shown():
        assert bool(test) != bool(snippet.needs), snippet


def test_what_runs_a_function_runs_in_both_places() -> None:
    tests = {
        name: value
        for module in modules()
        for name, value in vars(module).items()
        if name.startswith("test_") and hasattr(value, "snippets")
    }
    once = {
        name for name, test in tests.items() if "mode" not in inspect.signature(test).parameters
    }
    assert once == ONE_PLACE
