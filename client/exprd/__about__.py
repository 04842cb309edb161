"""The version of the whole distribution, in one place.

Read without importing the package when a wheel is built; it must stay a plain literal.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
