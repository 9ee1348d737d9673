r"""Which files were loaded: a file is loaded once, or again when it has changed, whatever its time says.

dlt's incremental keeps the newest modification date: a file that comes late with an older one is never seen. Here the state
has the path of every file that was loaded, with five characters of what its version is, packed: a million files take a few
MB of dlt's state, which commits with the load package. So no file is loaded twice after a crash and none is left out.

    path \t ["-": it is gone] version (5) [size (2) hash (10)]      by `hash`; without them: its content is not known

The hash of a file is known when its reader is done with it, and that may be after the listing ended, when the state is
packed: then it is added to what was packed, `late`, in parts.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common import logger

from headrace._files.arguments import check_arguments
from headrace._files.content_hash import HASH_CHARACTERS, ContentHash, short_hash
from headrace._files.listing import ListedFile
from headrace._files.stores import read_whole
from headrace.exceptions import ConfigurationError

MOST_FILES = 1_000_000  # that are remembered; beyond it those that are gone are forgotten, then it is an error
_MOST_EXTRACTIONS = 8  # of which is held what they knew
_MOST_HELD = 100_000  # files that these have together, but for the one that is under way
_MOST_NAMED = 100  # removed files that are named
_PART_LINES = 10_000  # that are packed at a time
_PART_BYTES = 1 << 20  # that are unpacked at a time
_GONE = "-"  # before the version of a file that is no longer there
_STATE = "headrace_files"
_VERSION = 5  # characters of a version
_SIZE = 2  # of a file's size, before its hash: another one tells that its content is another, too
_NO_SIZE = "."
_MOST_LATE = 10_000  # hashes that came late, before they are packed
_MOST_READ = 16  # files that are read at once to see whether their content is another
_MOST_READ_BYTES = 64 << 20  # that these have together, of each at most what is held of it at a time
_HELD_BYTES = 16 << 20


class KnownFiles:
    """Files that were loaded, by number, in the order of their paths: as lines in one text, since Python's objects for a
    million paths would be a quarter of a GB. 60 bytes a file.

        _text    lines as they are packed, one after the other
        _starts  where each begins, and the text's end: n + 1
        _hashes  of the paths, in order
        _order   numbers of the files that have them

    Args:
        packed: What `pack` made, in the order of the paths.
        late: Files and versions that are added to these, or replace theirs.
        left_out: Paths that are left out.
    """

    def __init__(self, packed: str, late: dict[str, str], left_out: set[str]) -> None:
        lines = _lines_of(packed)
        if late:
            merged = dict(map(_line, lines))
            merged.update(late)
            lines = iter([_packed_line(*pair).encode("utf-8", "surrogateescape") for pair in sorted(merged.items())])
        dropped = {_escaped(path).encode("utf-8", "surrogateescape") for path in left_out}
        text = bytearray()
        self._starts = array("Q")
        hashes = array("q")
        for line in lines:
            path = line[: line.rindex(b"\t")]
            if path not in dropped:
                self._starts.append(len(text))
                hashes.append(hash(path))
                text += line
        self._starts.append(len(text))
        self._text = bytes(text)
        values = pa.Array.from_buffers(pa.int64(), len(hashes), [None, pa.py_buffer(hashes)])
        order = pc.array_sort_indices(values)
        self._hashes, self._order = array("q"), array("Q")
        if len(hashes):
            self._hashes.frombytes(values.take(order).buffers()[1])
            self._order.frombytes(order.buffers()[1])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def number(self, path: str) -> int:
        """The file's number; -1: it is not known."""
        key = _escaped(path).encode("utf-8", "surrogateescape") + b"\t"
        wanted = hash(key[:-1])
        at = bisect_left(self._hashes, wanted)
        while at < len(self._hashes) and self._hashes[at] == wanted:
            number = self._order[at]
            if self._text.startswith(key, self._starts[number]):
                return number
            at += 1
        return -1

    def _line(self, number: int) -> bytes:
        return self._text[self._starts[number] : self._starts[number + 1]]

    def file(self, number: int) -> tuple[str, str]:
        """Path and version."""
        return _line(self._line(number))

    def version(self, number: int) -> str | None:
        """The version of a file; None for -1."""
        return None if number < 0 else self._line(number).rpartition(b"\t")[2].decode()

    def files(self) -> Iterator[tuple[str, str]]:
        """All, in the order of their paths."""
        return map(self.file, range(len(self)))


# Of an extraction: what was known before it. Two readers of the same files both get the new ones.
_known: OrderedDict[tuple[str, str], KnownFiles] = OrderedDict()
_lock = threading.Lock()


