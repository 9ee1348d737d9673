"""A file as a reader reads it: its bytes, undone of their compression, in order or to seek in."""

from __future__ import annotations

import io
import shutil
import tempfile
from typing import IO, Any

from headrace._files.archives import ARCHIVE_BYTES, IsArchive, archive_of
from headrace._files.compression import MAGIC_BYTES, ReadAhead, compression_of, unpacked
from headrace._files.stores import seekable, stored_bytes

_IN_MEMORY_BYTES = 8 << 20  # of an unpacked file to seek in; more goes to a temporary file


class OpenedFile(io.BufferedReader):
    """The file's content. At its end it is checked that the file is the one that was opened.

    Attributes:
        compression: "gzip", "zstd", "bzip2", "xz", "lz4" or None.
        stored_size: Bytes that the store holds; None: not known.
    """

    def __init__(
        self, item: Any, buffer_bytes: int = 1 << 20, takes_archive: bool = False, is_ahead: bool = False
    ) -> None:
        self._bytes = stored_bytes(item)
        try:
            self._content, self.compression = unpacked(self._bytes)
            if is_ahead and self.compression is not None:
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


def open_file(
    item: Any, buffer_bytes: int = 1 << 20, takes_archive: bool = False, is_ahead: bool = False
) -> OpenedFile:
    """Opens a file to read it from its start to its end, whatever its store and compression. Raises `IsArchive` for one of
    which the members are to be read, unless it is taken as it is. `is_ahead`: a thread of its own undoes the compression.
    """
    return OpenedFile(item, buffer_bytes, takes_archive, is_ahead)


def open_seekable(item: Any) -> IO[bytes]:
    """Opens a file to seek in. A compressed one is unpacked first, to memory or a temporary file."""
    file = seekable(item)
    try:
        start = file.read(MAGIC_BYTES)
        file.seek(0)
        if compression_of(start) is None:
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
    with open_file(item, takes_archive=True) as opened:
        shutil.copyfileobj(opened, spool, 1 << 20)
        opened.check_unchanged()
    spool.seek(0)
    return spool
