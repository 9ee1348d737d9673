"""Compressed bytes, undone as they are read: gzip, bzip2 and xz by Python's modules, zstd and lz4 by Arrow.

All of them release the GIL while they work. What a file holds is told by its first bytes, never by its name. Several
members or frames one after the other are read as one; zeros behind the last are padding.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

MAGIC_BYTES = 18  # that must be seen to tell
_INPUT_BYTES = 256 << 10
_BGZF_BLOCKS = 16  # of 64 KiB that a thread undoes at a time
_BGZF_TASKS = 8
_BGZF_MOST = (64 << 10) + 1  # bytes that a block may hold, by its specification, and one
_XZ_MEMORY = 256 << 20  # for a dictionary: a file may ask for 4 GiB


def compression_of(start: bytes) -> str | None:
    """The compression of a file that begins with these bytes; None: none that is known."""
    if start[:3] == b"\x1f\x8b\x08":
        return "gzip"
    if start[:4] == b"\x28\xb5\x2f\xfd" or (start[1:4] == b"\x2a\x4d\x18" and start[:1] in _SKIPPABLE):
        return "zstd"
    if start[:3] == b"BZh" and start[4:10] in (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2"
    if start[:6] == b"\xfd7zXZ\x00":
        return "xz"
    if start[:4] == b"\x04\x22\x4d\x18":
        return "lz4"
    return None


_SKIPPABLE = tuple(bytes([0x50 + n]) for n in range(16))  # frames that hold no data; zstd files may begin with one
_NEW: dict[str, Any] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
}
_ARROW = ("zstd", "lz4")


class Unpacked(io.RawIOBase):
    """gzip, bzip2 or xz members undone; `raw` is read as far as is needed and closed with this."""

    def __init__(self, raw: Any, kind: str, start: bytes = b"") -> None:
        self._raw = raw
        self._kind = kind
        self._made: Any = None  # decompressor of the member at work
        self._input = start
        self._n_members = 0
        self._is_at_end = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end. Raises `EOFError` for a cut member, `OSError` for a bad one."""
        while not self._is_at_end:
            if self._made is None and not self._begin():
                break
            found = self._step(len(into))
            if self._made.eof:
                self._input = self._made.unused_data
                self._made = None
            if found:
                into[: len(found)] = found
                return len(found)
        return 0

    def _begin(self) -> bool:
        """Starts the next member; False: there is none."""
        while True:
            if self._n_members:
                self._input = self._input.lstrip(b"\0")
            if self._input:
                break
            self._input = self._raw.read(_INPUT_BYTES) or b""
            if not self._input:
                self._is_at_end = True
                return False
        while len(self._input) < MAGIC_BYTES and (more := self._raw.read(_INPUT_BYTES)):
            self._input += more
        if self._n_members and compression_of(self._input) != self._kind:
            raise OSError(f"what stands behind member {self._n_members} is not {self._kind}")
        self._made = _NEW[self._kind]()
        self._n_members += 1
        return True

    def _step(self, most: int) -> bytes:
        made = self._made
        if not self._input and getattr(made, "needs_input", True):
            self._input = self._raw.read(_INPUT_BYTES) or b""
            if not self._input:
                raise EOFError(f"the {self._kind} data end within member {self._n_members}")
        try:
            found: bytes = made.decompress(self._input, most)
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as ex:
            raise OSError(f"{self._kind} member {self._n_members} is corrupt: {ex}") from ex
        self._input = getattr(made, "unconsumed_tail", b"")
        return found

    def close(self) -> None:
        """Closes what it reads from."""
        if not self.closed:
            self._raw.close()
        super().close()


