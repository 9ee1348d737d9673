"""`read_json`: documents of any size whose records are the elements of a list, found as the file is read.

    blocks -> Records.scan (C: brackets and strings only) -> pieces of whole elements -> the engine, as lines go

A document that is an object is one record; with `record_path` the records are what stands there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from dlt.common.json import json

from headrace import _core
from headrace._files.arguments import check_arguments
from headrace._files.jsonl import serve
from headrace._files.lines import Part, Piece, Pieces
from headrace._files.skips import Skips
from headrace.config import setting

_PAUSE_S = 0.005


class Elements(Piece):
    """Whole elements of a list of one file, with the commas between them."""

    @property
    def is_lines(self) -> bool:
        """They are not."""
        return False

    def units(self, first: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Where the elements begin and end. None at all if brackets do not pair."""
        for start, end in _core.split_records(b"".join((b"[", self.loaded_text[first:stop], b"]")), 1):
            yield first + start - 1, first + end - 1

    def line_at(self, offset: int) -> tuple[Part, int, int]:
        """The element that holds the byte."""
        found = [(start, end) for start, end in self.units() if start <= offset] or [(0, self.size)]
        return self.parts[0], *found[-1]

    def record(self, index: int) -> tuple[Part, int, int]:
        """The element of this number."""
        return self.parts[0], *list(self.units())[index]

    def number(self, part: Part, start: int) -> int:
        """How many records of the file are before the one that starts here."""
        return part.line + sum(1 for at, _ in self.units() if at < start)

    def place(self, part: Part, start: int) -> str:
        """Where in the file an element is."""
        return f"record {self.number(part, start) + 1}, byte {part.offset + start}"


class Documents(Pieces):
    """The records of JSON documents in order. Each piece is of one document."""

    _unit = "record"
    _has_ranges = False

    def __init__(self, skips: Skips, max_record_bytes: int, path: tuple[bytes, ...]) -> None:
        super().__init__(skips, max_record_bytes)
        self._path = path
        self._enough_bytes = 1
        self._finder: _core.Records | None = None
        self._scanned = 0  # bytes of the document
        self._n_given = 0  # records in pieces
        self._carry_at = 0  # where in the document the carry begins

    def _begin(self) -> None:
        super()._begin()
        self._finder = _core.Records(self._path)
        self._scanned = self._n_given = 0

    def _put(self, block: bytes) -> None:
        assert self._finder is not None
        try:
            begin, end, is_done = self._finder.scan(block)
        except _core.Error as error:
            self._bad(error)
            return
        at, self._scanned = self._scanned, self._scanned + len(block)
        if begin < 0:
            return
        if not self._carry:
            self._carry_at = at + begin
        if end < 0:
            self._carry.append(block[begin:])
            self._carry_bytes += len(block) - begin
            if self._carry_bytes > self._max_line_bytes:
                self._bad(ValueError(f"a record is longer than max_body_bytes, {self._max_line_bytes} bytes"))
            return
        text = b"".join((*self._carry, block[begin:end]))
        self._carry.clear()
        self._carry_bytes = 0
        if not text.strip():
            if not is_done or self._finder.n_commas:
                self._bad(ValueError("a comma in the list has no record before or behind it"))
        else:
            self._elements(text)
        if not is_done:
            self._carry_at = at + end + 1
            self._carry.append(block[end + 1 :])
            self._carry_bytes = len(block) - end - 1

    def _elements(self, text: bytes) -> None:
        file, finder = self._file, self._finder
        assert file is not None and finder is not None
        self._parts.append(Part(file, 0, self._carry_at, self._n_given))
        self._texts.append(text)
        self._size += len(text)
        file.offset = self._carry_at + len(text)
        file.counted(finder.n_commas - self._n_given)
        self._n_given = finder.n_commas

    def _end(self) -> None:
        file, finder = self._file, self._finder
        assert file is not None and finder is not None
        if not file.is_dropped:
            try:
                finder.finish()
            except _core.Error as error:
                self._bad(error)
        self._carry.clear()
        self._carry_bytes = 0
        super()._end()

    def _take(self) -> Piece:
        return Elements(*super()._take())


def _records(items: Iterable[Any], chunksize: int, skips: Skips, pieces: Documents) -> Iterator[list[Any]]:
    """The records as Python objects, `chunksize` at a time."""
    pieces.add(items)
    try:
        while not pieces.is_empty:
            piece = pieces.next()
            if piece is None:
                time.sleep(_PAUSE_S)  # for a thread that fetches
                continue
            records = _objects(piece.loaded(), skips)
            for start in range(0, len(records), chunksize):
                yield records[start : start + chunksize]
    finally:
        pieces.close()
    skips.note()


def _objects(piece: Piece, skips: Skips) -> list[Any]:
    part, found = piece.parts[0], []
    try:
        return list(json.loadb(b"".join((b"[", piece.loaded_text, b"]"))))
    except ValueError as whole:
        units = list(piece.units())
        if not units:
            skips.file(part.file.item, whole, piece.place(part, 0), part.line)
            part.file.is_dropped = True
    for start, end in units:
        try:
            found.append(json.loadb(piece.loaded_text[start:end]))
        except ValueError as ex:
            skips.row(part.file.item, ex, piece.place(part, start), piece.number(part, start))
            if skips.way == "skip_file":
                part.file.is_dropped = True
                break
    return found


def _as_written(key: str) -> bytes:
    """A key as it stands in JSON text."""
    return json.dumpb(key)[1:-1]


def _read_json(items: Iterable[Any], /, record_path: str = "", chunksize: int = 1000, on_error: str = "raise") -> Any:
    """Reads JSON documents.

    Args:
        items: A page of files.
        record_path: Keys that lead to the records, with dots between them: `data.items`; "": the document is the list of records, or
            is one record itself.
        chunksize: Records that go at once to steps in Python behind the reader; without such steps it has no meaning.
        on_error: `raise`, `skip_file` or `skip_row`: what happens with a record that is no JSON, or a file that is corrupt.
    """
    check_arguments("read_json", {"record_path": record_path, "chunksize": chunksize})
    keys = tuple(_as_written(key) for key in record_path.split(".")) if record_path else ()

    def pieces(skips: Skips) -> Documents:
        return Documents(skips, setting("max_body_bytes"), keys)

    return serve(items, "read_json", on_error, pieces, lambda skips: _records(items, chunksize, skips, pieces(skips)))
