"""Printing: expressions and functions as text and pictures, and values as they are computed."""

from __future__ import annotations

from exprd.printing.descriptor import var_descriptor
from exprd.printing.drawing import pydotprint, pydotprint_variables
from exprd.printing.infix import pp, pprint
from exprd.printing.tree import debugprint, min_informative_str
from exprd.prints import Print

dprint = debugprint

__all__ = [
    "Print",
    "debugprint",
    "dprint",
    "min_informative_str",
    "pp",
    "pprint",
    "pydotprint",
    "pydotprint_variables",
    "var_descriptor",
]
