"""dlt's normalize step in the engine: the records of an extracted file become the rows of its load files.

    dlt's worker -> NativeItemsNormalizer(file) -> lines -> Stream.feed -> [workers: decode, normalize] -> Stream.next_batch
                                                                                              -> dlt's item storage

A line of the file (up to 5,000 records) is a page. A stream goes on from file to file of a table, so that many small files
make few batches, until one of them changes the schema. What the engine does not do, dlt does, a record at a time: the engine
stops at such a record with all rows before it given out, dlt's own code takes the record (and extends the schema, applies
a contract, raises its own errors), and a new stream goes on behind it with the schema as it is then.
"""

from __future__ import annotations

import functools
import gzip
import io
import mmap
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, NamedTuple

from dlt.common import logger
from dlt.common.json import json, may_have_pua
from dlt.common.normalizers.json import relational_no_coercion
from dlt.common.normalizers.naming import snake_case
from dlt.common.schema import Schema, TSchemaUpdate
from dlt.common.schema.exceptions import DataValidationError
from dlt.common.schema.typing import TSchemaContractDict
from dlt.common.schema.utils import has_table_seen_data
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from headrace import _core, _schema, _status
from headrace._normalize import dlt_versions as _dlt_versions
from headrace._normalize import names as _normalize_names
from headrace._normalize import reasons as _normalize_reasons
from headrace._normalize.contracts import Violation, told_together
from headrace._normalize.load_files import take_rows, why_rows
from headrace._normalize.rows import Rows
from headrace.config import HeadraceConfiguration, settings

_DLT_TAKES = {"SCHEMA", "UNSUPPORTED", "COERCE", "NULL_VALUE", "RANGE", "ENCODING", "LIMIT", "SYNTAX"}
_PATIENCE_RECORDS = 100  # records that dlt may take before it is asked whether they are too many
_PATIENCE_SHARE = 0.02  # of the records: if dlt takes more, it takes the rest of the file
_WAIT_MS = 5
# Of freed memory, two batches: the kernel clears less than with 24 MB, a twentieth of the step's CPU.
_KEEP_BYTES = 48 << 20
_SMALL_BYTES = 1 << 20  # of a file whose rows may wait for those of the next
_COMMIT_MS = 1000  # a small file's records are waited for; then its stream ends
_MAX_VIOLATIONS = 1000  # of contracts that are counted
_READ_BYTES = 1 << 20
_PIECE_BYTES = (
    250_000  # with its tape and rows in a core's cache; its buffer has 256 KiB, last record and padding included
)


class _Piece(NamedTuple):
    """A line of the file, or some of its records: what is fed as a page."""

    tag: int
    line: int
    text: bytes | memoryview
    in_brackets: bool  # elements of the line's array, without its brackets
    before: tuple[memoryview, ...]  # the line's elements before it
    skip: int  # records at its start that are done
    rest: memoryview | None = None  # the line from here to its end, if it was cut where records are likely to begin

    def items(self) -> list[Any]:
        """The records as dlt reads them (of a line that is an object, it takes the keys)."""
        try:
            return list(json.loadb(b"".join((b"[", self.text, b"]")) if self.in_brackets else bytes(self.text)))
        except (TypeError, ValueError) as ex:
            ex.args = (f"{ex} (in line {self.line + 1} of the file)", *ex.args[1:])
            raise

    def origin(self, index: int) -> str:
        """Where the record stands in the file."""
        if self.before:
            index += len(json.loadb(b"".join((b"[", b",".join(self.before), b"]"))))
        return f"record {index} of line {self.line + 1}"


