"""Avro object container files: `read_avro`.

The file's frame (header, blocks, sync markers) is read here, with limits and positions; the blocks' values by Polars, which
makes columns of them, or, where the schema has what Polars does not know (maps, unions of several types, ...), by fastavro,
object by object. Blocks are put together to `[headrace] batch_bytes`, so that a file of any size takes the same memory.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

import pyarrow as pa
from dlt.common.json import json

from headrace._files.arguments import check_arguments
from headrace._files.avro_schema import Type, Types
from headrace._files.skips import Position
from headrace._files.tables import library, marked, read_tables, size_of
from headrace.config import setting

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_MAX_HEADER = 16 << 20  # bytes of the header's metadata
_MAX_BLOCK = 256 << 20  # bytes of a block, unpacked
_MAX_ROWS = 1 << 27  # of a block: each may have 0 bytes


def _read_avro(items: Iterable[Any], *, nested: str = "tables", on_error: str = "raise") -> Iterator[Any]:
    """Reads Avro object container files.

    Args:
        items: A page of files.
        nested: "tables": records within records become columns, arrays and maps child tables; "keep": they stay Arrow's.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is no Avro, or corrupt.
    """
    check_arguments("read_avro", {"nested": nested})
    fastavro = library("fastavro", "read_avro", "avro")
    polars = library("polars", "read_avro", "avro")

    def read(file: IO[bytes], position: Position, item: Any) -> Iterator[pa.Table]:
        for table in _File(file, position, polars, fastavro).tables():
            yield marked(table, nested)

    yield from read_tables(items, "read_avro", on_error, read)


class _Block(NamedTuple):
    n_rows: int
    data: bytes


class _File:
    """One file on its way."""

    def __init__(self, file: IO[bytes], position: Position, polars: Any, fastavro: Any) -> None:
        self._file = file
        self._position = position
        self._polars = polars
        self._fastavro = fastavro
        self._size = size_of(file)
        self._metadata = self._header()
        self._sync = self._exactly(_SYNC_BYTES, "the header's sync marker")
        self._schema = json.loadb(self._metadata.get("avro.schema", b"null"))
        self._codec = self._metadata.get("avro.codec", b"null").decode("latin-1")
        if self._codec not in _CODECS:
            raise ValueError(f"the codec is `{self._codec}`; headrace knows {', '.join(_CODECS)}")
        self._type = Types().read(self._schema)
        self._is_record = isinstance(self._schema, dict) and self._schema.get("type") in ("record", "error")

    # ---- the frame

    def _exactly(self, n: int, what: str) -> bytes:
        at = self._file.tell()
        found = self._file.read(n)
        if len(found) < n:
            raise ValueError(f"the file is cut: {what} at byte {at} has {len(found)} of {n} bytes")
        return found

    def _long(self, what: str) -> int:
        """A zigzag varint of at most 10 bytes."""
        at = self._file.tell()
        value = shift = 0
        while True:
            byte = self._exactly(1, what)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            if shift > 63:
                raise ValueError(f"{what} at byte {at} is no number")

    def _header(self) -> dict[str, bytes]:
        start = self._file.read(4)
        if not start:
            raise ValueError("the file is empty: 0 bytes, an Avro file begins with Obj")
        if start != _MAGIC:
            raise ValueError(f"no Avro file: expected {_MAGIC!r} at byte 0, found {start!r}")
        found: dict[str, bytes] = {}
        n_bytes = 0
        while (count := self._long("the header's number of entries")) != 0:
            if count < 0:
                self._long("the header's size")
            for _ in range(abs(count)):
                pair = []
                for what in ("a key of the header", "a value of the header"):
                    size = self._long(f"the size of {what}")
                    n_bytes += size + 1
                    if size < 0 or n_bytes > _MAX_HEADER:
                        raise ValueError(f"{what} at byte {self._file.tell()} has {size} bytes")
                    pair.append(self._exactly(size, what))
                found[pair[0].decode("utf-8", "replace")] = pair[1]
        return found

    def _blocks(self) -> Iterator[_Block]:
        number = 0
        while True:
            at = self._file.tell()
            if not self._file.read(1):
                return
            self._file.seek(at)
            self._position.move(f"block {number}, byte {at}", at / self._size)
            n_rows, size = self._long("the block's number of records"), self._long("the block's size")
            if not 0 <= n_rows <= _MAX_ROWS:
                raise ValueError(f"the block says that it has {n_rows} records")
            if not 0 <= size <= _MAX_BLOCK:
                raise ValueError(f"the block says that it has {size} bytes; the limit is {_MAX_BLOCK}")
            data = self._exactly(size, "the block's data")
            if self._exactly(_SYNC_BYTES, "the block's sync marker") != self._sync:
                raise ValueError(f"the sync marker at byte {self._file.tell() - _SYNC_BYTES} is not the file's")
            try:
                yield _Block(n_rows, _CODECS[self._codec](data))
            except (OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
                raise ValueError(f"the block's data is not {self._codec}: {error}") from error
            number += 1

    # ---- tables

    def tables(self) -> Iterator[pa.Table]:
        """The records, in batches."""
        held: list[_Block] = []
        n_bytes, n_tables, place = 0, 0, ""
        limit = setting("batch_bytes")
        blocks, failure = self._blocks(), None
        while failure is None:
            try:
                block = next(blocks, None)
            except ValueError as error:  # what stands before it is given first
                block, failure = None, error
            here = self._position.place
            if held and (block is None or n_bytes + len(block.data) > limit):
                self._position.place = place
                yield self._table(held)
                self._position.place = here
                held, n_bytes, n_tables = [], 0, n_tables + 1
            if block is None:
                break
            if not held:
                place = here
            held.append(block)
            n_bytes += len(block.data)
        if failure is not None:
            raise failure
        if n_tables == 0:
            yield self._table([])

    def _table(self, blocks: list[_Block]) -> pa.Table:
        n_rows = sum(block.n_rows for block in blocks)
        if self._is_record and self._type.plain is not None:
            table = self._by_columns(blocks)
        else:
            table = self._by_objects(blocks)
        if table.num_rows != n_rows:
            raise ValueError(f"blocks of {n_rows} records have {table.num_rows}")
        return table

    def _by_columns(self, blocks: list[_Block]) -> pa.Table:
        whole = self._plain_file(json.dumpb(self._type.plain), blocks)
        if any(block.n_rows > len(block.data) for block in blocks):
            raise ValueError("a block has more records than bytes")
        try:
            frame = self._polars.read_avro(io.BytesIO(whole))
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise ValueError(f"the records do not follow the schema: {str(error)[:200]}") from error
            raise
        records = frame.to_arrow().to_struct_array()
        made = [
            self._type.rebuilt(chunk)
            for chunk in (records.chunks if isinstance(records, pa.ChunkedArray) else [records])
        ]
        return pa.Table.from_batches([pa.RecordBatch.from_struct_array(part) for part in made], _schema(self._type))

    def _by_objects(self, blocks: list[_Block]) -> pa.Table:
        whole = self._plain_file(self._metadata["avro.schema"], blocks)
        convert = self._type.convert
        try:
            records = list(self._fastavro.reader(io.BytesIO(whole), return_record_name=True))
            if convert is not None:
                records = [convert(record) for record in records]
        except (EOFError, IndexError, KeyError, UnicodeDecodeError, OverflowError, TypeError) as error:
            raise ValueError(f"the records do not follow the schema: {error}") from error
        if not self._is_record:
            return pa.table({"value": pa.array(records, self._type.arrow)})
        return pa.Table.from_pylist(records, _schema(self._type))

    def _plain_file(self, schema: bytes, blocks: list[_Block]) -> bytes:
        """A file of these blocks, not compressed."""
        entries = {"avro.schema": schema, "avro.codec": b"null"}
        parts = [_MAGIC, _zigzag(len(entries))]
        for key, value in entries.items():
            parts += [_zigzag(len(key)), key.encode(), _zigzag(len(value)), value]
        parts += [b"\x00", self._sync]
        for block in blocks:
            parts += [_zigzag(block.n_rows), _zigzag(len(block.data)), block.data, self._sync]
        return b"".join(parts)


def _schema(kind: Type) -> pa.Schema:
    return pa.schema(list(kind.arrow))


def _zigzag(value: int) -> bytes:
    value <<= 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _limited(data: bytes, decompressor: Any) -> bytes:
    """What is unpacked, if it is within the limit."""
    found: bytes = decompressor.decompress(data, _MAX_BLOCK)
    if not decompressor.eof:
        raise OSError(f"it is cut, or larger than {_MAX_BLOCK} bytes")
    return found


def _snappy(data: bytes) -> bytes:
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > _MAX_BLOCK or len(data) < 4:
        raise OSError(f"it says that it has {size} bytes unpacked; the limit is {_MAX_BLOCK}")
    found: bytes = pa.Codec("snappy").decompress(data[:-4], decompressed_size=size, asbytes=True)
    if zlib.crc32(found) != int.from_bytes(data[-4:], "big"):
        raise OSError("its checksum differs")
    return found


def _zstandard(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        found: bytes = stream.read(_MAX_BLOCK + 1)
    if len(found) > _MAX_BLOCK:
        raise OSError(f"it is larger than {_MAX_BLOCK} bytes unpacked")
    return found


_CODECS: dict[str, Any] = {
    "null": lambda data: data,
    "deflate": lambda data: _limited(data, zlib.decompressobj(-15)),
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": lambda data: _limited(data, bz2.BZ2Decompressor()),
    "xz": lambda data: _limited(data, lzma.LZMADecompressor()),
}