class Tracker:
    """The files of one `filesystem` in one run.

    Attributes:
        n_new: Files that were not loaded before.
        n_changed: Files that were loaded in another version.
        n_known: Files that stay.
        removed: Files that were there in the last run and are not now; the first hundred.
        n_removed: How many.
    """

    def __init__(self, way: str, bucket_url: str, file_glob: str) -> None:
        check_arguments("filesystem", {"only_new": way})
        self._way = way
        self.n_new = self.n_changed = self.n_known = self.n_removed = 0
        self.removed: list[str] = []
        key = hashlib.blake2b(f"{bucket_url}\0{file_glob}\0{way}".encode(), digest_size=8).hexdigest()
        state: dict[str, Any] = dlt.current.resource_state().setdefault(_STATE, {})
        self._state: dict[str, Any] = state.setdefault(key, {})
        load_id = str(dlt.current.load_package_state()["load_id"])
        with _lock:
            known = _known.get((load_id, key))
            if known is None:
                _forget_earlier(load_id)  # before there are more
                late: dict[str, str] = {}
                for part in self._state.pop("parts", ()):
                    late.update(unpack(part))
                late.update(self._state.pop("late", {}))
                known = KnownFiles(self._state.get("files", ""), late, set(self._state.get("again", [])))
                _known[(load_id, key)] = known
        self._before = known
        self._new: dict[str, str] = {}  # what is not as it was before
        self._is_seen = bytearray(len(known))  # of them
        self._again: set[str] = set()
        self._is_stored = False
        if way == "hash":
            self.begin_hash = self._begin_hash  # files are asked whether their tracker has it

    def wanted(self, items: Iterable[ListedFile]) -> Iterator[ListedFile]:
        """The files that are to be loaded, in order."""
        for item, is_same in self._by_content(items) if self._way == "hash" else ((item, False) for item in items):
            if self._wants(item, is_same):
                yield item

    def _by_content(self, items: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bool]]:
        """The files, and whether they were loaded with the content that they have. Those that must be read to see that are
        read some at once.
        """
        waiting: deque[tuple[ListedFile, Future[bool] | None, int]] = deque()
        n_bytes = 0
        with ThreadPoolExecutor(_MOST_READ, thread_name_prefix="headrace-hash") as pool:
            try:
                for item in items:
                    size = 0
                    found: Future[bool] | None = None
                    if self._must_be_read(item):
                        size = min(int(item.get("size_in_bytes") or _HELD_BYTES), _HELD_BYTES)
                        found = pool.submit(self._is_same, item)
                    waiting.append((item, found, size))
                    n_bytes += size
                    while waiting and (
                        waiting[0][1] is None or n_bytes > _MOST_READ_BYTES or len(waiting) > 4 * _MOST_READ
                    ):
                        first, found, size = waiting.popleft()
                        n_bytes -= size
                        yield first, found is not None and found.result()
                while waiting:
                    first, found, _ = waiting.popleft()
                    yield first, found is not None and found.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _must_be_read(self, item: ListedFile) -> bool:
        """Whether the file is another version of one that was loaded, of the same size."""
        before = (self._before.version(self._before.number(item["relative_path"])) or "").removeprefix(_GONE)
        return (
            len(before) == _VERSION + _SIZE + HASH_CHARACTERS
            and before[:_VERSION] != self._version(item)[:_VERSION]
            and (before[_VERSION] == _NO_SIZE or before[_VERSION:][:_SIZE] == _size(item))
        )

    def _is_same(self, item: ListedFile) -> bool:
        """Whether the file has the content that was loaded. Reads it."""
        found: list[str] = []
        item.tracker = _Taker(found)
        try:
            read_whole(item)
        except Exception:  # its reader meets it, and knows what to do
            return False
        finally:
            item.tracker = None
        before = self._before.version(self._before.number(item["relative_path"])) or ""
        return found == [before.removeprefix(_GONE)[_VERSION + _SIZE :]]

    def _wants(self, item: ListedFile, is_same: bool) -> bool:
        """Whether the file is to be loaded. `is_same`: it has the content that was."""
        path, version = item["relative_path"], self._version(item)
        number = self._before.number(path)
        before = self._before.version(number)
        if number >= 0:
            self._is_seen[number] = 1
        known = before.removeprefix(_GONE) if before is not None else None
        if known is not None and (is_same or known[:_VERSION] == version[:_VERSION]):
            self.n_known += 1
            now = version[:_VERSION] + known[_VERSION:]
            if before != now:
                self._new[path] = now
            return False
        self.n_new += before is None
        self.n_changed += before is not None
        return True

    def given(self, item: ListedFile) -> None:
        """The file is on its way to its reader."""
        item.tracker = self
        self._new[item["relative_path"]] = self._version(item)
        if self._way == "hash" and (content := item.get("file_content")) is not None:
            taken = self._begin_hash(item)
            taken.add(content)
            taken.finish()

    def _begin_hash(self, item: ListedFile) -> ContentHash:
        """What takes the hash of a file that is on its way."""
        path, version = item["relative_path"], self._version(item)

        def report(found: str) -> None:
            with _lock:
                self._new[path] = version + found
                if not self._is_stored:
                    return
                late: dict[str, str] = self._state.setdefault("late", {})
                late[path] = version + found
                if len(late) >= _MOST_LATE:
                    self._state.setdefault("parts", []).append(pack(sorted(late.items())))
                    late.clear()

        return ContentHash(report)

    def forget(self, item: Any) -> None:
        """The file was left out whole: the next run tries it again."""
        self._again.add(item["relative_path"])
        if self._is_stored:
            self._state["again"] = sorted(self._again)

    def _version(self, item: ListedFile) -> str:
        """What is remembered of a file; by `hash`, without that."""
        if self._way == "name":
            return ""
        if self._way == "etag" and item.etag is None:
            raise ConfigurationError(
                f"`only_new` of `filesystem` is `etag`, but the store gives none for {item['relative_path']}: take `version`"
            )
        what: Any = (
            item.etag if self._way == "etag" else (item["modification_date"].timestamp(), item.get("size_in_bytes"))
        )
        if self._way == "hash":
            return short_hash(repr((*what, item.etag)).encode(), _VERSION) + _size(item)
        return short_hash(repr(what).encode(), _VERSION)

    def end(self, is_whole: bool) -> None:
        """Stores what is known. `is_whole`: all files were listed, so that those that were not are removed."""
        if is_whole:
            number = -1
            while (number := self._is_seen.find(0, number + 1)) >= 0:
                path, version = self._before.file(number)
                if not version.startswith(_GONE):
                    self._new[path] = _GONE + version
                    self.n_removed += 1
                    if len(self.removed) < _MOST_NAMED:
                        self.removed.append(path)
        with _lock:
            self._state["files"] = pack(self._now())
            self._state["again"] = sorted(self._again)
            self._state["removed"] = self.removed
            self._is_stored = True
        told = f"{self.n_new} new, {self.n_changed} changed, {self.n_known} loaded before, {self.n_removed} removed"
        logger.info(f"headrace: files: {told}")
        if self.n_removed:
            logger.warning(
                f"headrace: {self.n_removed} files are no longer there; what was loaded of them stays:"
                f" {', '.join(self.removed[:5])}{' ...' if self.n_removed > 5 else ''}"
            )

    def _now(self) -> Iterator[tuple[str, str]]:
        """Paths and versions that are remembered, in order."""
        n_files = len(self._before) + sum(self._before.number(path) < 0 for path in self._new)
        n_files -= sum(path in self._new or self._before.number(path) >= 0 for path in self._again)
        too_many = max(n_files - MOST_FILES, 0)
        if too_many and sum(version.startswith(_GONE) for _, version in self._merged()) < too_many:
            raise ConfigurationError(
                f"`only_new`: {n_files} files, more than {MOST_FILES} to remember: split them by `file_glob`"
            )
        for path, version in self._merged():
            if too_many and version.startswith(_GONE):
                too_many -= 1
            elif path not in self._again:
                yield path, version

    def _merged(self) -> Iterator[tuple[str, str]]:
        """What was known and what is new, in the order of the paths."""
        new = iter(sorted(self._new))
        next_new = next(new, None)
        for path, version in self._before.files():
            while next_new is not None and next_new < path:
                yield next_new, self._new[next_new]
                next_new = next(new, None)
            if next_new == path:
                version, next_new = self._new[path], next(new, None)
            yield path, version
        while next_new is not None:
            yield next_new, self._new[next_new]
            next_new = next(new, None)