class _Pieces:
    """The lines, long ones cut between records: small pages keep the memory small and all cores at work.

    A line is cut where its records are likely to begin, which takes a tenth of the time of reading it. A cut within a
    record shows: the piece before it does not decode. From there on this line and the rest of the file are read.
    """

    def __init__(self, lines: Iterable[bytes | memoryview]) -> None:
        self._lines = enumerate(lines)
        self._cut: deque[_Piece] = deque()  # of the last line
        self._tag = 0
        self._is_likely = True
        self.n = 0  # lines read
        self.error: Exception | None = None  # what reading ended with: to be raised when all before it is done

    def next(self) -> _Piece | None:
        """The next piece; None: that was all."""
        if not self._cut:
            try:
                number, line = next(self._lines, (0, None))
            except (EOFError, zlib.error, gzip.BadGzipFile) as ex:
                ex.args = (f"{ex} (behind line {self.n} of the file)", *ex.args[1:])
                self.error = ex
                return None
            if line is None:
                return None
            self.n += 1
            self._cut.extend(self._pieces(number, memoryview(line), (), self._is_likely))
        return self._cut.popleft()

    def cut_again(self, piece: _Piece) -> list[_Piece]:
        """What stands in the piece and behind it in its line, cut for certain."""
        assert piece.rest is not None
        self._is_likely = False
        if self._cut and self._cut[0].line == piece.line:
            self._cut.clear()
        return list(self._pieces(piece.line, memoryview(b"[" + piece.rest), piece.before, False))

    def _pieces(
        self, number: int, line: memoryview, before: tuple[memoryview, ...], is_likely: bool
    ) -> Iterator[_Piece]:
        slices: list[tuple[int, int]] = []
        if len(line) > 2 * _PIECE_BYTES:
            slices = _core.split_records(line, _PIECE_BYTES, True) if is_likely else []
            is_likely = bool(slices)
            slices = slices or _core.split_records(line, _PIECE_BYTES)
        for start, end in slices:
            done = (line[slices[0][0] : start - 1],) if start != slices[0][0] else ()
            rest = line[start:] if is_likely else None
            yield _Piece(self._tag, number, line[start:end], True, before + done, 0, rest)
            self._tag += 1
        if not slices:
            yield _Piece(self._tag, number, line, False, before, 0)
            self._tag += 1


def _lines(file: IO[bytes]) -> Iterator[bytes | memoryview]:
    """The lines of a file that may be compressed; those of a plain one are views of the mapped file."""
    if isinstance(file, gzip.GzipFile):
        yield from _lines_of_gzip(file)
    elif os.fstat(file.fileno()).st_size != 0:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # lives as long as views of it
        view = memoryview(content)
        start = 0
        while start < len(view):
            end = content.find(b"\n", start) + 1 or len(view)
            yield view[start:end]
            content.madvise(
                mmap.MADV_DONTNEED, start & -mmap.PAGESIZE, end - (start & -mmap.PAGESIZE)
            )  # fed: RSS stays low
            start = end


def _lines_of_gzip(file: gzip.GzipFile) -> Iterator[bytes]:
    """Read ahead; of a broken file, all lines that dlt, which does not, would have read before the error."""
    n = 0
    buffered = io.BufferedReader(file, _READ_BYTES)
    try:
        for line in buffered:
            n += 1
            yield line
        return
    except (EOFError, zlib.error, gzip.BadGzipFile):
        buffered.detach()
    file.seek(0)
    yield from islice(file, n, None)