class _Prefixed(io.RawIOBase):
    """Bytes that were read already, and then the rest."""

    def __init__(self, start: bytes, raw: Any) -> None:
        self._start = start
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        n = min(len(into), len(self._start))
        into[:n] = self._start[:n]
        self._start = self._start[n:]
        rest = memoryview(into)[n:]
        return n + (int(self._raw.readinto(rest) or 0) if rest else 0)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _OfArrow(io.RawIOBase):
    """zstd or lz4 frames undone by Arrow."""

    def __init__(self, raw: Any, kind: str) -> None:
        self._raw = raw
        self._kind = kind
        self._stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), kind)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        try:
            found = self._stream.read(len(into))
        except (OSError, pa.ArrowException) as ex:
            if "runcated" in str(ex):
                raise EOFError(f"the {self._kind} data end within a frame") from ex
            raise OSError(f"the {self._kind} data are corrupt: {ex}") from ex
        into[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()


class Bgzf(io.RawIOBase):
    """gzip in blocks that say their size (bgzip): undone side by side, in order."""

    def __init__(self, raw: Any, start: bytes) -> None:
        self._raw = raw
        self._input = start
        self._at = 0  # of the next block in the input
        self._n_blocks = 0
        self._is_at_end = False
        self._pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="headrace-bgzf")
        self._tasks: deque[Future[bytes]] = deque()
        self._found = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end. Raises `EOFError` for a cut block, `OSError` for a bad one."""
        while not self._found:
            while len(self._tasks) < _BGZF_TASKS and (blocks := self._next_blocks()):
                self._tasks.append(self._pool.submit(_inflate_blocks, blocks, self._n_blocks - len(blocks)))
            if not self._tasks:
                return 0
            self._found = memoryview(self._tasks.popleft().result())
        n = min(len(into), len(self._found))
        into[:n] = self._found[:n]
        self._found = self._found[n:]
        return n

    def _next_blocks(self) -> list[bytes]:
        blocks: list[bytes] = []
        while len(blocks) < _BGZF_BLOCKS and (block := self._next_block()) is not None:
            blocks.append(block)
        return blocks

    def _next_block(self) -> bytes | None:
        if not self._has(MAGIC_BYTES):
            rest = self._input[self._at :]
            if rest.strip(b"\0"):
                raise EOFError(f"the gzip data end within block {self._n_blocks + 1}")
            return None
        head = self._input[self._at : self._at + MAGIC_BYTES]
        if not _is_bgzf(head):
            if not self._n_blocks or head.strip(b"\0"):
                raise OSError(f"what stands behind block {self._n_blocks} is no block of bgzip")
            return None
        size = int.from_bytes(head[16:18], "little") + 1
        if not self._has(size):
            raise EOFError(f"the gzip data end within block {self._n_blocks + 1}")
        block = self._input[self._at : self._at + size]
        self._at += size
        self._n_blocks += 1
        return block

    def _has(self, size: int) -> bool:
        """Whether so many bytes more are in the input, which is read for it."""
        while len(self._input) - self._at < size and not self._is_at_end:
            more = self._raw.read(_INPUT_BYTES)
            self._is_at_end = not more
            self._input = self._input[self._at :] + (more or b"")
            self._at = 0
        return len(self._input) - self._at >= size

    def close(self) -> None:
        """Closes what it reads from."""
        if not self.closed:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._raw.close()
        super().close()


def _is_bgzf(start: bytes) -> bool:
    """Whether a gzip member says its size in a field BC, the only extra one (SAM specification, 4.1)."""
    return start[:4] == b"\x1f\x8b\x08\x04" and start[10:16] == b"\x06\0BC\x02\0"


def _inflate_blocks(blocks: list[bytes], first: int) -> bytes:
    found = []
    for number, block in enumerate(blocks, first + 1):
        made = zlib.decompressobj(wbits=31)
        try:
            found.append(made.decompress(block, _BGZF_MOST))
        except zlib.error as ex:
            raise OSError(f"gzip block {number} is corrupt: {ex}") from ex
        if not made.eof or made.unused_data:
            raise OSError(f"gzip block {number} is corrupt: its size is not what it says")
    return b"".join(found)


def unpacked(raw: Any) -> tuple[io.RawIOBase, str | None]:
    """The bytes of `raw` without their compression, and which that was. `raw` is closed with what is returned."""
    start = b""
    while len(start) < MAGIC_BYTES and (more := raw.read(MAGIC_BYTES - len(start))):
        start += more
    kind = compression_of(start)
    if kind is None:
        return _Prefixed(start, raw), None
    if kind in _ARROW:
        return _OfArrow(_Prefixed(start, raw), kind), kind
    if kind == "gzip" and _is_bgzf(start):
        return Bgzf(raw, start), kind
    return Unpacked(raw, kind, start), kind
