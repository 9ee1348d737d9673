"""Which files were loaded: a file is loaded once, or again when it has changed, whatever its time says.

dlt's incremental keeps the newest modification date: a file that comes late with an older one is never seen. Here the state
has the path of every file that was loaded, with five characters of what its version is, packed: a million files take a few
MB of dlt's state, which commits with the load package. So no file is loaded twice after a crash and none is left out.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections import OrderedDict
from typing import Any

import dlt
from dlt.common import logger

from headrace._files.arguments import check_arguments
from headrace._files.listing import ListedFile
from headrace.exceptions import ConfigurationError

MOST_FILES = 1_000_000  # that are remembered; beyond it those that are gone are forgotten, then it is an error
_MOST_EXTRACTIONS = 8  # of which is held what they knew
_MOST_HELD = 100_000  # files that these have together, but for the one that is under way
_MOST_NAMED = 100  # removed files that are named
_GONE = "-"  # before the version of a file that is no longer there
_STATE = "headrace_files"

# Of an extraction: what was known before it. Two readers of the same files both get the new ones.
_known: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()
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
                known = unpack(self._state.get("files", ""))
                for path in self._state.get("again", []):
                    known.pop(path, None)
                _known[(load_id, key)] = known
                _forget_earlier(load_id)
        self._before = known
        self._now = dict(known)
        self._seen: set[str] = set()
        self._again: set[str] = set()
        self._is_stored = False

    def wants(self, item: ListedFile) -> bool:
        """Whether the file is to be loaded."""
        path, version = item["relative_path"], self._version(item)
        self._seen.add(path)
        before = self._before.get(path)
        if before is not None and before.removeprefix(_GONE) == version:
            self.n_known += 1
            self._now[path] = version
            return False
        self.n_new += before is None
        self.n_changed += before is not None
        return True

    def given(self, item: ListedFile) -> None:
        """The file is on its way to its reader."""
        item.tracker = self
        self._now[item["relative_path"]] = self._version(item)

    def forget(self, item: Any) -> None:
        """The file was left out whole: the next run tries it again."""
        self._again.add(item["relative_path"])
        if self._is_stored:
            self._state["again"] = sorted(self._again)

    def _version(self, item: ListedFile) -> str:
        if self._way == "name":
            return ""
        if self._way == "etag" and item.etag is None:
            raise ConfigurationError(
                f"`only_new` of `filesystem` is `etag`, but the store gives none for {item['relative_path']}: take `version`"
            )
        what: Any = (
            item.etag if self._way == "etag" else (item["modification_date"].timestamp(), item.get("size_in_bytes"))
        )
        return base64.b64encode(hashlib.blake2b(repr(what).encode(), digest_size=4).digest())[:5].decode()

    def end(self, is_whole: bool) -> None:
        """Stores what is known. `is_whole`: all files were listed, so that those that were not are removed."""
        if is_whole:
            for path, version in self._before.items():
                if path not in self._seen and not version.startswith(_GONE):
                    self.n_removed += 1
                    if len(self.removed) < _MOST_NAMED:
                        self.removed.append(path)
                    self._now[path] = _GONE + version
        self._limit()
        for path in self._again:
            self._now.pop(path, None)
        self._state["files"] = pack(self._now)
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

    def _limit(self) -> None:
        too_many = len(self._now) - MOST_FILES
        if too_many <= 0:
            return
        gone = [path for path, version in self._now.items() if version.startswith(_GONE)]
        if len(gone) < too_many:
            raise ConfigurationError(
                f"`only_new`: {len(self._now)} files, more than {MOST_FILES} to remember: split them by `file_glob`"
            )
        for path in gone[:too_many]:
            del self._now[path]


def _forget_earlier(load_id: str) -> None:
    """Drops what the oldest of other extractions knew. Under `_lock`."""
    for key in [one for one in _known if one[0] != load_id]:
        if len(_known) <= _MOST_EXTRACTIONS and sum(map(len, _known.values())) <= _MOST_HELD:
            break
        del _known[key]


def pack(files: dict[str, str]) -> str:
    """Paths and versions as a text."""
    text = "\n".join(f"{_escaped(path)}\t{version}" for path, version in sorted(files.items()))
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"), 6)).decode()


def unpack(text: str) -> dict[str, str]:
    """What was packed."""
    if not text:
        return {}
    lines = zlib.decompress(base64.b64decode(text)).decode("utf-8", "surrogateescape")
    pairs = (line.rpartition("\t") for line in lines.split("\n")) if lines else ()
    return {_plain(path) if "\\" in path else path: version for path, _, version in pairs}


def _escaped(path: str) -> str:
    if "\\" not in path and "\n" not in path and "\t" not in path:
        return path
    return path.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _plain(path: str) -> str:
    return path.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