class NativeItemsNormalizer(JsonLItemsNormalizer):
    """dlt's normalizer of extracted records with the engine in it. Records that it cannot take go dlt's own way."""

    _engine: _core.Engine | None = None
    _root = ""  # of the files: a normalizer has one table's
    _open: _core.Stream | None = None  # with rows of the files before; all that it was fed is committed
    _open_version = (0, 0)  # of the schema when it was left open
    _n_received = _n_rows = 0  # records of files, and the root table's rows that were made of them; not noted yet
    _n_native = _n_by_dlt = 0  # of these records those that the engine took, and dlt
    _n_chunks = 0  # that dlt normalized
    _decided: tuple[tuple[int, int], str | None] | None = None
    _stream_options: tuple[tuple[int, int], dict[str, Any]] | None = None
    _naming_calls: Any = None
    _settings: HeadraceConfiguration | None = None
    _rule_calls: Any = None

    def __call__(self, extracted_items_file: str, root_table_name: str) -> list[TSchemaUpdate]:
        """Normalizes the file's records into load files. Returns the tables and columns that were added."""
        self._root = root_table_name
        why = self.reason()
        name = os.path.basename(extracted_items_file)
        if why is not None:
            self._settle()
            # Its writers may be those of a native file before.
            vars(self.item_storage)["origin"] = lambda: f"in {name}"
            updates = super().__call__(extracted_items_file, root_table_name)
            self._note(why)
            return updates
        self._maybe_cancel()
        with self.normalize_storage.extracted_packages.storage.open_file(extracted_items_file, "rb") as file:
            pieces = _Pieces(_lines(file))
            updates = self._work(pieces, name)
        if self._open is None and (pieces.n or self._n_received):
            self._note(None)
        if pieces.n == 0:
            return super().__call__(extracted_items_file, root_table_name)  # an empty file materializes the table
        self._truncate_if_empty(root_table_name, updates)
        return updates

    def _work(self, pieces: _Pieces, name: str) -> list[TSchemaUpdate]:
        stream = self._open
        if stream is not None and self.version() != self._open_version:  # of another table's file, or by dlt
            self._settle()
            stream = None
        self._open = None
        take_rows(self.item_storage, self._settle)
        work = _File(self, self._root, pieces, name)
        self._open = work.run(stream)
        self._open_version = self.version()
        self._n_native += work.n_records
        self._n_by_dlt += work.n_by_dlt
        return work.updates

    def _settle(self, is_lost: bool = False) -> None:
        """Writes the rows of the files before that the engine still has; `is_lost`: forgets them."""
        stream, self._open = self._open, None
        if stream is None:
            return
        if not is_lost:
            work = _File(self, self._root, _Pieces(()), "")
            work.run(stream)
            self._n_native += work.n_records
        self._note(None)

    def _note(self, why: str | None) -> None:
        """Says how the files were normalized whose rows are written."""
        by_rows = why_rows(self.item_storage, self.config.destination_capabilities) if why is None else None
        _status.note(
            self.load_id,
            self._root,
            why,
            self._n_native,
            self._n_by_dlt,
            by_rows,
            received=self._n_received,
            rows=self._n_rows,
        )
        self._n_received = self._n_rows = self._n_native = self._n_by_dlt = 0

    def version(self) -> tuple[int, int]:
        """Another one when the schema, or what contracts leave out, may have changed."""
        return _changes(self.schema)[0], self._n_chunks

    def reason(self) -> str | None:
        """Why dlt normalizes the table's records itself; None: the engine does."""
        version = self.version()
        if self._decided is None or self._decided[0] != version:
            why = _normalize_reasons.reason(self.schema, self._root, self.item_storage, self.settings().native)
            self._decided = version, why
        return self._decided[1]

    def stream(self) -> _core.Stream:
        """A new stream, with the schema as it is."""
        version = self.version()
        if self._stream_options is None or self._stream_options[0] != version:
            self._stream_options = version, self._options()
        return self.engine().stream(**self._stream_options[1])

    def _options(self) -> dict[str, Any]:
        schema, root, file_format = self.schema, self._root, self.item_storage.writer_spec.file_format
        for_text = file_format != "parquet"
        normalizer = schema.data_item_normalizer
        return {
            "table": root,
            "tables": _with_left_out(
                _schema.seed_tables(schema, root, not for_text),
                self._filtered_tables,
                self._filtered_tables_columns,
                self._table_contracts,
            ),
            "load_id": self.load_id,
            "selector": [],
            "batch_bytes": self.settings().batch_bytes,
            "naming": self.naming_calls(),
            "rules": self.rule_calls(),
            "no_coercion": isinstance(normalizer, relational_no_coercion.DataItemNormalizer),
            "fixed_schema": _normalize_reasons.leaves_schema_to_dlt(schema, root),
            "stop_at_record": True,
            "leave_double_decimals": not _dlt_versions.DECIMALS_OF_DOUBLES_BY_TEXT,
            "for_text": for_text,
            "wei_precision": _wei_precision(),
            "leave_typed_moments": _dlt_versions.KEEPS_OFFSETS,
            "leave_naive_timestamps": _dlt_versions.KEEPS_OFFSETS and for_text,
            "leave_typed_timestamps": _dlt_versions.KEEPS_OFFSETS and file_format in ("jsonl", "csv"),
            **_schema.normalizer_options(schema, root, getattr(normalizer, "propagation_config", None) or {}),
        }

    def has_rows(self) -> bool:
        """Whether rows of the table were written."""
        return f"{self.load_id}.{self.schema.name}.{self._root}" in self.item_storage.buffered_writers

    def received(self, n_records: int) -> None:
        """Counts records of the file that the engine has done."""
        self._n_received += n_records

    def _normalize_chunk(
        self, root_table_name: str, items: list[Any], may_have_pua: bool, skip_write: bool
    ) -> TSchemaUpdate:
        self._n_chunks += 1
        self._n_received += 0 if skip_write else len(items)
        return super()._normalize_chunk(root_table_name, items, may_have_pua, skip_write)

    def _report_progress(self, table_name: str, items_count: int) -> None:
        self._n_rows += items_count if table_name == self._root else 0
        super()._report_progress(table_name, items_count)

    def _truncate_if_empty(self, root: str, updates: list[TSchemaUpdate]) -> None:
        """Rows were all left out: a table that has seen data is emptied, as dlt does it (`JsonLItemsNormalizer.__call__`)."""
        storage, schema = self.item_storage, self.schema
        if not _dlt_versions.EMPTIES_TABLE_WITHOUT_ROWS or root not in schema.tables:
            return
        if self.has_rows():
            return
        has_seen_data = has_table_seen_data(schema.tables[root])
        if not has_seen_data and _dlt_versions.MAKES_TABLE_WITHOUT_ROWS:
            updates.append(self._normalize_chunk(root, [{}], False, skip_write=True))
        if has_seen_data or _dlt_versions.MAKES_TABLE_WITHOUT_ROWS:
            storage.write_empty_items_file(self.load_id, schema.name, root, schema.get_table_columns(root))

    def engine(self) -> _core.Engine:
        """The engine of this table's files; it lives until `close`."""
        if self._engine is None:
            config = self.settings()
            keep = min(_KEEP_BYTES, config.memory_limit)
            self._engine = _core.Engine(workers=config.workers, memory_limit=config.memory_limit, keep=keep)
        return self._engine

    def settings(self) -> HeadraceConfiguration:
        """The settings in force; resolved once, which takes dlt milliseconds."""
        if self._settings is None:
            self._settings = settings()
        return self._settings

    def naming_calls(self) -> Any:
        """What the engine calls for names; None: it knows the convention itself."""
        knows = type(self.schema.naming) is snake_case.NamingConvention
        knows = knows and bool(self.schema._normalizers_config.get("use_break_path_on_normalize", True))
        if self._naming_calls is None and not knows:
            self._naming_calls = _normalize_names.naming(self.schema)
        return self._naming_calls

    def rule_calls(self) -> Any:
        """What the engine calls for the settings of a column; None: the schema has none that it must know."""
        if self._rule_calls is None and _normalize_names.has_rules(self.schema):
            self._rule_calls = _normalize_names.rules(self.schema, self._filter_row)
        return self._rule_calls

    def close(self) -> None:
        """Ends the engine's threads."""
        self._open = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        super().close()


