"""JSON lines: `read_jsonl`. What dlt's reader of this name reads, it reads; compressed files too, whatever their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dlt.common.json import json

from headrace.files.opened import open_file
from headrace.files.skips import Skips, current_resource


def read_records(items: Iterable[Any], chunksize: int, skips: Skips) -> Iterator[list[Any]]:
    """The records as Python objects, `chunksize` at a time, as dlt's reader gives them. Empty lines are left out."""
    for item in items:
        records: list[Any] = []
        with skips.guard(item) as position, open_file(item) as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                position.place = f"line {number}"
                try:
                    records.append(json.loadb(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line))
                except ValueError as ex:
                    skips.row(item, ex, position.place, position.read + len(records))
                    if skips.way == "skip_file":
                        break
                if len(records) >= chunksize:
                    yield records
                    position.read += len(records)
                    records = []
            file.check_unchanged()
        if records:
            yield records


def _read_jsonl(items: Iterable[Any], /, chunksize: int = 1000, on_error: str = "raise") -> Iterator[Any]:
    """Reads JSON lines.

    Args:
        items: A page of files.
        chunksize: Records that go to the steps behind the reader at once.
        on_error: `raise`, `skip_file` or `skip_row`: what happens with a line that is no JSON, or a file that is corrupt.
    """
    skips = Skips(current_resource("read_jsonl"), on_error)
    yield from read_records(items, chunksize, skips)
    skips.note(native=False, reason="its records become Python objects")
