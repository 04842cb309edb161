"""Formats: files of tensors that other libraries write, read and written without those libraries.

None of them is run as code when it is read: a file from anywhere can cost time and memory in
proportion to its size, and nothing else.
"""

from __future__ import annotations

from exprd.formats.safetensors import load_safetensors, safetensors_metadata, save_safetensors
from exprd.formats.torch_file import load_torch
from exprd.formats.torch_writer import save_torch

__all__ = [
    "load_safetensors",
    "load_torch",
    "safetensors_metadata",
    "save_safetensors",
    "save_torch",
]
