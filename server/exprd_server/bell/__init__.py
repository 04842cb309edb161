"""The doorbell: calls of clients on the same host, by frames on a Unix socket and shared memory.

Invariant: a call here is the call that Execute would run; what differs is the way it comes.
"""

from __future__ import annotations
