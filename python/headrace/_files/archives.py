"""Archives: the members of zip and tar, each a file of its own for the readers, `file:///data/a.zip!folder/b.csv`.

    open_file(archive) raises IsArchive -> members_of(archive): its directory, checked -> MemberFile.stored: a member's bytes

An archive is told by its content. A compressed tar is unpacked to a temporary file once, so that each of its members can be
read. What an archive says of itself is not believed beyond the limits `archive_...` of `[headrace]`; names are only names:
nothing is written to where they point.
"""

from __future__ import annotations

import fnmatch
import io
import os
import posixpath
import struct
import tarfile
import tempfile
import threading
import weakref
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any
from urllib.parse import quote

from dlt.common import logger

from headrace._files.compression import MAGIC_BYTES, compression_of
from headrace._files.listing import ListedFile
from headrace._files.skips import FileChanged
from headrace._files.stores import LocalFile, Version, open_stored, remote_version, seekable, url_of
from headrace.config import HeadraceConfiguration, settings

ARCHIVE_BYTES = 512  # that must be seen to tell
_IN_MEMORY_BYTES = 8 << 20  # of an unpacked tar; more goes to a temporary file
_COPY_BYTES = 1 << 20
_FREE_BYTES = 1 << 20  # of a member, whatever its ratio
_HEADER_BYTES = 1 << 20  # of a member's headers in a tar
_ENTRY_BYTES = 1 << 10  # of a zip's directory a member, with its name, about
_JUNK = ("__MACOSX/*", "*/._*", "._*", "*.DS_Store")  # that macOS puts beside the files


class IsArchive(Exception):
    """A file is an archive: its members are to be read."""


def archive_of(start: bytes) -> str | None:
    """What a file is that begins so, undone of its compression: "zip", "tar" or None."""
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    return "tar" if len(start) >= ARCHIVE_BYTES and _is_tar_header(start[:ARCHIVE_BYTES]) else None


