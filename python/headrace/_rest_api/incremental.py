"""dlt's own `Incremental` over the few fields it looks at: which records of a page stay, and when to stop asking."""

from __future__ import annotations

import json
from typing import Any

from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.incremental.transform import JsonIncremental
from dlt.extract.pipe import Pipe

from headrace import _core
from headrace._rest_api.request import selector_steps

_FEW = 8  # boundary rows of a page that are fetched one by one before the whole page is


class Cursor:
    """The incremental of one running resource. It sees pages in order; the pipe's own step lets our tables through.

    Records become Python objects with the cursor and the primary key only. Without a primary key dlt compares the hash of
    the whole record, but just where the cursor meets the boundary: those records are fetched when asked for.
    """

    def __init__(self, incremental: Incremental[Any], pipe: Pipe) -> None:
        self.closed = False
        self.name = pipe.name  # `name`, `has_parent` and `close` are what the incremental wants of its pipe
        self.has_parent = pipe.has_parent
        self._incremental = incremental
        self._page: _core.Page | None = None
        self._extra: dict[str, Any] = {}
        self._places: dict[int, int] = {}
        self._hashes: dict[tuple[int, bool], tuple[Any, str]] = {}  # by identity; the row is kept alive
        self._whole: list[Any] | None = None
        self._transform = incremental._make_or_get_transformer(JsonIncremental)
        self._hash = self._transform.compute_unique_value
        self._keys = self._wanted_keys()
        incremental._bound_pipe = self  # type: ignore[assignment]
        for index, step in enumerate(pipe._steps):
            if isinstance(step, IncrementalResourceWrapper):
                pipe._steps[index] = _let_through

    def _wanted_keys(self) -> list[str] | None:
        steps = selector_steps(self._incremental.cursor_path)
        if not steps or not isinstance(steps[0], str):
            return None
        keys = [steps[0]]
        if not self._transform.boundary_deduplication:
            return keys
        primary_key: Any = self._transform.primary_key
        if primary_key is None:
            vars(self._transform)["compute_unique_value"] = self._hash_whole
            return keys
        if callable(primary_key):
            return None
        return [*keys, *([primary_key] if isinstance(primary_key, str) else primary_key)]

    def close(self) -> None:
        """Called by the incremental: rows in order have left the range."""
        self.closed = True

    def cut(self, page: _core.Page, extra: bytes | None = None) -> bytes | None:
        """A byte for each record of the page, 0: it leaves; None: all stay. `extra`: members that each record gets."""
        if page.n_records == 0:
            return None
        self._page, self._whole = page, None
        self._extra = json.loads(extra) if extra else {}
        rows = [self._with_extra(row) for row in json.loads(page.project(self._keys))]
        self._places = {id(row): place for place, row in enumerate(rows)}
        try:
            kept = self._incremental(rows)
        finally:
            self._page = None
        last = {id(row) for row in self._transform.last_rows}
        self._hashes = {key: value for key, value in self._hashes.items() if key[0] in last}
        if kept is None:
            return bytes(len(rows))
        if len(kept) == len(rows):
            return None
        stay = {id(row) for row in kept}
        return bytes(id(row) in stay for row in rows)

    def _hash_whole(self, row: Any, primary_key: Any, *legacy: bool) -> str:
        key = (id(row), any(legacy))  # dlt has hashes of an older kind since 1.29
        if key not in self._hashes:
            self._hashes[key] = (row, self._hash(self._record(row), primary_key, *legacy))
        return self._hashes[key][1]

    def _record(self, row: Any) -> Any:
        assert self._page is not None
        place = self._places[id(row)]
        if self._whole is None and len(self._hashes) < _FEW:
            one = bytearray(self._page.n_records)
            one[place] = 1
            return self._with_extra(json.loads(self._page.project(None, bytes(one)))[0])
        if self._whole is None:
            self._whole = json.loads(self._page.project(None))
        return self._with_extra(self._whole[place])

    def _with_extra(self, row: Any) -> Any:
        if self._extra and isinstance(row, dict):
            row.update(self._extra)
        return row


def _let_through(item: Any, meta: Any = None) -> Any:
    return item
