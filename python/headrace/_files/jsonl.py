"""JSON lines: `read_jsonl`. What dlt's reader of this name reads, it reads; compressed files too, whatever their names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from dlt.common import logger
from dlt.common.json import json

from headrace._extraction import Extraction, current_extraction
from headrace._files.archives import Files
from headrace._files.arguments import check_arguments
from headrace._files.lines import Pieces
from headrace._files.opened import open_file
from headrace._files.serve import Lines
from headrace._files.skips import Skips
from headrace._files.way import NO_EXTRACTION, reason, tell
from headrace.config import setting

_MOST_DECISIONS = 100  # older ones are forgotten
# By extraction and resource: what was decided, and who serves it while it does.
_decisions: OrderedDict[tuple[str, str], tuple[str | None, Skips]] = OrderedDict()
_open: WeakValueDictionary[tuple[str, str], Lines] = WeakValueDictionary()


def _records(items: Iterable[Any], chunksize: int, skips: Skips) -> Iterator[list[Any]]:
    """The records as Python objects, `chunksize` at a time, as dlt's reader gives them. Empty lines are left out."""
    files = Files(items)
    for item in files.taken():
        records: list[Any] = []
        with skips.guard(item, files) as position, open_file(item) as file:
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
    skips.note()


def _read_jsonl(items: Iterable[Any], /, chunksize: int = 1000, on_error: str = "raise") -> Any:
    """Reads JSON lines.

    Args:
        items: A page of files.
        chunksize: Records that go at once to steps in Python behind the reader; without such steps it has no meaning.
        on_error: `raise`, `skip_file` or `skip_row`: what happens with a line that is no JSON, or a file that is corrupt.
    """
    check_arguments("read_jsonl", {"chunksize": chunksize})
    return serve(
        items,
        "read_jsonl",
        on_error,
        lambda skips: Pieces(skips, setting("max_body_bytes")),
        lambda skips: _records(items, chunksize, skips),
    )


def serve(
    items: Iterable[Any],
    name: str,
    on_error: str,
    pieces: Callable[[Skips], Pieces],
    records: Callable[[Skips], Iterator[Any]],
) -> Any:
    """What a reader gives for a page of files: tables, made of `pieces` of them in the engine; or, where something needs
    them, `records` as Python objects; or nothing, if what it gave for an earlier page goes on with these.
    """
    at = current_extraction()
    if at is None:
        logger.info(f"headrace: `{name}` gives Python objects: {NO_EXTRACTION}")
        return records(Skips(name, on_error))
    why, skips = _decided(at, on_error)
    if why is not None:
        return records(skips)
    key = (at.key, at.resource.name)
    lines = _open.get(key)
    if lines is not None and lines.is_open:
        lines.add(items)
        return None
    lines = _open[key] = Lines(at, skips, pieces(skips))
    lines.add(items)
    return lines.items()


def _decided(at: Extraction, on_error: str) -> tuple[str | None, Skips]:
    """Why the reader's records become Python objects in this extraction (None: they do not), and what it leaves out."""
    key = (at.key, at.resource.name)
    if key not in _decisions:
        why = reason(at)
        tell(at, why)
        _decisions[key] = (why, Skips(at.resource.name, on_error))
        while len(_decisions) > _MOST_DECISIONS:
            _decisions.popitem(last=False)
    return _decisions[key]