def _is_tar_header(header: bytes) -> bool:
    """Whether the checksum is right (POSIX.1-1988, ustar; formats before it have no magic)."""
    try:
        told = int(header[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return told == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


class Files(deque[Any]):
    """Files to be read one after the other; members take their archive's place."""

    def taken(self) -> Iterator[Any]:
        """The files, each taken from the front when it is its turn."""
        while self:
            yield self.popleft()

    def put_first(self, items: Iterable[Any]) -> None:
        """Takes files, to come before the others."""
        self.extendleft(reversed(list(items)))


class MemberFile(ListedFile):
    """A file in an archive.

    Attributes:
        stored: Opens its bytes, undone of the archive's compression.
        is_packed: Whether there is such a compression, of this member by itself.
    """

    def __init__(self, archive: _Archive, name: str, info: Any, size: int) -> None:
        of = archive.item
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        mapping = {
            **{key: value for key, value in of.items() if key not in ("file_content", "encoding")},
            "file_name": posixpath.basename(shown),
            "relative_path": f"{of.get('relative_path') or of.get('file_name')}!{shown}",
            "file_url": f"{of['file_url']}!{quote(shown)}",
            "size_in_bytes": size,
        }
        super().__init__(mapping, getattr(of, "fsspec", None))  # type: ignore[arg-type]
        self._archive = archive
        self._info = info
        self.is_packed = getattr(info, "compress_type", zipfile.ZIP_STORED) != zipfile.ZIP_STORED
        self.tracker = archive

    def stored(self) -> Any:
        """Opens the member. Raises `ValueError` for one that is encrypted or beyond the limits."""
        return self._archive.member(self._info)

    def open(self, *args: Any, **kwargs: Any) -> IO[Any]:
        """The member as a file, for steps in Python."""
        return io.BufferedReader(self.stored())


class _MemberBytes(io.RawIOBase):
    """A member's bytes."""

    def __init__(self, archive: _Archive, file: Any, size: int) -> None:
        self._archive = archive
        self._file = file
        self.size: int | None = size
        self.position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Reads up to the buffer's size; 0 at the end."""
        found = self._file.read(len(into))
        into[: len(found)] = found
        self.position += len(found)
        return len(found)

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the archive is another than when it was opened."""
        self._archive.check_unchanged()

    def close(self) -> None:
        """Closes the member."""
        if not self.closed:
            self._file.close()
        super().close()


class _Range(io.RawIOBase):
    """So many bytes of a file that others read, too."""

    def __init__(self, file: IO[bytes], lock: threading.Lock, start: int, size: int) -> None:
        self._file = file
        self._lock = lock
        self._at = start
        self._end = start + size

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes. Raises `EOFError` where the file is cut."""
        n = min(size, self._end - self._at)
        if n <= 0:
            return b""
        with self._lock:
            self._file.seek(self._at)
            found = self._file.read(n)
        if not found:
            raise EOFError(f"the archive ends at byte {self._at}, within the member")
        self._at += len(found)
        return found


class _Archive:
    """An open archive. It stays open as long as one of its members is there. For its members it is what remembers whether
    they were loaded: the archive is loaded again only if nothing of it was.
    """

    def __init__(self, item: Any, limits: HeadraceConfiguration) -> None:
        self.item = item
        self._limits = limits
        self._lock = threading.Lock()
        self._n_members = 0
        self._forgotten: set[str] = set()
        self._version: Version | None = None
        self._file = self._opened()
        weakref.finalize(self, self._file.close)
        self._stat = self._stat_now()
        self._file.seek(0, io.SEEK_END)
        self._size = self._file.tell()
        self._file.seek(0)
        self._zip: zipfile.ZipFile | None = None

    # ---- the file

    def _opened(self) -> IO[bytes]:
        file = seekable(self.item)
        try:
            is_packed = compression_of(file.read(MAGIC_BYTES)) is not None
            file.seek(0)
            if not is_packed:
                self._is_own = False
                if getattr(getattr(self.item, "fsspec", None), "async_impl", False):
                    self._version = remote_version(self.item)
                if isinstance(file.raw, LocalFile):
                    file.raw.check_unchanged()  # takes its hash, where that is wanted
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        self._is_own = True
        return self._unpacked()

    def _unpacked(self) -> IO[bytes]:
        """The archive without the compression around it."""
        spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the archive's
        try:
            with open_stored(self.item) as (stored, content):
                n = 0
                while block := content.read(_COPY_BYTES):
                    n += len(block)
                    self._check_bytes(n, stored.position)
                    spool.write(block)
                stored.check_unchanged()
        except BaseException:
            spool.close()
            raise
        return spool

    def _check_bytes(self, n: int, n_stored: int) -> None:
        limits = self._limits
        if n > limits.archive_max_bytes:
            raise ValueError(f"the archive holds more than archive_max_bytes, {limits.archive_max_bytes} bytes")
        if n > _FREE_BYTES and n > limits.archive_max_ratio * n_stored:
            raise ValueError(
                f"{n_stored} bytes of the archive make {n} bytes: more than archive_max_ratio, {limits.archive_max_ratio}"
            )

    def _stat_now(self) -> tuple[int, int] | None:
        if self._is_own:
            return None
        try:
            now = os.fstat(self._file.fileno())
        except (OSError, AttributeError):
            return None
        return now.st_size, now.st_mtime_ns

    def check_unchanged(self) -> None:
        """Raises `FileChanged` if the archive is another than when it was opened."""
        if (now := self._stat_now()) != self._stat:
            raise FileChanged(url_of(self.item), f"{self._stat} (bytes, modified ns)", f"{now}")
        if self._version is not None and (version := remote_version(self.item)) != self._version:
            raise FileChanged(url_of(self.item), self._version.text(), version.text())

    # ---- members

    def members(self) -> list[MemberFile]:
        """The files in it, in the archive's order. Raises `ValueError` for one beyond the limits, `OSError` for a bad one."""
        start = self._file.read(ARCHIVE_BYTES)
        self._file.seek(0)
        kind = archive_of(start)
        if kind is None:
            raise OSError("it is no archive any more")
        found = list(self._of_zip() if kind == "zip" else self._of_tar())
        total = sum(member["size_in_bytes"] for member in found)
        if total > self._limits.archive_max_bytes:
            raise ValueError(
                f"the archive's members have {total} bytes: more than archive_max_bytes, {self._limits.archive_max_bytes}"
            )
        self._n_members = len(found)
        logger.info(f"headrace: {url_of(self.item)} is a {kind} archive: {len(found)} files of it are read")
        return found

    def _is_wanted(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name, self._limits.archive_members) and not any(
            fnmatch.fnmatchcase(name, junk) for junk in _JUNK
        )

    def _too_many(self, n: int) -> ValueError:
        return ValueError(
            f"the archive has {n} members or more: archive_max_members is {self._limits.archive_max_members}"
        )

    def _of_zip(self) -> Iterator[MemberFile]:
        most = self._limits.archive_max_members
        n, n_bytes = _zip_directory(self._file, self._size)
        if n > most or n_bytes > (most + 1024) * _ENTRY_BYTES:  # before a directory of that size is read
            raise self._too_many(max(n, n_bytes // _ENTRY_BYTES))
        self._file.seek(0)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise OSError(f"the zip is cut or corrupt: {error}") from error
        infos = self._zip.infolist()
        if len(infos) > most:
            raise self._too_many(len(infos))
        names = {info.filename for info in infos}
        if "[Content_Types].xml" in names or ("mimetype" in names and "content.xml" in names):
            raise ValueError("it is an office document, no archive of files: `read_excel` reads workbooks")
        n_stored = sum(info.compress_size for info in infos)
        if n_stored > self._size:
            raise ValueError(f"the zip's members overlap: {n_stored} bytes in a file of {self._size}")
        for info in infos:
            if not info.is_dir() and self._is_wanted(info.filename):
                yield MemberFile(self, info.filename, info, info.file_size)

    def _of_tar(self) -> Iterator[MemberFile]:
        n_other = n = 0
        headers: Any = _Headers(self._file)
        try:
            tar = tarfile.open(fileobj=headers, mode="r:", errorlevel=2)  # noqa: SIM115 - it owns nothing
            for info in tar:
                n += 1
                if n > self._limits.archive_max_members:
                    raise self._too_many(n)
                if not info.isreg():
                    n_other += not info.isdir()
                elif self._is_wanted(info.name):
                    if info.offset_data + (0 if info.issparse() else info.size) > self._size:
                        raise EOFError(f"the tar ends at byte {self._size}, within {info.name}")
                    yield MemberFile(self, info.name, info, info.size)
        except (tarfile.TarError, ValueError) as error:
            if isinstance(error, ValueError):
                raise
            raise OSError(f"the tar is cut or corrupt: {error}") from error
        self._file.seek(tar.offset)
        if (rest := self._file.read(ARCHIVE_BYTES)).strip(b"\0"):  # Python's module takes what is no header for the end
            raise OSError(f"the tar is corrupt: no header of a member at byte {tar.offset}: {rest[:8]!r}")
        if n_other:
            logger.warning(f"headrace: {url_of(self.item)}: {n_other} members that are no files (links) are left out")

    def member(self, info: Any) -> _MemberBytes:
        """Opens a member."""
        if self._zip is None:
            if info.issparse():
                raise ValueError("the member is sparse: unpack the tar, and pack it without --sparse")
            return _MemberBytes(self, _Range(self._file, self._lock, info.offset_data, info.size), info.size)
        if info.flag_bits & 1:
            raise ValueError("the member is encrypted: headrace takes no passwords")
        self._check_bytes(info.file_size, info.compress_size)
        return _MemberBytes(self, _ZipMember(self._zip, info), info.file_size)

    # ---- as a tracker

    def forget(self, item: Any) -> None:
        """A member was left out whole."""
        self._forgotten.add(item["relative_path"])
        tracker = getattr(self.item, "tracker", None)
        if tracker is not None and len(self._forgotten) >= self._n_members:
            tracker.forget(self.item)


class _ZipMember:
    """A member of a zip as it is read; its errors are `OSError` or `EOFError`."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        try:
            self._file = archive.open(info)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise OSError(f"the member cannot be read: {error}") from error

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        import zlib

        try:
            return self._file.read(size)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise OSError(f"the member is corrupt: {error}") from error

    def close(self) -> None:
        """Closes it."""
        self._file.close()


class _Headers:
    """A tar as it is read for its headers: never much at once, whatever they say."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """So many bytes."""
        if size > _HEADER_BYTES:
            raise ValueError(f"a header of the tar of {size} bytes: more than {_HEADER_BYTES}")
        return self._file.read(size)


def _zip_directory(file: IO[bytes], size: int) -> tuple[int, int]:
    """Entries and bytes of a zip's directory, as its end says (APPNOTE.TXT 4.3.14 to 4.3.16)."""
    start = max(0, size - (64 << 10) - 22 - 20)
    file.seek(start)
    end = file.read(size - start)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) - at < 22:
        raise OSError("the zip is cut: the end of its directory is not there")
    n, n_bytes = struct.unpack_from("<HI", end, at + 10)
    if at >= 20 and end[at - 20 : at - 16] == b"PK\x06\x07":
        (offset,) = struct.unpack_from("<Q", end, at - 12)
        file.seek(min(offset, size))
        record = file.read(56)
        if len(record) == 56 and record[:4] == b"PK\x06\x06":
            n, n_bytes = struct.unpack_from("<QQ", record, 32)
    return n, n_bytes


def members_of(item: Any) -> list[Any]:
    """The files of an archive. Raises `ValueError` for an archive in an archive or one beyond the limits, `OSError` for a
    corrupt one.
    """
    inner = getattr(item, "inner", item)
    if isinstance(inner, MemberFile):
        raise ValueError("it is an archive in an archive: unpack the outer one")
    found: list[Any] = _Archive(inner, settings()).members()
    wrap = getattr(item, "of_member", None)
    return found if wrap is None else [wrap(one) for one in found]
