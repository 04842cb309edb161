"""Saving: files of models and arrays, pickle forms, and graphs as bytes."""

from __future__ import annotations

from exprd.saving.files import dump_graph, load, load_graph, save
from exprd.saving.pickled import register, restore

__all__ = ["dump_graph", "load", "load_graph", "register", "restore", "save"]
