"""Theano's place of the configuration's parts."""

from __future__ import annotations

from exprd.config import ConfigWarning, change_flags, config

TheanoConfigWarning = ConfigWarning

__all__ = ["ConfigWarning", "TheanoConfigWarning", "change_flags", "config"]
