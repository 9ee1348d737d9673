"""Compressed bytes, undone as they are read: gzip, bzip2 and xz by Python's modules, zstd and lz4 by Arrow.

All of them release the GIL while they work. What a file holds is told by its first bytes, never by its name. Several
members or frames one after the other are read as one; zeros behind the last are padding.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from headrace._files.handed import HandedBlocks

MAGIC_BYTES = 18  # that must be seen to tell
_INPUT_BYTES = 256 << 10
_BGZF_BLOCKS = 16  # of 64 KiB that a thread undoes at a time
_BGZF_MOST = (64 << 10) + 1  # bytes that a block may hold, by its specification, and one
_FRAMES_BYTES = 256 << 10  # of zstd frames that a thread undoes at a time
_FRAMES_MADE = 4 << 20  # or that they make
_FRAME_BYTES = 8 << 20  # of a zstd frame that is undone by itself
_FRAME_MADE = 32 << 20  # that it may make
_ZSTD_BLOCK = 128 << 10  # that a block makes at most (RFC 8878, 3.1.1.2.4)
_MOST_MADE = 32 << 20  # that parts undone side by side may make, one part at least
_AHEAD_BYTES = 1 << 20
_AHEAD_BLOCKS = 4
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


def _of_arrow(error: Exception, kind: str) -> Exception:
    if "runcated" in str(error):
        return EOFError(f"the {kind} data end within a frame")
    return OSError(f"the {kind} data are corrupt: {error}")


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
            raise _of_arrow(ex, self._kind) from ex
        into[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()


class _SideBySide(io.RawIOBase):
    """Parts of a file that can be undone each by itself: side by side, in order, within a limit of bytes at work."""

    def __init__(self, raw: Any, start: bytes) -> None:
        self._raw = raw
        self._input = start
        self._at = 0  # of the next part in the input
        self._is_at_end = False
        self._pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="headrace-unpack")
        self._tasks: deque[tuple[Future[Any], int]] = deque()
        self._n_bytes = 0  # that the tasks may make
        self._found = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end. Raises `EOFError` for a cut part, `OSError` for a bad one."""
        while not self._found:
            while (not self._tasks or self._n_bytes < _MOST_MADE) and (task := self._next_task()) is not None:
                undo, n_bytes = task
                self._tasks.append((self._pool.submit(undo), n_bytes))
                self._n_bytes += n_bytes
            if not self._tasks:
                return self._rest(into)
            future, n_bytes = self._tasks.popleft()
            self._n_bytes -= n_bytes
            self._found = memoryview(future.result()).cast("B")
        n = min(len(into), len(self._found))
        into[:n] = self._found[:n]
        self._found = self._found[n:]
        return n

    def _next_task(self) -> tuple[Callable[[], Any], int] | None:
        """What undoes the next parts, and how many bytes that may give; None: there are no more."""
        raise NotImplementedError

    def _rest(self, into: Any) -> int:
        """What stands behind the parts."""
        return 0

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


class Bgzf(_SideBySide):
    """gzip in blocks that say their size (bgzip)."""

    def __init__(self, raw: Any, start: bytes) -> None:
        super().__init__(raw, start)
        self._n_blocks = 0

    def _next_task(self) -> tuple[Callable[[], Any], int] | None:
        blocks = self._next_blocks()
        if not blocks:
            return None
        return partial(_inflate_blocks, blocks, self._n_blocks - len(blocks)), len(blocks) * _BGZF_MOST

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


