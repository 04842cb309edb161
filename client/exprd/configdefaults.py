"""Theano's place of the configuration."""

from __future__ import annotations

from exprd.config import config

__all__ = ["config"]
