"""The log: what becomes of lines that cannot be written."""

from __future__ import annotations

import io
import json

from exprd_server.log import make_logger


class Disk(io.StringIO):
    """A stream on a disk that may be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_costs_lines_and_no_calls():
    disk = Disk()
    log = make_logger(disk)
    log.info("first")
    disk.full = True
    for _ in range(3):
        log.info("lost")
    disk.full = False
    log.info("last")
    rows = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert [(row["event"], row.get("lines")) for row in rows] == [
        ("first", None),
        ("lines of the log were lost", 3),
        ("last", None),
    ]
    disk.close()
    log.info("nowhere")
