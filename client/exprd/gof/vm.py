"""Theano's place of the linker with a virtual machine."""

from __future__ import annotations

from exprd.gof.link import VM_Linker

__all__ = ["VM_Linker"]
