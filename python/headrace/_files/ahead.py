"""Files read ahead of their turn, in threads: compressed ones and those of remote stores. The order stays the files'.

    waiting files -> [a thread a file: fetch, unpack] -> its queue of blocks -> whoever reads the files in order

Only the first files of those that wait are read, as many as `_MOST_BYTES` allow; what a thread is ahead of its reader is
bounded by its queue.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from headrace._files.archives import ARCHIVE_BYTES, archive_of
from headrace._files.compression import MAGIC_BYTES, compression_of
from headrace._files.content_hash import hash_of
from headrace._files.handed import HandedBlocks
from headrace._files.opened import open_file
from headrace._files.remote_requests import Requests
from headrace._files.stores import LocalBytes, is_shared, local_path, url_of

BLOCK_BYTES = 240_000  # with a line more, a piece stays below 256 KiB: with its tape and rows in a core's cache
_LOOK_BYTES = 8 << 10  # for a line's end
_QUEUE_BLOCKS = 8  # 2 MiB a file
_MOST_BYTES = 32 << 20  # of stored files that are read ahead together; the first is always
_MOST_REMOTE = 16  # files at once
_MOST_THREADS = 2 * _MOST_REMOTE  # an archive's members are read while files behind it wait in their threads


class Fetch:
    """One file on its way, block by block."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.stored_position = 0
        self.stored_size: int | None = None
        self.compression: str | None = None
        self._blocks = HandedBlocks(_QUEUE_BLOCKS)
        self._requests = Requests()

    def run(self) -> None:
        """Reads the file. Its own thread."""
        try:
            with open_file(self.item, BLOCK_BYTES, requests=self._requests) as file:
                self.stored_size, self.compression = file.stored_size, file.compression
                while block := file.read(BLOCK_BYTES):
                    self.stored_position = file.stored_position
                    if not self._blocks.put(block):
                        return
                self.stored_position = file.stored_position
                file.check_unchanged()
            self._blocks.put(b"")
        except BaseException as ex:
            self._blocks.put(ex)

    def block(self) -> bytes | None:
        """The next bytes; b"": that was all; None: none yet. Raises what reading raised."""
        return self._blocks.take(waits=False)

    def close(self) -> None:
        """No more blocks are wanted."""
        self._blocks.stop()
        self._requests.end()


class Ranges:
    """A plain local file that the engine's workers read themselves: where its pieces begin and end, at line ends."""

    compression = None

    def __init__(self, item: Any, file: LocalBytes, max_line_bytes: int) -> None:
        self.item = item
        self.file = file
        self.stored_size = file.size
        self.stored_position = 0
        self._max_line_bytes = max_line_bytes

    def next(self) -> tuple[int, int] | None:
        """The next piece: from where to where; None: that was all. Raises `ValueError` for a line that is too long."""
        start, size = self.stored_position, self.stored_size or 0
        if start >= size:
            return None
        end = start + BLOCK_BYTES
        while end < size:
            found = os.pread(self.file.fileno(), _LOOK_BYTES, end)
            newline = found.find(b"\n")
            if newline >= 0 or not found:
                end += newline + 1
                break
            end += len(found)
            if end - start > self._max_line_bytes:
                raise ValueError(f"a line is longer than max_body_bytes, {self._max_line_bytes} bytes")
        self.stored_position = min(end, size)
        return start, self.stored_position

    def close(self) -> None:
        """The file stays open for its pieces."""


