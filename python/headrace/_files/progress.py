"""How far a reader is, by the bytes of its files, with an estimate of the time left."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import dlt

_EVERY_S = 0.5
_MOST_HELD = 100  # readers, of which the latest are known


class Progress:
    """Shows files, stored bytes and rows in dlt's progress display.

    `total` grows as files are listed; what is left of it at the rate so far is the estimate.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._total = 0
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._shown: dict[str, int] = {}
        try:
            self._collector: Any = dlt.current.pipeline().collector
        except Exception:
            self._collector = None

    def add(self, items: Any) -> None:
        """Files were listed."""
        self._total += sum(int(item.get("size_in_bytes") or 0) for item in items)

    def left_s(self, position: int) -> float | None:
        """Seconds that what is left takes at the rate so far; None: nothing is known."""
        spent = time.monotonic() - self._began
        if position <= 0 or self._total < position:
            return None
        return spent * (self._total - position) / position

    def show(self, position: int, files: int, rows: int, is_last: bool = False) -> None:
        """Tells what was added since the last time, at most twice a second."""
        now = time.monotonic()
        if self._collector is None or (now - self._shown_at < _EVERY_S and not is_last):
            return
        self._shown_at = now
        left = self.left_s(position)
        message = None if left is None or is_last else f"{_time(left)} left"
        self._update("bytes", position, self._total or None, message)
        self._update("files", files)
        self._update("rows", rows)

    def _update(self, what: str, value: int, total: int | None = None, message: str | None = None) -> None:
        added = value - self._shown.get(what, 0)
        self._shown[what] = value
        if added or message:
            self._collector.update(f"{self._name} {what}", added, total=total, message=message)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class FileByFile:
    """Shows how far a reader is that reads one file of a page after another; dlt may have it read several pages by turns."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(name)
        self._bytes = self._files = self._rows = 0

    def add(self, items: Iterable[Any]) -> None:
        """Files were listed, or found in an archive."""
        self._progress.add(items)

    def begin(self, item: Any) -> FileAtWork:
        """A file is begun."""
        self._files += 1
        return FileAtWork(self, int(item.get("size_in_bytes") or 0))

    def count(self, n_rows: int) -> None:
        """Rows were read."""
        self._rows += n_rows

    def more(self, n_bytes: int, is_last: bool = False) -> None:
        """Bytes of a file were read. `is_last`: and all that is known is to be shown."""
        self._bytes += n_bytes
        self._progress.show(self._bytes, self._files, self._rows, is_last)


class FileAtWork:
    """How much of a file is read."""

    def __init__(self, of: FileByFile, size: int) -> None:
        self._of = of
        self._size = size
        self._position = 0

    def move(self, share: float) -> None:
        """So much of it, from 0 to 1."""
        before, self._position = self._position, round(self._size * min(share, 1.0))
        self._of.more(self._position - before)


_held: OrderedDict[tuple[str, str], FileByFile] = OrderedDict()


def progress_of(name: str) -> FileByFile:
    """That of a resource in the extraction that is under way."""
    try:
        load_id = str(dlt.current.load_package_state()["load_id"])
    except Exception:
        return FileByFile(name)
    found = _held.pop((load_id, name), None) or FileByFile(name)
    _held[load_id, name] = found
    while len(_held) > _MOST_HELD:
        _held.popitem(last=False)
    return found
