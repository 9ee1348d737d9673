"""The bytes of a file as they are stored: a local path, an fsspec filesystem, or content that came with the item.

A remote file is read in ranges, whether from its start on or here and there. What is read next is asked for ahead:

    readinto -> [pieces: ranges asked for, at most 16 MiB that nobody has read yet] <- a thread a range, `cat_file`
                  done pieces are held against the store's size, time and ETag before they are given out

so that no byte of another version is, and a file that was replaced is told as that, not as one that is corrupt.
"""

from __future__ import annotations

import inspect
import io
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration

from headrace._files.content_hash import ContentHash, hash_of
from headrace._files.remote_requests import Ended, Requests
from headrace._files.skips import FileChanged

RANGE_BYTES = 4 << 20  # of a remote file that are asked for at once: a round trip costs little beside them
_RANGES_AHEAD = 4  # of any file
_MOST_AHEAD = 8  # of a file: more, as far as there is room for all
_ROOM_BYTES = 16 << 20  # for ranges beyond the first of their files, of all files together
_IN_MEMORY_BYTES = 8 << 20  # of what is made to be sought in; more goes to a temporary file
_FIRST_BYTES = 256 << 10  # that are asked for where a file is read here and there
_KEPT_BYTES = 16 << 20  # of a file that were read and may be read again
_SAME_BYTES = 64 << 10  # between two ranges: they are asked for as one
_MODIFIED = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "modify")
_ETAGS = ("ETag", "etag", "md5Hash", "content_hash")
_TRY_AGAIN_THEMSELVES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"}  # their clients do
_NOT_AGAIN = (
    Ended,
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotImplementedError,
    ValueError,
    TypeError,
    KeyError,
)

_locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
_locks_lock = threading.Lock()


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


def is_shared(item: Any) -> bool:
    """Whether files of the store may be read side by side. FTP, SFTP and the like have one connection a filesystem."""
    fs = item.fsspec
    return getattr(fs, "async_impl", False) or "memory" in fs.protocol or local_path(item) is not None


def _turn(item: Any) -> AbstractContextManager[Any]:
    """Held while a store is asked that answers one at a time."""
    if is_shared(item):
        return nullcontext()
    with _locks_lock:
        return _locks.setdefault(item.fsspec, threading.Lock())


def remote_version(item: Any) -> Version:
    """What the store says of the file now. Asks the store."""
    with _turn(item):
        return _version(item)


def _version(item: Any) -> Version:
    fs, path = item.fsspec, item.fsspec._strip_protocol(item["file_url"])
    fs.invalidate_cache(fs._parent(path))
    knows_refresh = "refresh" in inspect.signature(getattr(fs, "_info", fs.info)).parameters
    info = fs.info(path, **({"refresh": True} if knows_refresh else {}))
    modified = next((info[key] for key in _MODIFIED if info.get(key)), None)
    if isinstance(modified, datetime):
        modified = modified.isoformat()
    etag = next((info[key] for key in _ETAGS if info.get(key)), None)
    size = info.get("size")
    return Version(None if size is None else int(size), modified, None if etag is None else str(etag).strip('"'))


async def _s3_range(fs: Any, path: str, start: int, end: int) -> _Found:
    """A range as `S3FileSystem._cat_file` fetches it, with the version that the answer tells: asking for that is a tenth of
    the CPU of reading an object.
    """
    from s3fs.core import _error_wrapper  # type: ignore[import-untyped]

    bucket, key, version_id = fs.split_path(path)
    wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{end - 1}"}
    if version_id:
        wanted["VersionId"] = version_id

    async def fetched() -> _Found:
        answer = await fs._call_s3("get_object", fs.req_kw, **wanted)
        try:
            content = await answer["Body"].read()
        finally:
            answer["Body"].close()
        size = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(content)
        return content, Version(size, answer["LastModified"].isoformat(), answer["ETag"].strip('"'))

    return await _error_wrapper(fetched, retries=fs.retries)  # type: ignore[no-any-return]


