"""How far a reader is, by the bytes of its files, with an estimate of the time left."""

from __future__ import annotations

import time
from typing import Any

import dlt

_EVERY_S = 0.5


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