class _File:
    """The records of one file on their way through the engine."""

    def __init__(self, owner: NativeItemsNormalizer, root: str, pieces: _Pieces, name: str) -> None:
        self.owner = owner
        self.schema: Schema = owner.schema
        self.root = root
        self.updates: list[TSchemaUpdate] = []
        self.n_records = 0  # that the engine was given and dlt was not
        self.n_by_dlt = 0
        self._violations: list[Violation] = []  # of contracts: the file fails, the rest of it is read to tell of all
        self._pieces = pieces
        self._again: deque[_Piece] = deque()  # to be fed before new ones: a stream that stopped did not commit them
        self._fed: deque[_Piece] = deque()  # to the stream, not committed
        self._n_committed = 0  # of the stream
        self._n_bytes = 0  # fed
        self._is_finished = self._ended = False  # the stream: it gets no more, it has no more
        self._caps = owner.config.destination_capabilities
        self._max_fed_bytes = max(owner.settings().memory_limit // 32, 1 << 20)
        self._at: tuple[_Piece, int] | None = None  # the record that dlt is given
        self._name = name
        vars(owner.item_storage)["origin"] = self._origin

    def run(self, stream: _core.Stream | None) -> _core.Stream | None:
        """Works through the file, with the stream of the files before it. Returns it if rows stay in it."""
        self._n_committed = 0 if stream is None else stream.n_committed
        while (stream is None or not self._ended) and len(self._violations) <= _MAX_VIOLATIONS:
            if stream is None:
                if self.owner.reason() is not None:
                    self._rest_by_dlt()  # dlt gave a column a type that is not the engine's
                    break
                self._fed.clear()
                self._n_committed, self._is_finished = 0, False
                stream = self.owner.stream()
            if self._feed(stream) and not self._is_finished and not self._finish(stream):
                return stream
            try:
                batches = stream.next_batch(_WAIT_MS)
            except _core.Error as error:
                self._take_nulls(stream)
                self.owner.received(stream.n_records)
                stream = None
                self._by_dlt(error)
                if self._is_too_much():
                    self._rest_by_dlt()
                    break
                continue
            self._settle(stream)
            self.owner._maybe_cancel()
            if batches is None:
                self._take_nulls(stream)
                self.owner.received(stream.n_records)
                self._ended = True
            elif batches is not False and not self._violations:
                self._write(batches)  # type: ignore[arg-type]
        if self._violations:
            raise told_together(self._violations)
        if self._pieces.error is not None:
            raise self._pieces.error
        return None

    # ---- in

    def _next(self) -> _Piece | None:
        if self._again:
            return self._again.popleft()
        return self._pieces.next()

    def _feed(self, stream: _core.Stream) -> bool:
        """Keeps the engine busy within the memory limit. Returns whether all is fed."""
        n_bytes = sum(len(piece.text) for piece in self._fed)
        while not self._fed or (n_bytes < self._max_fed_bytes and not self.owner.engine().is_full()):
            piece = self._next()
            if piece is None:
                return True
            stream.feed(piece.tag, piece.text, piece.in_brackets, piece.skip)
            self._fed.append(piece)
            n_bytes += len(piece.text)
            self._n_bytes += len(piece.text)
        return False

    def _finish(self, stream: _core.Stream) -> bool:
        """Ends the stream, all is fed. False: the rows may wait in it for those of the next file."""
        may_wait = 0 < self._n_bytes < _SMALL_BYTES and self.owner.has_rows()
        may_wait = may_wait and self._pieces.error is None and not self._violations
        if may_wait and stream.wait_committed(_COMMIT_MS) and not stream.has_grown():
            while batches := stream.next_batch(0):  # a full one
                self._write(batches)  # type: ignore[arg-type]
            return False
        stream.finish()
        self._is_finished = True
        return True

    def _settle(self, stream: _core.Stream) -> None:
        """Forgets pieces whose rows are committed."""
        while self._n_committed < stream.n_committed and self._fed:
            self._n_committed += 1
            self._fed.popleft()

    # ---- out

    def _write(self, batches: list[_core.TableBatch]) -> None:
        owner, update = self.owner, {}
        for batch in batches:
            partial = _schema.tell(self.schema, self._caps, batch)
            if partial is not None:
                update[batch.name] = [partial]
        if update:
            self.updates.append(update)
        for batch in batches:
            if batch.n_rows == 0:
                continue
            columns = owner._column_schemas[batch.name] = self.schema.get_table_columns(batch.name)
            owner.item_storage.write_data_item(owner.load_id, self.schema.name, batch.name, Rows(batch), columns)
            owner._report_progress(batch.name, batch.n_rows)
            self.n_records += batch.n_rows if batch.name == self.root else 0

    def _take_nulls(self, stream: _core.Stream) -> None:
        for table, column in stream.null_columns():
            self.owner._null_only_columns.setdefault(table, set()).add(column)

    # ---- dlt's way

    def _by_dlt(self, error: _core.Error) -> None:
        """Has dlt take the record at which the engine stopped (or the whole piece). Raises what dlt raises."""
        while self._fed and self._fed[0].tag != error.tag:
            self._fed.popleft()
        if error.code not in _DLT_TAKES or not self._fed:
            raise error
        piece = self._fed.popleft()
        again = [*self._fed, *self._again]
        self._fed.clear()
        if piece.rest is not None and error.stage == "decode":  # it may have been cut within a record
            again = [*self._pieces.cut_again(piece), *(other for other in again if other.line != piece.line)]
            self._again = deque(again)
            return
        self._again = deque(again)
        items = piece.items()
        first, end = (error.record, error.record + 1) if error.record >= 0 else (piece.skip, len(items))
        self.owner.received(first - piece.skip)
        self._normalize(piece, items, first, end)
        if end < len(items):
            self._again.appendleft(piece._replace(skip=end))

    def _normalize(self, piece: _Piece, items: list[Any], first: int, end: int) -> None:
        has_pua = may_have_pua(bytes(piece.text))
        for index in range(first, end):
            self._at = (piece, index)
            try:
                update = self.owner._normalize_chunk(self.root, [items[index]], has_pua, skip_write=False)
            except DataValidationError as ex:
                self._violations.append(Violation(piece.origin(index), ex))
                continue
            except Exception as ex:
                if self._violations:
                    raise told_together(self._violations) from ex
                if not vars(ex).get("is_told"):
                    ex.args = (f"{ex} ({piece.origin(index)})", *ex.args[1:])
                raise
            if update:
                self.updates.append(update)
        self.n_by_dlt += end - first

    def _origin(self) -> str:
        """Of the record that dlt is given."""
        assert self._at is not None
        piece, index = self._at
        return f"{piece.origin(index)} of {self._name}"

    def _is_too_much(self) -> bool:
        return self.n_by_dlt > max(_PATIENCE_RECORDS, _PATIENCE_SHARE * self.n_records)

    def _rest_by_dlt(self) -> None:
        logger.info(
            f"headrace: dlt normalizes the rest of a file of `{self.root}` itself: the engine handed back {self.n_by_dlt} of"
            f" {self.n_by_dlt + self.n_records} records"
        )
        while (piece := self._next()) is not None and len(self._violations) <= _MAX_VIOLATIONS:
            self.owner._maybe_cancel()
            items = piece.items()
            self._normalize(piece, items, piece.skip, len(items))


def _changes(schema: Schema) -> list[int]:
    """Counts how often the schema is changed, by whom it may be: a list of that number."""
    counted: list[int] | None = vars(schema).get("_headrace_changes")
    if counted is None:
        counted = vars(schema)["_headrace_changes"] = [0]
        vars(schema)["update_table"] = functools.partial(_update_counted, schema.update_table, counted)
    return counted


def _update_counted(update: Any, counted: list[int], *args: Any, **kwargs: Any) -> Any:
    counted[0] += 1
    return update(*args, **kwargs)


def _wei_precision() -> tuple[int, int]:
    """Digits of new wei columns, in all and behind the point; (0, 0): dlt makes them."""
    precision, scale = _schema.decimal_precision({"data_type": "wei"})
    return (precision, scale) if 0 <= scale <= precision <= _schema.MAX_WIDE_PRECISION else (0, 0)


def _with_left_out(
    tables: list[_core.Table],
    left_out: set[str],
    left_out_columns: dict[str, dict[str, Any]],
    contracts: dict[str, TSchemaContractDict],
) -> list[_core.Table]:
    """The chain with the tables and columns that contracts leave out. A contract says of a value of another type what it
    says of types, whatever it said of a key with the name of the variant.
    """
    flags = {"discard_value": _core.COL_DISCARD_VALUE, "discard_row": _core.COL_DISCARD_ROW}
    for name, _, _, columns, *_ in tables:
        assert columns is not None
        hints = {column[0]: index for index, column in enumerate(columns)}
        mode_of_types = contracts.get(name, {}).get("data_type")
        for column, mode in left_out_columns.get(name, {}).items():
            if mode not in flags:
                continue
            flag = flags[mode] | (_core.COL_DISCARD_VARIANT if mode == mode_of_types else 0)
            if column in hints:
                known = columns[hints[column]]
                columns[hints[column]] = (*known[:2], known[2] | flag, *known[3:])
            elif len(columns) < _core.MAX_COLUMNS:
                columns.append((column, "", flag, 0, 0))
    in_schema = {table[0] for table in tables}
    more = [(name, None, -1, None, "random") for name in left_out if name not in in_schema]
    return tables + more[: _core.MAX_TABLES - len(tables)]