class ZstdFrames(_SideBySide):
    """zstd in frames (pzstd, seekable zstd, files put together). Their ends are found by the sizes of their blocks, without
    undoing them (RFC 8878, 3.1.1). From a frame on that is large, or no frame, one thread undoes what is left.
    """

    def __init__(self, raw: Any, start: bytes) -> None:
        super().__init__(raw, start)
        self._stream: _OfArrow | None = None
        self._is_rest = False  # whether what is left is for one thread

    def _next_task(self) -> tuple[Callable[[], Any], int] | None:
        frames: list[bytes] = []
        n_bytes = n_made = 0
        is_told = True
        while n_bytes < _FRAMES_BYTES and n_made < _FRAMES_MADE and (found := self._next_frame()) is not None:
            frames.append(found[0])
            n_bytes += len(found[0])
            n_made += found[1]
            is_told &= found[2]
        return (partial(_undo_frames, b"".join(frames), n_made, is_told), n_made) if frames else None

    def _next_frame(self) -> tuple[bytes, int, bool] | None:
        """The next frame, how many bytes it makes at most, and whether it told that: then it is exact; None: none, or none
        that is to be undone by itself.
        """
        if self._is_rest or not self._has(1):
            return None
        size, n_made, is_told = self._size()
        if not size or n_made > _FRAME_MADE or not self._has(size):
            self._is_rest = True
            return None
        frame = self._input[self._at : self._at + size]
        self._at += size
        return frame, n_made, is_told

    def _size(self) -> tuple[int, int, bool]:
        """Bytes of the frame, what it makes at most, and whether it told that; 0: it is none, or longer than is looked for."""
        start = self._peek(0, MAGIC_BYTES)
        if start[1:4] == b"\x2a\x4d\x18" and start[:1] in _SKIPPABLE:
            size = 8 + int.from_bytes(start[4:8], "little")
            return (size if size <= _FRAME_BYTES else 0), 0, True
        if start[:4] != b"\x28\xb5\x2f\xfd" or len(start) < 5:
            return 0, 0, False
        told = start[4]
        is_single = told >> 5 & 1
        size = 5 + (1 - is_single) + (0, 1, 2, 4)[told & 3]
        n_told = (is_single, 2, 4, 8)[told >> 6]
        told_made = int.from_bytes(start[size : size + n_told], "little") + (256 if n_told == 2 else 0)
        if told_made > _FRAME_MADE:
            return 0, 0, False
        size += n_told
        n_made = 0
        while size <= _FRAME_BYTES and n_made <= _FRAME_MADE and len(head := self._peek(size, 3)) == 3:
            block = int.from_bytes(head, "little")
            n, kind = block >> 3, block >> 1 & 3
            if kind == 3:
                break
            size += 3 + (1 if kind == 1 else n)
            n_made += _ZSTD_BLOCK if kind == 2 else n
            if block & 1:
                return size + (4 if told & 4 else 0), told_made if n_told else n_made, n_told > 0
        return 0, 0, False

    def _peek(self, at: int, n: int) -> bytes:
        """n bytes behind `at` of the next frame; fewer at the end."""
        self._has(at + n)
        return self._input[self._at + at : self._at + at + n]

    def _rest(self, into: Any) -> int:
        if self._stream is None:
            if not self._has(1):
                return 0
            rest, self._input, self._at = self._input[self._at :], b"", 0
            self._stream = _OfArrow(_Prefixed(rest, self._raw), "zstd")
        return self._stream.readinto(into)

    def close(self) -> None:
        """Closes what it reads from."""
        if not self.closed and self._stream is not None:
            self._stream.close()
        super().close()


def _undo_frames(frames: bytes, n_made: int, is_told: bool) -> Any:
    if not n_made:
        return b""
    if is_told:  # at once; a frame that makes another number of bytes is an error
        try:
            return pa.decompress(frames, n_made, "zstd")
        except (OSError, pa.ArrowException) as ex:
            raise _of_arrow(ex, "zstd") from ex
    with _OfArrow(io.BytesIO(frames), "zstd") as stream:
        return io.BufferedReader(stream, 1 << 20).read()


class ReadAhead(io.RawIOBase):
    """Bytes that a thread of its own reads, and undoes of their compression, before they are asked for."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._blocks = HandedBlocks(_AHEAD_BLOCKS)
        self._found = memoryview(b"")
        self._is_ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="headrace-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        reader = io.BufferedReader(self._content, _AHEAD_BYTES)
        try:
            while self._blocks.put(block := reader.read1(_AHEAD_BYTES)) and block:
                pass
        except BaseException as ex:
            self._blocks.put(ex)
        finally:
            reader.detach()

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end. Raises what reading raised."""
        if self._error is not None:
            raise self._error
        if not self._found and not self._is_ended:
            try:
                block = self._blocks.take(waits=True)
            except BaseException as ex:
                self._error = ex
                raise
            self._is_ended = not block
            self._found = memoryview(block or b"")
        n = min(len(into), len(self._found))
        into[:n] = self._found[:n]
        self._found = self._found[n:]
        return n

    def close(self) -> None:
        """Ends the thread and closes what it reads from."""
        if not self.closed:
            self._blocks.stop()
            self._thread.join()
            self._content.close()
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
    if kind == "zstd":
        return ZstdFrames(raw, start), kind
    if kind in _ARROW:
        return _OfArrow(_Prefixed(start, raw), kind), kind
    if kind == "gzip" and _is_bgzf(start):
        return Bgzf(raw, start), kind
    return Unpacked(raw, kind, start), kind