class Direct:
    """A local file, read when it is asked for."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self._file = open_file(item, BLOCK_BYTES)
        self.stored_size, self.compression = self._file.stored_size, self._file.compression

    @property
    def stored_position(self) -> int:
        """Stored bytes read so far."""
        return self._file.stored_position

    def block(self) -> bytes | None:
        """The next bytes; b"": that was all."""
        found = self._file.read(BLOCK_BYTES)
        if not found:
            self._file.check_unchanged()
        return found

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Small:
    """A local file of one block: read at once."""

    compression = None

    def __init__(self, item: Any, content: bytes) -> None:
        self.item = item
        self.stored_size = self.stored_position = len(content)
        self._content = content

    def block(self) -> bytes | None:
        """The content, then b""."""
        found, self._content = self._content, b""
        return found

    def close(self) -> None:
        """Nothing is open."""


Open = Fetch | Ranges | Direct | Small


class Ahead:
    """Opens waiting files in order; the first of those that are worth a thread are on their way already."""

    def __init__(self, max_line_bytes: int, has_ranges: bool) -> None:
        self._max_line_bytes = max_line_bytes
        self._has_ranges = has_ranges
        self._waiting: deque[tuple[Any, Fetch | None]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._fetches: deque[Fetch] = deque()  # begun and not done, in order
        self._n_behind = 0  # of them, of files that are to be looked at again: members came before them
        self._n_ahead_bytes = 0
        self._next = 0  # of the waiting ones to be looked at
        self._most_local = max(2, (os.cpu_count() or 2))

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, items: Any) -> None:
        """Takes files, to come after those taken before."""
        self._waiting.extend((item, None) for item in items)
        self._look()

    def put_first(self, items: list[Any]) -> None:
        """Takes files, to come before the others."""
        self._n_behind += sum(fetch is not None for _, fetch in islice(self._waiting, self._next))
        self._waiting.extendleft((item, None) for item in reversed(items))
        self._next = 0
        self._look()

    def _look(self) -> None:
        """Starts files that may be read ahead."""
        while self._next < len(self._waiting):
            item, fetch = self._waiting[self._next]
            if fetch is not None:
                self._n_behind -= 1
            elif (way := _way(item)) != "direct":
                size = min(int(item.get("size_in_bytes") or 0), _MOST_BYTES // 2)
                most = {"local": self._most_local, "remote": _MOST_REMOTE, "alone": 1}[way]
                n_before = len(self._fetches) - self._n_behind
                if n_before and (self._n_ahead_bytes + size > _MOST_BYTES or len(self._fetches) >= most):
                    return
                self._waiting[self._next] = (item, self._start(item))
                self._n_ahead_bytes += size
            self._next += 1

    def _start(self, item: Any) -> Fetch:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="headrace-file")
        fetch = Fetch(item)
        self._fetches.insert(len(self._fetches) - self._n_behind, fetch)
        self._pool.submit(fetch.run)
        return fetch

    def next(self) -> tuple[Any, Callable[[], Open]]:
        """The next file and what opens it, which may raise."""
        item, fetch = self._waiting.popleft()
        if self._next > 0:
            self._next -= 1
        elif fetch is not None:
            self._n_behind -= 1
        elif _way(item) != "direct":
            fetch = self._start(item)
        if fetch is None:
            return item, lambda: _direct(item, self._max_line_bytes, self._has_ranges)
        assert self._fetches[0] is fetch
        return item, lambda: fetch

    def done(self, opened: Open) -> None:
        """A file that was given out is read."""
        opened.close()
        if isinstance(opened, Fetch):
            self._fetches.popleft()
            size = min(int(opened.item.get("size_in_bytes") or 0), _MOST_BYTES // 2)
            self._n_ahead_bytes = max(0, self._n_ahead_bytes - size)
            self._look()

    def close(self) -> None:
        """Ends the threads."""
        for fetch in self._fetches:
            fetch.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _way(item: Any) -> str:
    """Whether a file is worth a thread: "direct", "local" (it is probably compressed), "remote", or "alone": remote and one
    at a time.
    """
    if (is_packed := getattr(item, "is_packed", None)) is not None:  # a member of an archive
        return "local" if is_packed and item["size_in_bytes"] > BLOCK_BYTES else "direct"
    if item.get("file_content") is None and local_path(item) is None:
        return "remote" if is_shared(item) else "alone"
    name = str(item.get("file_name") or "")
    return "local" if name.endswith((".gz", ".bgz", ".zst", ".bz2", ".xz", ".lz4")) else "direct"


def _direct(item: Any, max_line_bytes: int, has_ranges: bool) -> Direct | Small | Ranges:
    path = local_path(item)
    if path is None:
        return Direct(item)
    size = item.get("size_in_bytes")
    if size is not None and size < BLOCK_BYTES:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            content = os.read(fd, BLOCK_BYTES)
        finally:
            os.close(fd)
        is_whole = len(content) == size and content[:1] in (b"{", b"[", b"")  # no compression begins so
        if not is_whole:
            return Direct(item)
        if (hashed := hash_of(item)) is not None:
            hashed.add(content)
            hashed.finish()
        return Small(item, content)
    if not has_ranges:
        return Direct(item)
    file = LocalBytes(path, url_of(item), hash_of(item))
    start = os.pread(file.fileno(), max(MAGIC_BYTES, ARCHIVE_BYTES), 0)
    if compression_of(start[:MAGIC_BYTES]) is None and archive_of(start) is None:
        file.hash_aside()
        return Ranges(item, file, max_line_bytes)
    file.close()
    return Direct(item)
