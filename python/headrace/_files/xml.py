"""XML: `read_xml`. Records of a file become lines of JSON, and go the way of `read_jsonl`: the engine makes their tables.

bytes -> XmlText (C, src/decode/xml.h) -> lines of JSON -> Lines (serve.py)
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from dlt.common import logger
from dlt.common.configuration import configspec
from dlt.common.storages.fsspec_filesystem import FileItemDict

from headrace._files.arguments import check_arguments
from headrace._files.jsonl import _read_jsonl
from headrace._files.opened import open_file
from headrace._files.stores import url_of
from headrace._files.tables import Configured
from headrace._files.xml_text import Options, XmlText
from headrace.config import setting


@configspec
class ConfiguredXml(Configured):
    """What may stand in dlt's configuration."""

    record: str | None = None


_READ_BYTES = 1 << 18


def _read_xml(
    items: Iterable[Any],
    /,
    record: str | None = None,
    *,
    lists: Sequence[str] = (),
    attribute_prefix: str = "",
    text_key: str = "text",
    chunksize: int = 1000,
    on_error: str = "raise",
) -> Any:
    """Reads records of XML files, streamed.

    Args:
        items: A page of files.
        record: Which elements are records: a name (`"book"`, at any depth), or the path from the root (`"catalog/books/book"`, `*`
            for any name). A name with its namespace is `{uri}book`; without, it is one of any namespace.
        lists: Names of elements that are lists, and so child tables, also where there is only one.
        attribute_prefix: Before names of attributes. An attribute and a child with one name are a list of both.
        text_key: The name of an element's text, if it has attributes or children too.
        chunksize: Records that go at once to steps in Python behind the reader.
        on_error: `raise` or `skip_file`: what happens with a file that is no well-formed XML. Records before the error stay.
    """
    given = {"record": record, "lists": lists, "attribute_prefix": attribute_prefix, "text_key": text_key}
    check_arguments("read_xml", {**given, "chunksize": chunksize})
    options = Options(_path(str(record)), tuple(lists), attribute_prefix, text_key)
    return _read_jsonl([_XmlItem(item, options) for item in items], chunksize=chunksize, on_error=on_error)


def _path(record: str) -> tuple[str, ...]:
    """The names of a path, as `Options` has them; a namespace in braces may have slashes."""
    steps, inside, start = [], False, 0
    for at, char in enumerate(record + "/"):
        inside = char == "{" or (inside and char != "}")
        if char == "/" and not inside:
            steps.append(record[start:at])
            start = at + 1
    path = tuple(step for step in steps if step)
    return ("", *path) if len(path) == 1 and not record.startswith("/") else path


class _XmlItem(FileItemDict):
    """A file of XML as one of JSON lines."""

    def __init__(self, item: Any, options: Options) -> None:
        super().__init__(dict(item), getattr(item, "fsspec", None))  # type: ignore[arg-type]
        self._item = item
        self._options = options

    @property
    def inner(self) -> Any:
        """The file of XML."""
        return self._item

    def of_member(self, member: Any) -> _XmlItem:
        """A member of it, if it is an archive, as such a file."""
        return _XmlItem(member, self._options)

    def stored(self) -> JsonOfXml:
        """The bytes of the lines."""
        return JsonOfXml(self._item, self._options)


class JsonOfXml(io.RawIOBase):
    """The records of a file of XML as lines of JSON."""

    def __init__(self, item: Any, options: Options) -> None:
        self._file = open_file(item)
        self.size: int | None = self._file.stored_size
        self._text = XmlText(options, setting("max_body_bytes"))
        self._wanted = "/".join(options.path).lstrip("/")
        self._rest = memoryview(b"")
        self._url = url_of(item)
        self._is_done = False
        self._is_ended = False  # whether the lines before a failure were
        self._failure: Exception | None = None

    @property
    def position(self) -> int:
        """Stored bytes of the XML file read so far."""
        return self._file.stored_position

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, into: Any) -> int:
        """Whole lines or parts of them; 0 at the end. What is no XML ends the lines before it, and raises `Error` when more is
        asked for (or `check_unchanged` is called): what a buffer has read so far is not lost.
        """
        while not self._rest:
            if self._failure is not None:
                if self._is_ended:
                    raise self._failure
                self._is_ended = True
                return 0
            if self._is_done:
                return 0
            block = self._file.read(_READ_BYTES)
            self._is_done = not block
            lines, self._failure = self._text.feed(block, self._is_done)
            self._rest = memoryview(lines)
            if self._is_done and self._failure is None and self._text.n_records == 0:
                logger.warning(
                    f"headrace: read_xml: {self._url} has no element `{self._wanted}`; its root is `{self._text.root}`"
                )
        n = min(len(into), len(self._rest))
        into[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def check_unchanged(self) -> None:
        """As the file's. Raises what made the lines end early, too."""
        if self._failure is not None:
            raise self._failure
        self._file.check_unchanged()

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            self._file.close()
        super().close()
