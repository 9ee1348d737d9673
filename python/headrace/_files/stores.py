"""The bytes of a file as they are stored: a local path, an fsspec filesystem, or content that came with the item."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from headrace._files.skips import FileChanged

RANGE_BYTES = 4 << 20  # of a remote file that are asked for at once: a round trip costs little beside them
_RANGES_AHEAD = 4
_IN_MEMORY_BYTES = 8 << 20  # of what is made to be sought in; more goes to a temporary file


class Version(NamedTuple):
    """What changes when a file does; what a store does not say is None."""

    size: int | None
    modified: Any
    etag: str | None

    def text(self) -> str:
        """For messages."""
        told = [f"{self.size} bytes" if self.size is not None else "", f"of {self.modified}" if self.modified else ""]
        return ", ".join([*filter(None, told), *([f"ETag {self.etag}"] if self.etag else [])]) or "unknown"


def url_of(item: Any) -> str:
    """The item's URL without secrets, for messages."""
    from headrace.exceptions import mask_url

    url = str(item["file_url"])
    return url if url.startswith("file://") else mask_url(url)


def local_path(item: Any) -> str | None:
    """Where the file is on this machine; None: elsewhere, or its content came with the item, or is made of another."""
    if item.get("file_content") is not None or hasattr(item, "stored"):
        return None
    fs = item.fsspec if hasattr(item, "fsspec") else None
    if fs is None:
        return str(item["file_url"])[7:] if str(item["file_url"]).startswith("file://") else None
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "file" not in protocols:
        return None
    url = str(item["file_url"])
    if url.startswith("file:///") and "%" not in url and os.name == "posix":
        return url[7:]
    return str(item.local_file_path)


def remote_version(item: Any) -> Version:
    """What the store says of the file now. Asks the store."""
    fs, path = item.fsspec, item.fsspec._strip_protocol(item["file_url"])
    fs.invalidate_cache(fs._parent(path))
    try:
        info = fs.info(path, refresh=True)
    except TypeError:  # not every filesystem knows the word
        info = fs.info(path)
    modified = next((info[key] for key in ("LastModified", "last_modified", "updated", "mtime") if info.get(key)), None)
    if isinstance(modified, datetime):
        modified = modified.isoformat()
    etag = next((info[key] for key in ("ETag", "etag", "md5Hash", "content_hash") if info.get(key)), None)
    size = info.get("size")
    return Version(None if size is None else int(size), modified, None if etag is None else str(etag).strip('"'))


class LocalBytes(io.RawIOBase):
    """A file on this machine. Reading releases the GIL. It is not mapped: a mapped file that is cut kills the process."""

    def __init__(self, path: str, name: str) -> None:
        self._name = name
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        self._stat = os.fstat(self._fd)
        self.size: int | None = self._stat.st_size
        self.position = 0
        if hasattr(os, "posix_fadvise") and self._stat.st_size > RANGE_BYTES:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def readable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The open file."""
        return self._fd

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end."""
        n = os.readv(self._fd, [into])
        self.position += n
        return n

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the file is another than when it was opened."""
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise FileChanged(
                self._name, f"{self._stat.st_size} bytes", f"{now.st_size} bytes, modified {now.st_mtime_ns} ns"
            )

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()


class GivenBytes(io.BytesIO):
    """Content that came with the item (`extract_content`)."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.size: int | None = len(content)

    @property
    def position(self) -> int:
        """Bytes read."""
        return self.tell()

    def check_unchanged(self) -> None:
        """It cannot change."""


class RemoteBytes(io.RawIOBase):
    """A file of an fsspec filesystem: several ranges asked for at once where the store takes that, else one stream."""

    def __init__(self, item: Any, pool: ThreadPoolExecutor | None = None) -> None:
        self._item = item
        self._fs = item.fsspec
        self._path = self._fs._strip_protocol(item["file_url"])
        size = item.get("size_in_bytes")
        self.size: int | None = None if size is None else int(size)
        self.position = 0
        self._ranges: deque[Future[bytes]] = deque()
        self._asked = 0
        self._chunk = memoryview(b"")
        self._stream: IO[bytes] | None = None
        self._version: Version | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._owns_pool = False
        is_small = self.size is not None and self.size <= RANGE_BYTES
        if self.size is None or not getattr(self._fs, "async_impl", False):
            self._stream = self._fs.open(self._path, mode="rb")
        elif not is_small:
            self._version = remote_version(item)
            self.size = self._version.size
            self._owns_pool = pool is None
            self._pool = pool or ThreadPoolExecutor(_RANGES_AHEAD, thread_name_prefix="headrace-range")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end."""
        if self._stream is not None:
            found = self._stream.read(len(into))
            into[: len(found)] = found
            self.position += len(found)
            return len(found)
        if not self._chunk:
            self._chunk = memoryview(self._next_range())
        n = min(len(into), len(self._chunk))
        into[:n] = self._chunk[:n]
        self._chunk = self._chunk[n:]
        self.position += n
        return n

    def _next_range(self) -> bytes:
        assert self.size is not None
        if self._pool is None:  # small: one request for all of it
            if self._asked:
                return b""
            self._asked = 1
            return bytes(self._fs.cat_file(self._path))
        while self._asked < self.size and len(self._ranges) < _RANGES_AHEAD:
            end = min(self._asked + RANGE_BYTES, self.size)
            self._ranges.append(self._pool.submit(self._range, self._asked, end))
            self._asked = end
        return self._ranges.popleft().result() if self._ranges else b""

    def _range(self, start: int, end: int) -> bytes:
        found = bytes(self._fs.cat_file(self._path, start=start, end=end))
        if len(found) != end - start:
            raise FileChanged(url_of(self._item), f"{end - start} bytes at {start}", f"{len(found)} bytes")
        return found

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the store has another file now than when reading began (a file of one range: never)."""
        if self._version is not None and (now := remote_version(self._item)) != self._version:
            raise FileChanged(url_of(self._item), self._version.text(), now.text())

    def close(self) -> None:
        """Drops what is under way."""
        if not self.closed:
            for future in self._ranges:
                future.cancel()
            self._ranges.clear()
            if self._owns_pool and self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            if self._stream is not None:
                self._stream.close()
        super().close()


Bytes = LocalBytes | GivenBytes | RemoteBytes


def stored_bytes(item: Any) -> Bytes:
    """The file's bytes as they are stored, from its start on. An item that makes its content of another has `stored`."""
    stored = getattr(item, "stored", None)
    if stored is not None:
        return stored()  # type: ignore[no-any-return]
    content = item.get("file_content")
    if content is not None:
        return GivenBytes(content)
    path = local_path(item)
    return LocalBytes(path, url_of(item)) if path is not None else RemoteBytes(item)


@contextmanager
def open_stored(item: Any) -> Iterator[tuple[Any, Any]]:
    """The file's bytes as they are stored, and without their compression."""
    from headrace._files.compression import unpacked

    stored = stored_bytes(item)
    try:
        content, _ = unpacked(stored)
    except BaseException:
        stored.close()
        raise
    with content:
        yield stored, content


def seekable(item: Any) -> IO[bytes]:
    """The stored bytes as a file to seek in: for formats that are not read from their start to their end."""
    if hasattr(item, "stored"):
        spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
        with item.stored() as stored:
            shutil.copyfileobj(stored, spool, 1 << 20)
        spool.seek(0)
        return spool
    content = item.get("file_content")
    if content is not None:
        return io.BytesIO(content)
    path = local_path(item)
    if path is not None:
        return Path(path).open("rb")
    return item.fsspec.open(item["file_url"], mode="rb")  # type: ignore[no-any-return]
