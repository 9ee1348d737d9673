"""One reader of lines in one extraction: pieces of files to the engine, its rows to dlt, in the order of the lines.

    dlt's pipe -> transformer(page of files) -> Lines.add                        dlt's extract <- root tables
    Pieces.next -> Stream.feed -> [workers: decode, normalize] -> Stream.next_batch -/-> child tables' files

A line that is no JSON goes by `on_error`. A record that the engine does not take (its error has the record's number) goes to
dlt as a Python object, and dlt normalizes it. Either way a new stream goes on behind it, with the schema as it is then.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.json import json
from dlt.common.runtime import signals
from dlt.common.schema import Schema

from headrace import _core, _schema
from headrace._extraction import Extraction
from headrace._files.lines import FileState, Part, Piece, Pieces
from headrace._files.progress import Progress
from headrace._files.skips import FileChanged, Skips
from headrace._files.stores import url_of
from headrace._files.way import root_writer
from headrace._normalize import loads as _normalize_loads
from headrace._rest_api.run import Run
from headrace._writer import PackageWriter, RootWriter, root_tables
from headrace.config import settings
from headrace.exceptions import page_error

_DLT_TAKES = ("SCHEMA", "UNSUPPORTED", "COERCE", "NULL_VALUE", "RANGE", "ENCODING", "LIMIT")
_WAIT_MS = 20
_BYTE = re.compile(r"\bbyte (\d+)")
_FEW_FILES = 200  # waiting; below it dlt may list more before these are read


class Lines:
    """Serves one reader. `add` takes the files of dlt's next pages, as long as `is_open`."""

    def __init__(self, at: Extraction, skips: Skips, pieces: Pieces) -> None:
        self.key = at.key
        self.is_open = True
        self._settings = settings()
        self._at = at
        self._skips = skips
        self._pieces = pieces
        self._max_fed_bytes = max(self._settings.memory_limit // 32, 1 << 20)
        self._schema: Schema = dlt.current.source_schema()
        self._caps = _schema.capabilities()
        self._progress = Progress(at.resource.name)
        self._again: deque[Piece] = deque()  # to be fed before new ones: a stream that stopped did not commit them
        self._fed: deque[Piece] = deque()  # to the stream, not committed
        self._fed_bytes = 0
        self._n_committed = 0  # of the stream
        self._n_rows = 0
        self._n_by_dlt = 0
        self._roots: RootWriter | None = None
        self._is_known = False  # whether dlt's schema has our table: as in dlt, with the first rows
        self._was_idle = False

    def add(self, items: Any) -> None:
        """Takes files, to come after those taken before."""
        self._was_idle = False
        self._progress.add(items)
        self._pieces.add(items)

    def items(self) -> Iterator[Any]:
        """What the transformer yields: tables, now and then records for dlt, or None to let dlt list more files."""
        run = Run.join(self.key, self._settings)
        writer = PackageWriter()
        self._roots = root_writer(self._at, self._schema, self._caps)
        is_done = False
        try:
            yield None
            while not self._is_at_end():
                yield from self._stream(run.engine, writer)
            if self._roots is not None:
                yield from self._roots.files()
            writer.close()
            is_done = True
            self._show(is_last=True)
            self._note()
        finally:
            self.is_open = False
            if not is_done:
                writer.abort()
                if self._roots is not None:
                    self._roots.abort()
            self._pieces.close()
            run.leave()

    def _is_at_end(self) -> bool:
        return self._was_idle and self._pieces.is_empty and not self._again

    def _stream(self, engine: _core.Engine, writer: PackageWriter) -> Iterator[Any]:
        """One stream: to the end, or to a record that it cannot take."""
        stream = self._new_stream(engine)
        is_finished = False
        try:
            while True:
                if not is_finished:
                    if self._pieces.n_waiting < _FEW_FILES and not self._was_idle:
                        self._was_idle = True  # unless this brings more files
                        yield None
                    self._feed(engine, stream)
                    if self._is_at_end():
                        stream.finish()
                        is_finished = True
                try:
                    found = stream.next_batch(0 if self._may_take_more(is_finished) else _WAIT_MS)
                except _core.Error as error:
                    yield from self._failed(error)
                    return
                signals.raise_if_signalled()
                self._settle(stream)
                self._show()
                if found is None:
                    return
                if found is not False:
                    yield from self._emit(writer, found)  # type: ignore[arg-type]
        finally:
            if not is_finished:
                stream.finish()

    def _may_take_more(self, is_finished: bool) -> bool:
        """Whether dlt may list more files for which there is room, so that the engine is not waited for."""
        return not is_finished and not self._was_idle and self._fed_bytes < self._max_fed_bytes // 2

    def _new_stream(self, engine: _core.Engine) -> _core.Stream:
        self._fed.clear()
        self._fed_bytes = self._n_committed = 0
        planned = self._schema.clone()
        root = _schema.prepare_root(planned, self._at.resource)
        return engine.stream(
            table=root,
            tables=_schema.seed_tables(planned, root),
            load_id=self._at.load_id,
            selector=[],
            batch_bytes=self._settings.batch_bytes,
            stop_at_record=True,
            **_schema.normalizer_options(planned, root),
        )

    def _feed(self, engine: _core.Engine, stream: _core.Stream) -> None:
        """Keeps the engine busy within the memory limit."""
        while not self._fed or (
            self._fed_bytes < self._max_fed_bytes and not engine.is_full() and not stream.is_behind()
        ):
            piece = self._again.popleft() if self._again else self._pieces.next()
            if piece is None:
                return
            if piece.text is None:
                file = piece.parts[0].file
                assert file.file is not None
                stream.feed_file(piece.tag, file.file.fileno(), piece.parts[0].offset, piece.size, piece.skip)
            else:
                stream.feed(piece.tag, piece.text, not piece.is_lines, piece.skip, piece.is_lines)
            self._fed.append(piece)
            self._fed_bytes += piece.size

    def _settle(self, stream: _core.Stream) -> None:
        """Forgets pieces whose rows are committed."""
        n_committed = stream.n_committed
        while self._n_committed < n_committed and self._fed:
            self._n_committed += 1
            piece = self._fed.popleft()
            self._fed_bytes -= piece.size
            if piece.is_last:
                self._check_unchanged(piece.parts[0].file)

    def _check_unchanged(self, file: FileState) -> None:
        """All of a file that workers read is read."""
        assert file.file is not None
        try:
            if not file.is_dropped:
                file.file.check_unchanged()
        except FileChanged as ex:
            self._skips.file(file.item, ex, f"byte {file.offset}", file.lines_before(file.offset))
        file.file.close()

    def _emit(self, writer: PackageWriter, batches: list[_core.TableBatch]) -> Iterator[Any]:
        if not self._is_known:
            _schema.prepare_root(self._schema, self._at.resource)
            self._is_known = True
        self._n_rows += sum(batch.n_rows for batch in batches if batch.parent is None)
        yield from root_tables(self._schema, self._caps, writer, batches, self._roots)

    # ---- what is wrong

    def _failed(self, error: _core.Error) -> Iterator[Any]:
        """The stream stopped at a piece: its bad lines go by `on_error`, a record that the engine does not take to dlt."""
        while self._fed and self._fed[0].tag != error.tag:
            self._fed.popleft()
        is_line = error.stage == "decode" and error.offset >= 0
        is_file = error.code == "IO"
        is_record = error.record >= 0 and error.code in _DLT_TAKES
        if not self._fed or not (is_line or is_record or is_file):
            raise page_error(error, resource=self._at.resource.name, schema_name=self._schema.name, url=None, page=None)
        piece = self._fed.popleft()
        rest = [*self._fed, *self._again]
        self._fed.clear()
        self._again = deque()
        if is_file:
            part = piece.parts[0]
            n_lines = part.first_line
            self._skips.file(part.file.item, str(error), f"after line {n_lines}, byte {part.offset}", n_lines)
            part.file.is_dropped = True
            self._again.extend(one for one in rest if one.text is not None or not one.parts[0].file.is_dropped)
            return
        piece = piece.loaded()
        if is_record:
            part, start, end = piece.record(error.record)
            record = json.loadb(piece.loaded_text[start:end])
            self._by_dlt(error, part, piece.place(part, start))
            rest.insert(0, piece._replace(skip=error.record + 1))
            self._again.extend(rest)
            yield [record]
            return
        mended = [self._mend(one.loaded(), error if one is piece else None) for one in (piece, *rest)]
        if mended[0] is not None and mended[0].size == piece.size:
            raise page_error(error, resource=self._at.resource.name, schema_name=self._schema.name, url=None, page=None)
        self._again.extend(one for one in mended if one is not None)

    def _by_dlt(self, error: _core.Error, part: Part, place: str) -> None:
        self._n_by_dlt += 1
        self._n_rows += 1
        _normalize_loads.take(self._at.load_id)
        if self._n_by_dlt == 1:
            logger.info(
                f"headrace: resource `{self._at.resource.name}`, {url_of(part.file.item)}, {place}: dlt takes this record, and"
                f" maybe others: {error}"
            )

    def _mend(self, piece: Piece, error: _core.Error | None) -> Piece | None:
        """The piece without its bad lines and without files that are left out; None: nothing is left."""
        text = piece.loaded_text
        bad: dict[int, str] = {}
        if error is not None:
            offset = error.offset - (0 if piece.is_lines else 1)  # of the bracket that the engine puts before it
            part, start, end = piece.line_at(offset)
            shift = part.offset - part.start + offset - error.offset
            if _why_bad(text[start:end]) is None and any(_why_bad(text[a:b]) for a, b in piece.units()):
                start = -1  # the engine met it behind what is wrong
            bad[start] = _BYTE.sub(lambda found: f"byte {int(found[1]) + shift}", str(error))
        left = bytearray()
        parts = []
        for number, part in enumerate(piece.parts):
            first, stop = piece.bounds(number)
            kept = self._mend_part(piece, part, text[:stop], first, bad)
            if kept and left and not piece.is_lines:
                left += b","
            if kept:
                parts.append(part._replace(start=len(left)))
                left += kept
        return piece._replace(text=bytes(left), size=len(left), parts=tuple(parts)) if left else None

    def _mend_part(self, piece: Piece, part: Part, text: bytes, first: int, bad: dict[int, str]) -> bytes:
        """One file's lines, text[first:], without the bad ones."""
        if part.file.is_dropped:
            return b""
        kept: list[bytes] = []
        between = b"" if piece.is_lines else b","
        units = list(piece.units(first, len(text)))
        if not units and not text[first:].isspace():  # brackets that do not pair: nobody knows where a record ends
            told = next(iter(bad.values()), "brackets do not pair")
            self._skips.file(part.file.item, told, piece.place(part, first), piece.number(part, first))
            part.file.is_dropped = True
        for start, end in units:
            why = bad.get(start) or _why_bad(text[start:end])
            if why is None:
                kept.append(text[start:end])
                continue
            n_read = piece.number(part, start)
            is_part_read = piece.number(part, first) > 0 or self._skips.way != "skip_file"
            self._skips.row(part.file.item, why, piece.place(part, start), n_read if is_part_read else 0)
            if self._skips.way == "skip_file":  # what went before stays, but for a file that is here from its start
                part.file.is_dropped = True
                return between.join(kept) if is_part_read else b""
        return between.join(kept)

    # ---- what is told

    def _show(self, is_last: bool = False) -> None:
        self._progress.show(self._pieces.stored_position, self._pieces.n_files, self._n_rows, is_last)

    def _note(self) -> None:
        counts = {"files": self._pieces.n_files, "bytes": self._pieces.stored_position, "rows": self._n_rows}
        self._skips.note(
            counts={**counts, "records": self._n_rows + self._skips.n_rows, "left_out": self._skips.n_rows}
        )


def _why_bad(line: bytes) -> str | None:
    try:
        json.loadb(line)
    except ValueError as ex:
        return str(ex)
    return None
