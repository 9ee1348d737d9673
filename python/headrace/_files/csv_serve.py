"""One reader of CSV in one extraction: blocks of files to the engine, its rows to dlt, in the order of the rows.

    dlt's pipe -> transformer(page of files) -> CsvFiles.add                          dlt's extract <- root tables
    file's blocks -> CsvReader.feed -> chunks of rows -> [workers: normalize] -> Stream.next_batch -/

A file that is bad goes by `on_error`; behind it a new stream goes on, with the schema as it is then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.runtime import signals
from dlt.common.schema import Schema

from headrace import _core, _schema
from headrace._extraction import Extraction
from headrace._files.archives import Files
from headrace._files.csv_dialect import HEAD_BYTES, sniff
from headrace._files.opened import OpenedFile, open_file
from headrace._files.progress import Progress
from headrace._files.skips import Position, Skips
from headrace._files.stores import url_of
from headrace._files.way import root_writer
from headrace._rest_api.run import Run
from headrace._writer import PackageWriter, RootWriter, root_tables
from headrace.config import settings

_BLOCK_BYTES = 1 << 20
_FEW_FILES = 200  # waiting; below it dlt may list more before these are read
# Rows that leave together become a row group: of larger ones, Parquet gives up dictionaries of values that hardly repeat
# sooner (a twentieth of the CPU of reading and writing, measured); the last of larger ones is written when nothing is left
# to be read.
_BATCH_BYTES = 48 << 20
_AHEAD_BYTES = 4 << 20  # of chunks that wait for workers, which are still in the caches then
_AHEAD_CHUNKS = 2 * (os.cpu_count() or 1)  # are waiting at least
_SURE = 0.9  # an encoding that was found with less confidence is told as a warning


class CsvFiles:
    """Serves one reader. `add` takes the files of dlt's next pages, as long as `is_open`."""

    def __init__(self, at: Extraction, skips: Skips, options: dict[str, Any]) -> None:
        self.is_open = True
        self._at = at
        self._settings = settings()
        self._skips = skips
        self._options = options
        self._schema: Schema = dlt.current.source_schema()
        self._caps = _schema.capabilities()
        self._progress = Progress(at.resource.name)
        self._waiting = Files()
        self._fed: list[Any] = []  # files that were given to the stream, by tag
        self._stream: _core.Stream
        self._writer: PackageWriter
        self._roots: RootWriter | None = None
        self._is_dropped = False  # the file at work, as rows of it failed
        self._chunk_bytes = 0  # of the file at work, about
        self._n_tables = 0  # of rows, from the engine
        self._is_known = False  # whether dlt's schema has our table: as in dlt, with the first rows
        self._counts = dict.fromkeys(("files", "bytes", "records", "rows", "short_rows", "left_out"), 0)

    def add(self, items: Iterable[Any]) -> None:
        """Takes files, to come after those taken before."""
        items = list(items)
        self._progress.add(items)
        self._waiting.extend(items)

    def items(self) -> Iterator[Any]:
        """What the transformer yields: tables, or None to let dlt list more files."""
        run = Run.join(self._at.key, self._settings)
        self._writer = PackageWriter()  # a CSV file has no child tables; it keeps the memory low
        self._roots = root_writer(self._at, self._schema, self._caps)
        is_done = False
        try:
            yield None
            self._new_stream(run.engine)
            while True:
                if len(self._waiting) < _FEW_FILES:
                    yield None
                if not self._waiting:
                    break
                yield from self._file(run.engine, self._waiting.popleft())
            yield from self._settle(run.engine)
            if self._roots is not None:
                yield from self._roots.files()
            self._writer.close()
            is_done = True
            self._show(is_last=True)
            self._skips.note(counts=self._counts)
        finally:
            self.is_open = False
            if not is_done:
                self._writer.abort()
                if self._roots is not None:
                    self._roots.abort()
            run.leave()

    def _new_stream(self, engine: _core.Engine) -> None:
        config = self._settings
        planned = self._schema.clone()
        root = _schema.prepare_root(planned, self._at.resource)
        self._fed.clear()
        self._stream = engine.stream(
            table=root,
            tables=_schema.seed_tables(planned, root),
            load_id=self._at.load_id,
            selector=[],
            batch_bytes=max(config.batch_bytes, min(_BATCH_BYTES, config.memory_limit // 4)),
            stop_at_record=True,
            **_schema.normalizer_options(planned, root),
        )

    # ---- one file

    def _file(self, engine: _core.Engine, item: Any) -> Iterator[Any]:
        self._fed.append(item)
        self._is_dropped = False
        with self._skips.guard(item, self._waiting) as position, open_file(item, _BLOCK_BYTES, is_ahead=True) as file:
            self._counts["files"] += 1
            yield from self._read(engine, item, file, position)
            file.check_unchanged()
        if self._skips.way != "raise":  # rows that fail must take none of another file with them
            yield from self._settle(engine)

    def _read(self, engine: _core.Engine, item: Any, file: OpenedFile, position: Position) -> Iterator[Any]:
        reader = _core.CsvReader(engine, **self._options_of(item, file))
        tag, block = len(self._fed) - 1, memoryview(bytearray(_BLOCK_BYTES))
        before = self._counts["bytes"]
        self._chunk_bytes = 0
        while not self._is_dropped and not reader.info()["done"] and (size := file.readinto(block)):
            data = block[:size]
            while data:
                try:
                    data = data[reader.feed(self._stream, tag, data) :]
                finally:
                    position.read = reader.info()["rows"]
            self._counts["bytes"] = before + file.stored_position
            self._chunk_bytes = (self._counts["bytes"] - before) // max(self._stream.n_accepted, 1)
            self._look_for_end(file, position.read)
            yield from self._due(engine)
        while not self._is_dropped and reader.finish(self._stream, tag):
            position.read = reader.info()["rows"]
            yield from self._due(engine)
        self._tell(item, reader.info())

    def _look_for_end(self, file: OpenedFile, n_read: int) -> None:
        """Tells who writes rows when what is left of the last file, n_read rows of which are read, makes about two tables."""
        if self._roots is None or not n_read or not file.stored_size:
            return
        n_rows = self._counts["records"] + n_read * file.stored_size // max(file.stored_position, 1)
        n_given = self._counts["rows"]
        self._roots.is_at_end = not self._waiting and (n_rows - n_given) * self._n_tables < 2 * n_given

    def _options_of(self, item: Any, file: OpenedFile) -> dict[str, Any]:
        """The reader's options, with what is to be found in the file."""
        options = dict(self._options)
        given = options.pop("dialect", None)
        if given is None:
            return options
        head = file.peek(HEAD_BYTES)[:HEAD_BYTES]
        found = sniff(head, len(head) < HEAD_BYTES)
        logger.info(f"headrace: resource `{self._at.resource.name}`: {url_of(item)}: {found}")
        return {**options, **{name: value for name, value in found.options().items() if name not in given}}

    def _tell(self, item: Any, info: _core.CsvInfo) -> None:
        """What was found in the file beside its rows."""
        url, name, encoding = url_of(item), self._at.resource.name, info["encoding"]
        n_left_out = info["long"] if self._options.get("ragged") == "skip" else 0
        self._counts["records"] += info["rows"] + n_left_out
        self._counts["short_rows"] += info["short"]
        self._counts["left_out"] += n_left_out
        if self._skips.way == "skip_row" and n_left_out:
            for line in info["bad_lines"]:
                self._skips.row(item, "more fields than there are columns", f"line {line}", info["rows"])
        elif info["long"]:
            logger.warning(
                f"headrace: resource `{name}`: {url}: {info['long']} rows with more fields than columns, the first in line"
                f" {info['bad_lines'][0]}: {'left out' if n_left_out else 'what they have more is left out'}"
            )
        if info["leading"]:
            logger.warning(
                f"headrace: resource `{name}`: {url}: rows have {info['leading']} fields more than names: as in pandas, the"
                " first of them are left out"
            )
        is_sure = info["encoding_confidence"] >= _SURE
        if not is_sure or encoding != "utf-8":
            (logger.info if is_sure else logger.warning)(
                f"headrace: resource `{name}`: {url} is read as {encoding} (confidence {info['encoding_confidence']:.2f});"
                " the option `encoding` says it for certain"
            )
        if self._options.get("sniff"):
            logger.info(
                f"headrace: resource `{name}`: {url}: delimiter {info['delimiter']!r} (confidence"
                f" {info['dialect_confidence']:.2f})"
            )

    def _failed(self, engine: _core.Engine, error: _core.Error) -> None:
        """Rows of a file failed; what was before them has been given out. By `on_error`, the rest of it is left out."""
        if not 0 <= error.tag < len(self._fed):
            raise error
        self._skips.file(self._fed[error.tag], error, f"row {error.record + 1}" if error.record >= 0 else "")
        self._is_dropped = True
        self._new_stream(engine)

    # ---- rows

    def _due(self, engine: _core.Engine) -> Iterator[Any]:
        """What must be taken before more is fed: nothing as long as there is room."""
        self._show()
        while (is_ahead := self._is_ahead()) or self._stream.is_behind() or engine.is_full():
            is_idle = self._stream.n_committed == self._stream.n_accepted
            found = self._next(engine, 1 if is_ahead else 100)
            if found is None:
                return
            yield from found
            if is_idle and not found:
                return  # what fills the memory is not in the stream

    def _is_ahead(self) -> bool:
        """Whether the workers have enough to do: what waits for them longer leaves the caches, and takes new memory."""
        n_waiting = self._stream.n_accepted - self._stream.n_committed
        return n_waiting * self._chunk_bytes > _AHEAD_BYTES and n_waiting > _AHEAD_CHUNKS

    def _settle(self, engine: _core.Engine) -> Iterator[Any]:
        """The rows of all that was fed."""
        stream = self._stream
        stream.finish()
        while (found := self._next(engine, 1000)) is not None:
            yield from found
        if self._stream is stream:
            self._new_stream(engine)

    def _next(self, engine: _core.Engine, wait_ms: int) -> Iterator[Any] | tuple[()] | None:
        """Rows, or none yet; None: no more of this stream."""
        signals.raise_if_signalled()
        try:
            batches = self._stream.next_batch(wait_ms)
        except _core.Error as error:
            self._failed(engine, error)
            return None
        if batches is None:
            return None
        return self._emit(batches) if isinstance(batches, list) else ()

    def _emit(self, batches: list[_core.TableBatch]) -> Iterator[Any]:
        if not self._is_known:
            _schema.prepare_root(self._schema, self._at.resource)
            self._is_known = True
        self._n_tables += 1
        self._counts["rows"] += sum(batch.n_rows for batch in batches if batch.parent is None)
        yield from root_tables(self._schema, self._caps, self._writer, batches, self._roots)

    def _show(self, is_last: bool = False) -> None:
        self._progress.show(self._counts["bytes"], self._counts["files"], self._counts["rows"], is_last)
