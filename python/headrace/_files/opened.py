"""A file as a reader reads it: its bytes, undone of their compression, in order or to seek in."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from headrace._files.archives import ARCHIVE_BYTES, IsArchive, archive_of
from headrace._files.compression import MAGIC_BYTES, ReadAhead, compression_of, unpacked
from headrace._files.remote_requests import Requests
from headrace._files.skips import FileChanged
from headrace._files.stores import LocalFile, RemoteBytes, seekable_bytes, spooled, stored_bytes

_BUFFER_BYTES = 64 << 10  # of a file to seek in: small reads ask for as much


class OpenedFile(io.BufferedReader):
    """The file's content. At its end it is checked that the file is the one that was opened.

    Attributes:
        compression: "gzip", "zstd", "bzip2", "xz", "lz4" or None.
        stored_size: Bytes that the store holds; None: not known.
    """

    def __init__(
        self,
        item: Any,
        buffer_bytes: int = 1 << 20,
        takes_archive: bool = False,
        is_ahead: bool = False,
        is_whole: bool = True,
        requests: Requests | None = None,
    ) -> None:
        self._bytes = stored_bytes(item, is_whole, requests)
        try:
            self._content, self.compression = unpacked(self._bytes)
            if is_ahead and (self.compression is not None or getattr(item, "is_packed", False)):
                self._content = ReadAhead(self._content)
        except BaseException:
            self._bytes.close()
            raise
        self.stored_size = self._bytes.size
        super().__init__(self._content, buffer_bytes)
        try:
            if not takes_archive and (kind := archive_of(self.peek(ARCHIVE_BYTES))) is not None:
                raise IsArchive(f"it is a {kind} archive")
        except BaseException:
            self.close()
            raise

    @property
    def stored_position(self) -> int:
        """Stored bytes read so far."""
        return self._bytes.position

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the file became another one since it was opened. To be called at its end."""
        self._bytes.check_unchanged()

    def close(self) -> None:
        """Closes the file; requests for more of it are broken off."""
        if not self.closed and isinstance(self._bytes, RemoteBytes):
            self._bytes.abort()
        super().close()


def open_file(
    item: Any,
    buffer_bytes: int = 1 << 20,
    takes_archive: bool = False,
    is_ahead: bool = False,
    is_whole: bool = True,
    requests: Requests | None = None,
) -> OpenedFile:
    """Opens a file to read it from its start on (`is_whole`: to its end), whatever its store and compression. Raises
    `IsArchive` for one of which the members are to be read, unless it is taken as it is. `is_ahead`: a thread of its own
    undoes the compression. `requests`: with which another thread may break it off.
    """
    return OpenedFile(item, buffer_bytes, takes_archive, is_ahead, is_whole, requests)


class SeekableFile(io.BufferedReader):
    """A file to seek in. `name` is its path if it is local and as it is stored."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw, _BUFFER_BYTES)

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        """What will be read, in this order: a remote file is asked for it ahead."""
        if isinstance(self.raw, RemoteBytes):
            self.raw.expect(ranges)

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the file became another one since it was opened. To be called at its end."""
        self.raw.check_unchanged()  # type: ignore[attr-defined]


def open_seekable(item: Any) -> SeekableFile:
    """Opens a file to seek in. A compressed one, and one of a server without ranges, goes to memory or a temporary file first."""
    raw = seekable_bytes(item)
    try:
        file = SeekableFile(raw)
        start = file.read(MAGIC_BYTES)
        if raw.seekable() and compression_of(start) is None:
            file.seek(0)
            if isinstance(raw, LocalFile):
                raw.hash_aside()
            return file
    except BaseException:
        raw.close()
        raise
    file.close()
    with open_file(item, takes_archive=True) as opened:
        spool = spooled(opened)
        try:
            opened.check_unchanged()
        except BaseException:
            spool.close()
            raise
    return SeekableFile(spool)


@contextmanager
def unchanged(file: SeekableFile) -> Iterator[None]:
    """Around the reading of a file: an error of one that became another while it was read is told as that."""
    try:
        yield
    except FileChanged:
        raise
    except Exception:
        file.check_unchanged()
        raise
    file.check_unchanged()