class LocalBytes(io.RawIOBase):
    """A file on this machine. Reading releases the GIL. It is not mapped: a mapped file that is cut kills the process."""

    def __init__(self, path: str, name: str, hashed: ContentHash | None = None) -> None:
        self._name = name
        self._hash = hashed
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
        if self._hash is not None:
            self._hash.add(memoryview(into)[:n])
        return n

    def hash_aside(self) -> None:
        """It is read elsewhere: a thread takes its hash, where that is wanted."""
        if self._hash is not None:
            self._hash.begin_aside(self._fd)

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the file is another than when it was opened."""
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise FileChanged(
                self._name, f"{self._stat.st_size} bytes", f"{now.st_size} bytes, modified {now.st_mtime_ns} ns"
            )
        if self._hash is not None:
            self._hash.finish(self._fd, self.position)

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            if self._hash is not None:
                self._hash.stop()
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


class LocalFile(io.FileIO):
    """A file on this machine to seek in."""

    def __init__(self, path: str, url: str, hashed: ContentHash | None = None) -> None:
        super().__init__(path, "rb")
        self._hash = hashed
        self._path = path
        self._url = url
        self._stat = os.fstat(self.fileno())

    def hash_aside(self) -> None:
        """It is what will be read: a thread takes its hash, where that is wanted."""
        if self._hash is not None:
            self._hash.begin_aside(self.fileno())

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if another file is at the path than when it was opened: libraries open it by its path."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            raise FileChanged(self._url, f"{self._stat.st_size} bytes", "it is gone") from None
        if any(getattr(now, key) != getattr(self._stat, key) for key in ("st_size", "st_mtime_ns", "st_ino")):
            raise FileChanged(
                self._url, f"{self._stat.st_size} bytes", f"{now.st_size} bytes, modified {now.st_mtime_ns} ns"
            )
        if self._hash is not None:
            self._hash.finish(self.fileno())

    def close(self) -> None:
        """Closes the file."""
        if self._hash is not None:
            self._hash.stop()
        super().close()


_Found = tuple[bytes, Version | None]


class _Whole(Exception):
    """The server gave more than was asked for: it knows no ranges."""


class _Room:
    """Bytes that many may have for a while, together no more than there are."""

    def __init__(self, n_bytes: int) -> None:
        self._left = n_bytes
        self._lock = threading.Lock()

    def take(self, n_bytes: int) -> bool:
        """Whether so many were left, which are the caller's then."""
        with self._lock:
            if n_bytes > self._left:
                return False
            self._left -= n_bytes
            return True

    def give_back(self, n_bytes: int) -> None:
        """Others may have them."""
        with self._lock:
            self._left += n_bytes


_room = _Room(_ROOM_BYTES)


class _Piece:
    """A range of a file that was asked for.

    Attributes:
        found: Its bytes, and which version they are of, where the store says that with them.
    """

    def __init__(self, start: int, end: int, found: Future[_Found]) -> None:
        self.start = start
        self.end = end
        self.found = found
        self.is_checked = False
        self.is_read = False