class _Taker:
    """Stands where a file's tracker does while it is read for its hash only."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    def begin_hash(self, item: Any) -> ContentHash:
        """What takes the hash."""
        return ContentHash(self._found.append)


def _size(item: ListedFile) -> str:
    size = item.get("size_in_bytes")
    return _NO_SIZE * _SIZE if size is None else short_hash(str(size).encode(), _SIZE)


def _forget_earlier(load_id: str) -> None:
    """Drops what the oldest of other extractions knew. Under `_lock`."""
    for key in [one for one in _known if one[0] != load_id]:
        if len(_known) <= _MOST_EXTRACTIONS and sum(map(len, _known.values())) <= _MOST_HELD:
            break
        del _known[key]


def pack(files: Iterable[tuple[str, str]]) -> str:
    """Paths and versions as a text, a part at a time: a million lines are more than what they are packed to."""
    packer = zlib.compressobj(6)
    parts, before = [], ""
    rest = iter(files)
    while lines := [_packed_line(path, version) for path, version in islice(rest, _PART_LINES)]:
        parts.append(packer.compress((before + "\n".join(lines)).encode("utf-8", "surrogateescape")))
        before = "\n"
    return base64.b64encode(b"".join((*parts, packer.flush()))).decode()


def unpack(text: str) -> dict[str, str]:
    """What was packed."""
    return dict(map(_line, _lines_of(text)))


def _lines_of(text: str) -> Iterator[bytes]:
    unpacker, rest, carry = zlib.decompressobj(), base64.b64decode(text), b""
    while rest:
        part = unpacker.decompress(rest, _PART_BYTES)
        rest = unpacker.unconsumed_tail
        *lines, carry = (carry + part).split(b"\n")
        yield from lines
        if not part and not rest:
            break
    if carry:
        yield carry


def _packed_line(path: str, version: str) -> str:
    return f"{_escaped(path)}\t{version}"


def _line(line: bytes) -> tuple[str, str]:
    path, _, version = line.decode("utf-8", "surrogateescape").rpartition("\t")
    return _plain(path) if "\\" in path else path, version


def _escaped(path: str) -> str:
    if "\\" not in path and "\n" not in path and "\t" not in path:
        return path
    return path.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _plain(path: str) -> str:
    return path.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
