"""What happens with a bad file or row: `on_error` of the readers.

raise      The run fails, with the file, the place in it and what was read of it before.
skip_file  The file is left out from the error on; what was read of it before stays and is told.
skip_row   A bad row is left out; a file that cannot be read on (cut, corrupt) is left out as by skip_file.

What is left out is counted, listed in `headrace.status()` and in dlt's state of the resource, and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import dlt
from dlt.common import logger
from dlt.common.exceptions import DltException

from headrace import _status
from headrace._files.arguments import check_arguments
from headrace._files.progress import FileByFile
from headrace._files.store_errors import is_unreachable
from headrace._rest_api.isolation import Skipped
from headrace.exceptions import HeadraceError, ResourceFailed, ResourceFailedTransient, mask_error, mask_text

STATE_KEY = "headrace_skipped_files"  # in dlt's state of the resource: what the last run that skipped left out
MOST_LISTED = 1000  # of a resource in a run; further ones are counted
_MOST_LOGGED = 3
_SHOWN = 300  # characters of an error


class FileChanged(HeadraceError, OSError):
    """A file became another one while it was read: what was read of it is of no version of it."""

    def __init__(self, url: str, before: str, now: str) -> None:
        super().__init__(
            f"{url} changed while it was read: {before} at first, now {now}. Run again when it is complete."
        )


class SkippedFile(TypedDict):
    """What was left out of a file.

    Attributes:
        url: The file, without secrets.
        what: "row" or "file".
        place: Where in the file: "line 3, byte 120"; "" if that is not known.
        read: Records of the file that were read before and stay; -1: not known.
        error: Why.
    """

    url: str
    what: str
    place: str
    read: int
    error: str


class Position:
    """How far a reader is in a file; it keeps this up to date for messages.

    Attributes:
        place: "row 17", "byte 300", ...
        read: Records given on so far.
    """

    def __init__(self, moved: Callable[[float], None] | None = None) -> None:
        self.place = ""
        self.read = 0
        self._moved = moved

    def move(self, place: str, share: float) -> None:
        """The reader is at this place, with this share of the file read, from 0 to 1."""
        self.place = place
        if self._moved is not None:
            self._moved(share)


class Skips:
    """The policy of one reader in one run, and what it left out."""

    def __init__(self, resource: str, on_error: str = "raise") -> None:
        check_arguments(resource, {"on_error": on_error})
        self.resource = resource
        self.way = on_error
        self.n_rows = self.n_files = 0
        self.listed: list[SkippedFile] = []
        self._told = (0, 0)  # skipped, listed: by `note`

    @contextmanager
    def guard(self, item: Any, files: Any = None, progress: FileByFile | None = None) -> Iterator[Position]:
        """Around the reading of one file: its errors are raised with their place, or the rest of the file is left out. The
        members of an archive become the next of `files`.
        """
        from headrace._files.archives import IsArchive, members_of

        at_work = progress.begin(item) if progress is not None else None
        position = Position(at_work.move if at_work is not None else None)
        try:
            try:
                yield position
            except IsArchive:
                if files is None:
                    raise
                members = members_of(item)
                files.put_first(members)
                if progress is not None:
                    progress.add(members)
        except (MemoryError, DltException) as ex:
            if not isinstance(ex, FileChanged):
                raise
            self.file(item, ex, position.place, position.read)
        except Exception as ex:
            self.file(item, ex, position.place, position.read)
        if at_work is not None:
            at_work.move(1.0)

    def row(self, item: Any, error: BaseException | str, place: str, read: int = -1) -> None:
        """A row is bad: left out, or what `file` does."""
        if self.way != "skip_row":
            self.file(item, error, place, read)
            return
        self.n_rows += 1
        self._list(item, "row", place, read, error)

    def file(self, item: Any, error: BaseException | str, place: str = "", read: int = -1) -> None:
        """A file is bad. Raises `ResourceFailed`, or leaves the rest of it out."""
        if self.way == "raise":
            cause = mask_error(error) if isinstance(error, BaseException) else None
            raise self._failed(item, error, place, read) from cause
        self.n_files += 1
        tracker = getattr(item, "tracker", None)
        if tracker is not None and read <= 0:
            tracker.forget(item)  # nothing of it is loaded: the next run tries it again
        self._list(item, "file", place, read, error)

    def _failed(self, item: Any, error: BaseException | str, place: str, read: int) -> Exception:
        from headrace._files.stores import url_of

        where = f", {place}" if place else ""
        before = f" {read} records of the file were read before." if read > 0 else ""
        advice = " Mend or move the file, or set on_error to `skip_file` or `skip_row`."
        is_gone = isinstance(error, BaseException) and is_unreachable(error)
        if isinstance(error, FileChanged):
            advice = ""
        elif is_gone:
            advice = " The store cannot be reached, or did not answer: run again when it does."
        text = (
            f"decode: resource `{self.resource}`, {url_of(item)}{where}: {_words(error).rstrip('.')}.{before}{advice}"
        )
        return (ResourceFailedTransient if is_gone or isinstance(error, FileChanged) else ResourceFailed)(text)

    def _list(self, item: Any, what: str, place: str, read: int, error: BaseException | str) -> None:
        from headrace._files.stores import url_of

        if len(self.listed) < MOST_LISTED:
            found: SkippedFile = {
                "url": url_of(item),
                "what": what,
                "place": place,
                "read": read,
                "error": _words(error)[:_SHOWN],
            }
            self.listed.append(found)
            if len(self.listed) <= _MOST_LOGGED:
                logger.warning(
                    f"headrace: resource `{self.resource}`: {found['url']}, {place or 'whole'}: {what} left out:"
                    f" {found['error']}"
                )

    def keep(self) -> None:
        """Writes what was left out into dlt's state of the resource."""
        if not self.n_rows and not self.n_files:
            return
        try:
            state: Any = dlt.current.resource_state(self.resource)
        except Exception:  # the reader is read outside of a pipeline
            return
        state[STATE_KEY] = {"rows": self.n_rows, "files": self.n_files, "listed": list(self.listed)}
        logger.warning(
            f"headrace: resource `{self.resource}`: {self.n_rows} rows and {self.n_files} files (or their ends) were left"
            " out: headrace.status() lists them"
        )

    def note(self, counts: dict[str, int] | None = None) -> None:
        """Adds what was left out since the last time to `headrace.status()`, and keeps it in dlt's state of the resource."""
        self.keep()
        try:
            load_id = dlt.current.load_package_state()["load_id"]
        except Exception:
            return
        n_skipped, n_listed = self._told
        self._told = (self.n_rows + self.n_files, len(self.listed))
        all_counts = {**(counts or {}), "skipped": self._told[0] - n_skipped}
        _status.note_counts(
            load_id, self.resource, all_counts, [], [_for_status(one) for one in self.listed[n_listed:]]
        )


def _for_status(one: SkippedFile) -> Skipped:
    return {
        "parent": {"file": one["url"], "place": one["place"], "what": one["what"], "read": one["read"]},
        "url": one["url"],
        "error": one["error"],
        "again": "read the file again when it is mended",
    }


def _words(error: BaseException | str) -> str:
    """What an error says, without secrets: a store's has the URL, often."""
    if isinstance(error, str):
        return mask_text(error)
    return mask_text(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__


def current_resource(default: str) -> str:
    """The name of the resource that is being read; `default` outside of an extraction."""
    try:
        return str(dlt.current.pipe().name)
    except Exception:
        return default