class _FtpStream:
    """A file of an FTP server from its start on, over a connection of its own."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = type(fs)(**fs.storage_options)  # which FTP's filesystem does not share
        self._fs.ftp.voidcmd("TYPE I")
        self._socket = self._fs.ftp.transfercmd(f"RETR {path}")
        self._file = self._socket.makefile("rb")
        self._is_ended = False

    def read(self, most: int) -> bytes:
        """The next bytes; b"" at the end. Raises what the server says of a file that it broke off."""
        found: bytes = self._file.read(most)
        if not found and most and not self._is_ended:
            self._is_ended = True
            self._fs.ftp.voidresp()
        return found

    def close(self) -> None:
        """Ends the connection."""
        self._file.close()
        self._socket.close()
        self._fs.ftp.close()


class RemoteBytes(io.RawIOBase):
    """A file of an fsspec filesystem. One of up to RANGE_BYTES is one request; where a server knows no ranges, one stream.

    Attributes:
        size: Bytes of the file; None: the store does not say.
    """

    def __init__(
        self,
        item: Any,
        is_in_order: bool = True,
        hashed: ContentHash | None = None,
        requests: Requests | None = None,
    ) -> None:
        self._item = item
        self._requests = requests or Requests()
        self._hash = hashed  # of what is read from the start on
        self._fs = item.fsspec
        self._path = self._fs._strip_protocol(item["file_url"])
        self._protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self._is_async = bool(getattr(self._fs, "async_impl", False))
        self._is_s3 = bool(self._protocols & {"s3", "s3a"}) and hasattr(self._fs, "_call_s3")
        size = item.get("size_in_bytes")
        self.size: int | None = None if size is None else int(size)
        self.position = 0
        self._pieces: list[_Piece] = []  # the last ones were touched last
        self._wanted: deque[tuple[int, int]] = deque()  # to be asked for, in this order
        self._is_guess = False  # whether that is only what may come next
        self._room_bytes = 0  # of `_room` that are its own
        self._read_to = 0 if is_in_order else -1
        self._pool: ThreadPoolExecutor | None = None
        self._handle: Any = None  # of a store that is read through an open file; used by the thread of the pool
        self._stream: Any = None
        self._version: Version | None = None
        self._most_kept = 0 if is_in_order else _KEPT_BYTES
        if self.size is None:
            self._version = self._version_now()
            self.size = self._version.size
        if self.size is not None and self.size <= RANGE_BYTES and self._is_one_range(self.size):
            self._version = None
            return
        self._version = self._version or self._version_now()
        self.size = self._version.size
        if self.size is None or "ftp" in self._protocols:  # fsspec's FTP waits for ever after a range
            self._stream = self._opened_stream()
        elif is_in_order:
            self.expect([(0, self.size)])

    def _is_one_range(self, size: int) -> bool:
        """Reads a small file whole: one answer is of one version. A byte more is asked for, which a file that grew has."""
        found: bytes = self._tried(lambda: self._asked(0, size + 1))[0] if size else b""
        if len(found) > size:
            return False
        self.size = len(found)
        done: Future[_Found] = Future()
        done.set_result((found, None))
        self._pieces.append(_Piece(0, self.size, done))
        return True

    def _opened_stream(self) -> Any:
        if "ftp" in self._protocols:
            return _FtpStream(self._fs, self._path)
        options = {"block_size": 0} if self._protocols & {"http", "https"} else {}
        return self._fs.open(self._path, mode="rb", **options)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read in ranges. Known once something was read."""
        return self._stream is None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the next byte is read."""
        if self._stream is not None:
            raise io.UnsupportedOperation("the server gives no ranges of this file")
        assert self.size is not None
        at = offset + (0, self.position, self.size)[whence]
        if at < 0:
            raise ValueError(f"seek to byte {at}")
        self.position = at
        return at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self.position

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        """What will be read, from where to where, in this order: it is asked for ahead."""
        self._wanted.clear()
        for piece in self._pieces:
            piece.is_read = True
        for start, end in ranges:
            if self._wanted and 0 <= start - self._wanted[-1][1] <= _SAME_BYTES:
                self._wanted[-1] = (self._wanted[-1][0], end)
            elif start < end:
                self._wanted.append((start, end))
        self._is_guess = False

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end."""
        if self._stream is None and len(into):
            try:
                found = self._some(len(into))
            except _Whole:
                if self._read_to > 0:
                    raise FileChanged(self._url, "a file of ranges", "the whole of one") from None
                self._stream = self._opened_stream()
        if self._stream is not None:
            found = memoryview(self._stream.read(len(into)))
            if not found and len(into) and self.size is not None and self.position < self.size:
                self._check_version()
                raise OSError(f"the store gave {self.position} of {self.size} bytes")
        into[: len(found)] = found
        self.position += len(found)
        if self._hash is not None:
            self._hash.add(found)
        return len(found)

    def _some(self, most: int) -> memoryview:
        """Bytes at the position."""
        assert self.size is not None
        at = self.position
        if at >= self.size:
            return memoryview(b"")
        self._ask_ahead()
        piece = self._covering(at)
        if piece is None:
            self._ask(at, most)
            piece = self._covering(at)
            assert piece is not None
        piece.is_read = True
        self._ask_ahead()
        content = self._content(piece)
        self._pieces.remove(piece)
        self._pieces.append(piece)
        self._forget()
        found = memoryview(content)[at - piece.start :][:most]
        self._read_to = at + len(found)
        return found

    def _covering(self, at: int) -> _Piece | None:
        return next((piece for piece in self._pieces if piece.start <= at < piece.end), None)

    def _ask(self, at: int, most: int) -> None:
        """Asks for what nobody expected: all that follows, if it goes on where the last reading ended."""
        assert self.size is not None
        if self._is_guess:
            self._wanted.clear()
            for piece in self._pieces:
                piece.is_read = True
        if at == self._read_to and not self._wanted:
            self._wanted.append((at, self.size))
            self._is_guess = True
        else:
            self._without(at, end := min(at + max(most, _FIRST_BYTES), self.size))
            self._wanted.appendleft((at, end))
        self._ask_next()

    def _without(self, start: int, end: int) -> None:
        """Takes a range out of what is wanted: it is asked for now."""
        rest = ((a, min(b, start), max(a, end), b) for a, b in self._wanted)
        parts = (part for a, b, c, d in rest for part in ((a, b), (c, d)))
        self._wanted = deque((a, b) for a, b in parts if a < b)

    def _ask_ahead(self) -> None:
        """Asks for what is wanted: some ranges, and more where they are side by side and there is room."""
        most = RANGE_BYTES * (_RANGES_AHEAD if self._is_async else 1)
        while True:
            n_ahead = sum(one.end - one.start for one in self._pieces if not one.is_read)
            unused = self._room_bytes - max(n_ahead - most, 0)
            if unused > 0:
                self._leave_room(unused)
            if not self._wanted or (n_ahead >= most and not self._has_room(n_ahead)):
                return
            self._ask_next()

    def _has_room(self, n_ahead: int) -> bool:
        if not self._is_async or n_ahead >= RANGE_BYTES * _MOST_AHEAD or not _room.take(RANGE_BYTES):
            return False
        self._room_bytes += RANGE_BYTES
        return True

    def _leave_room(self, n_bytes: int) -> None:
        self._room_bytes -= n_bytes
        _room.give_back(n_bytes)

    def _ask_next(self) -> None:
        start, end = self._wanted.popleft()
        if end - start > RANGE_BYTES:
            self._wanted.appendleft((start + RANGE_BYTES, end))
            end = start + RANGE_BYTES
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST_AHEAD if self._is_async else 1, thread_name_prefix="headrace-range")
        self._pieces.append(_Piece(start, end, self._pool.submit(self._range, start, end)))

    def _forget(self) -> None:
        """Drops what was read longest ago."""
        n_kept = sum(one.end - one.start for one in self._pieces if one.is_read)
        for piece in [one for one in self._pieces if one.is_read][:-1]:
            if n_kept <= self._most_kept:
                break
            self._pieces.remove(piece)
            n_kept -= piece.end - piece.start

    def _content(self, piece: _Piece) -> bytes:
        """The piece's bytes, of the version that the file had when it was opened. Raises `FileChanged`."""
        try:
            found, version = piece.found.result()
        except _Whole:
            raise
        except Exception:
            self._check_version()
            raise
        if not piece.is_checked and self._version is not None:
            done = [piece] if version is not None else [one for one in self._pieces if one.found.done()]
            self._check_version(version)  # asked after them: they are of no later version
            for one in done:
                one.is_checked = True
        return found

    # ---- requests

    def _range(self, start: int, end: int) -> _Found:
        found, version = self._tried(lambda: self._asked(start, end))
        if len(found) > end - start:
            raise _Whole
        if len(found) < end - start:
            raise OSError(f"the store gave {len(found)} of {end - start} bytes at byte {start}")
        return found, version

    def _tried(self, ask: Callable[[], Any]) -> Any:
        """What the store says; tried again by `[runtime] request_max_attempts` where its client does not do that itself."""
        n_tried = 0
        while True:
            try:
                return ask()
            except _NOT_AGAIN:
                raise
            except Exception as error:
                status = getattr(error, "status", 0)
                is_refused = 400 <= status < 500 and status not in (408, 429)
                if is_refused or self._protocols & _TRY_AGAIN_THEMSELVES:
                    raise
                n_tried += 1
                config = resolve_configuration(RuntimeConfiguration())
                if self.closed or n_tried >= config.request_max_attempts:
                    raise
                time.sleep(min(config.request_backoff_factor * 2 ** (n_tried - 1), config.request_max_retry_delay))
                self._connect_again()

    def _asked(self, start: int, end: int) -> _Found:
        if self._is_s3:
            return self._requests.result(self._fs.loop, _s3_range(self._fs, self._path, start, end))  # type: ignore[no-any-return]
        if self._is_async:
            options: dict[str, Any] = {}
            if self._protocols & {"http", "https"}:  # a packed answer has no ranges
                options["headers"] = {**self._fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
            asked = self._fs._cat_file(self._path, start=start, end=end, **options)
            return bytes(self._requests.result(self._fs.loop, asked)), None
        with _turn(self._item):
            return self._by_handle(start, end), None

    def _connect_again(self) -> None:
        """SFTP and FTP: the connection may be gone."""
        if not self._is_async:
            with _turn(self._item):
                handle, self._handle = self._handle, None
                for do in (getattr(handle, "close", None), getattr(self._fs, "_connect", None)):
                    with suppress(Exception):  # it is tried again
                        do and do()

    def _by_handle(self, start: int, end: int) -> bytes:
        """From a file that stays open: stores of one connection."""
        if self._handle is None:
            self._handle = self._fs.open(self._path, mode="rb")
            if hasattr(self._handle, "settimeout"):  # SFTP's waits for ever
                self._handle.settimeout(resolve_configuration(RuntimeConfiguration()).request_timeout)
        if hasattr(self._handle, "readv"):  # SFTP: requests of 32 KiB, many in flight
            return b"".join(self._handle.readv([(start, end - start)]))
        self._handle.seek(start)
        return bytes(self._handle.read(end - start))

    @property
    def _url(self) -> str:
        return url_of(self._item)

    def _version_now(self) -> Version:
        return self._tried(lambda: remote_version(self._item))  # type: ignore[no-any-return]

    def _check_version(self, now: Version | None = None) -> None:
        if self._version is None:
            return
        try:
            now = now or self._version_now()
        except FileNotFoundError:
            raise FileChanged(self._url, self._version.text(), "it is gone") from None
        if now != self._version:
            raise FileChanged(self._url, self._version.text(), now.text())

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the store has another file now than when a stream of it began. What came in ranges was
        held against the version of the file before it was given out.
        """
        if self._hash is not None:
            rest = bytearray(_FIRST_BYTES)
            while self.readinto(rest):  # of which its reader had no need
                pass
        if self._stream is not None:
            self._check_version()
        if self._hash is not None:
            self._hash.finish()

    def abort(self) -> None:
        """Breaks off requests that are under way: whoever waits for them gets `Ended`. Any thread."""
        self._requests.end()

    def close(self) -> None:
        """Drops what is under way."""
        if not self.closed:
            self.abort()
            self._leave_room(self._room_bytes)
            if self._pool is not None:
                self._pool.shutdown(wait=not self._is_async, cancel_futures=True)
            if self._handle is not None:
                with _turn(self._item):
                    self._handle.close()
            if self._stream is not None:
                self._stream.close()
        super().close()


Bytes = LocalBytes | GivenBytes | RemoteBytes


def stored_bytes(item: Any, is_whole: bool = True, requests: Requests | None = None) -> Bytes:
    """The file's bytes as they are stored, from its start on (`is_whole`: to its end). An item that makes its content of
    another has `stored`. `requests`: what takes those of a remote file, for another thread to end.
    """
    stored = getattr(item, "stored", None)
    if stored is not None:
        return stored()  # type: ignore[no-any-return]
    content = item.get("file_content")
    if content is not None:
        return GivenBytes(content)
    path = local_path(item)
    hashed = hash_of(item) if is_whole else None
    return LocalBytes(path, url_of(item), hashed) if path is not None else RemoteBytes(item, is_whole, hashed, requests)


def read_whole(item: Any) -> None:
    """Reads a file for its hash."""
    with stored_bytes(item) as stored:
        block = bytearray(_FIRST_BYTES)
        while stored.readinto(block):
            pass
        stored.check_unchanged()


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


class Spool(io.FileIO):
    """A temporary file of our own: it cannot change."""

    def __init__(self) -> None:
        handle, path = tempfile.mkstemp(prefix="headrace-")
        super().__init__(handle, "r+b")
        os.unlink(path)

    def check_unchanged(self) -> None:
        """It cannot."""


def spooled(source: Any) -> GivenBytes | Spool:
    """All that is read from the source, to seek in."""
    content = bytearray()
    while len(content) < _IN_MEMORY_BYTES and (found := source.read(1 << 20)):
        content += found
    if len(content) < _IN_MEMORY_BYTES:
        return GivenBytes(bytes(content))
    spool = Spool()
    try:
        spool.write(content)
        while found := source.read(1 << 20):
            spool.write(found)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool


def seekable(item: Any) -> io.BufferedReader:
    """The stored bytes to seek in, also where the server gives no ranges of them."""
    raw: Any = seekable_bytes(item)
    try:
        file = io.BufferedReader(raw, _SAME_BYTES)
        file.peek(1)  # then it is known whether there are ranges
    except BaseException:
        raw.close()
        raise
    if raw.seekable():
        return file
    file.close()
    with stored_bytes(item) as stored:
        made: Any = spooled(stored)
    return io.BufferedReader(made, _SAME_BYTES)


def seekable_bytes(item: Any) -> LocalFile | GivenBytes | RemoteBytes | Spool:
    """The stored bytes to seek in: for formats that are not read from their start to their end."""
    if hasattr(item, "stored"):
        with item.stored() as stored:
            return spooled(stored)
    content = item.get("file_content")
    if content is not None:
        return GivenBytes(content)
    path, hashed = local_path(item), hash_of(item)
    if path is not None:
        return LocalFile(path, url_of(item), hashed)
    if hashed is None:
        return RemoteBytes(item, is_in_order=False)
    with stored_bytes(item) as stored:  # all of it is needed for the hash
        made = spooled(stored)
        stored.check_unchanged()
    return made
