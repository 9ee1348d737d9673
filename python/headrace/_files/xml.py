"""XML: `read_xml`. Records of a file become lines of JSON, and go the way of `read_jsonl`: the engine makes their tables.

    bytes -> expat -> a record's elements -> a line of JSON -> Lines (serve.py)

An element is what JSON has for it: its attributes and children are members, children of one name a list, text alone is a
text. A document type is passed over; entities that it declares, and everything outside of the file, are refused.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from xml.parsers import expat

from dlt.common import logger
from dlt.common.configuration import configspec
from dlt.common.json import json
from dlt.common.storages.fsspec_filesystem import FileItemDict

from headrace._files.jsonl import _read_jsonl
from headrace._files.opened import open_file
from headrace._files.stores import url_of
from headrace._files.tables import Configured
from headrace.config import settings
from headrace.exceptions import ConfigurationError


@configspec
class ConfiguredXml(Configured):
    """What may stand in dlt's configuration."""

    record: str | None = None


_READ_BYTES = 1 << 16
_MAX_DEPTH = 256
_SEPARATOR = "\n"  # between a namespace and a name: neither has it


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
    if not isinstance(record, str) or not record.strip("/"):
        raise ConfigurationError(f"`record` of `read_xml`: expected an element's name or path, found `{record}`")
    options = Options(record, frozenset(lists), attribute_prefix, text_key)
    return _read_jsonl([_XmlItem(item, options) for item in items], chunksize=chunksize, on_error=on_error)


class Options:
    """How elements become records."""

    def __init__(self, record: str, lists: frozenset[str], attribute_prefix: str, text_key: str) -> None:
        steps = _steps(record)
        self.path = steps if len(steps) > 1 or record.startswith("/") else None
        self.name = steps[-1]
        self.lists = lists
        self.attribute_prefix = attribute_prefix
        self.text_key = text_key


def _steps(path: str) -> list[str]:
    """The names of a path; a namespace in braces may have slashes."""
    steps, inside, start = [], False, 0
    for at, char in enumerate(path + "/"):
        inside = char == "{" or (inside and char != "}")
        if char == "/" and not inside:
            steps.append(path[start:at])
            start = at + 1
    return [step for step in steps if step]


def _is_named(element: str, wanted: str) -> bool:
    """Whether expat's name of an element is the one that is wanted."""
    if wanted == "*":
        return True
    uri, _, name = element.rpartition(_SEPARATOR)
    return f"{{{uri}}}{name}" == wanted if wanted.startswith("{") else name == wanted


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
        self._lines: deque[bytes] = deque()
        self._parser = _Records(options, self._lines)
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
        """Whole lines or parts of them; 0 at the end. What is no XML ends the lines before it, and raises `ValueError` when
        more is asked for (or `check_unchanged` is called): what a buffer has read so far is not lost.
        """
        while not self._rest:
            if self._lines:
                self._rest = memoryview(b"".join(self._lines))
                self._lines.clear()
            elif self._failure is not None:
                if self._is_ended:
                    raise self._failure
                self._is_ended = True
                return 0
            elif self._is_done:
                return 0
            else:
                self._parse()
        n = min(len(into), len(self._rest))
        into[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def _parse(self) -> None:
        try:
            block = self._file.read(_READ_BYTES)
            self._parser.feed(block)
        except ValueError as error:
            self._failure = error
        else:
            self._is_done = not block
            if self._is_done and self._parser.n_records == 0:
                logger.warning(f"headrace: read_xml: {self._url} has no {self._parser.wanted}")

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


class _Element:
    """An element of a record that is open."""

    __slots__ = ("members", "name", "texts")

    def __init__(self, name: str, members: dict[str, Any]) -> None:
        self.name = name
        self.members = members
        self.texts: list[str] = []


class _Records:
    """What expat tells, as lines of JSON."""

    def __init__(self, options: Options, lines: deque[bytes]) -> None:
        self._options = options
        self._lines = lines
        self._open: list[str] = []  # elements around a record
        self._record: list[_Element] = []  # and within it
        self._n_chars = 0
        self._root = ""
        self.n_records = 0
        self._n_bytes = 0
        self._max_chars = settings().max_body_bytes
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._refuse_entity
        parser.ExternalEntityRefHandler = self._refuse_external
        parser.SkippedEntityHandler = self._refuse_skipped
        self._parser = parser

    @property
    def wanted(self) -> str:
        """What was looked for, for messages."""
        return f"element `{'/'.join(self._options.path or [self._options.name])}`; its root is `{self._root}`"

    def feed(self, block: bytes) -> None:
        """Takes the next bytes; b"": that was all. Raises `ValueError` for what is no XML; says where."""
        try:
            self._parser.Parse(block, not block)
        except expat.ExpatError as error:
            what = expat.errors.messages.get(error.code, str(error))
            if not block and self._n_bytes == 0:
                what = "the file is empty"
            byte = self._parser.ErrorByteIndex
            raise ValueError(
                f"no well-formed XML: {what} at line {error.lineno}, column {error.offset + 1}, byte {byte}; {self.n_records}"
                " records stand before it"
            ) from error
        self._n_bytes += len(block)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) + len(self._record) >= _MAX_DEPTH:
            raise self._error(f"elements are nested deeper than {_MAX_DEPTH}")
        if not self._record:
            self._root = self._root or name.rpartition(_SEPARATOR)[2]
            self._open.append(name)
            if not self._is_record():
                return
        members: dict[str, Any] = {}
        for key, value in attributes.items():
            self._count(len(key) + len(value))
            _add(members, self._options.attribute_prefix + key.rpartition(_SEPARATOR)[2], value, False)
        self._record.append(_Element(name.rpartition(_SEPARATOR)[2], members))
        self._count(len(name))

    def _is_record(self) -> bool:
        options = self._options
        if options.path is None:
            return _is_named(self._open[-1], options.name)
        return len(self._open) == len(options.path) and all(map(_is_named, self._open, options.path))

    def _text(self, text: str) -> None:
        if self._record:
            self._count(len(text))
            self._record[-1].texts.append(text)

    def _end(self, name: str) -> None:
        if not self._record:
            self._open.pop()
            return
        element = self._record.pop()
        value = self._value(element)
        if self._record:
            _add(self._record[-1].members, element.name, value, element.name in self._options.lists)
            return
        self._open.pop()
        if not isinstance(value, dict):
            value = {self._options.text_key: value}
        self._lines.append(json.dumpb(value) + b"\n")
        self.n_records += 1
        self._n_chars = 0

    def _value(self, element: _Element) -> Any:
        """Text alone is a text; an element without anything is null."""
        text = "".join(element.texts).strip()
        if not element.members:
            return text or None
        if text:
            _add(element.members, self._options.text_key, text, False)
        return element.members

    def _count(self, n_chars: int) -> None:
        self._n_chars += n_chars + 8
        if self._n_chars > self._max_chars:
            raise self._error(f"a record is larger than max_body_bytes, {self._max_chars} bytes")

    def _error(self, what: str) -> ValueError:
        line, byte = self._parser.CurrentLineNumber, self._parser.CurrentByteIndex
        return ValueError(f"{what}, at line {line}, byte {byte}; {self.n_records} records stand before it")

    def _refuse_entity(self, name: str, *rest: Any) -> None:
        raise self._error(f"the document declares the entity `{name}`: entities are refused")

    def _refuse_external(self, context: Any, *rest: Any) -> int:
        raise self._error("the document refers to something outside of it: that is refused")

    def _refuse_skipped(self, name: str, is_parameter: bool) -> None:
        raise self._error(f"the document uses the entity `{name}`, which it does not declare")


def _add(members: dict[str, Any], key: str, value: Any, is_list: bool) -> None:
    """A member more; those of one name become a list."""
    if key not in members:
        members[key] = [value] if is_list else value
    elif isinstance(members[key], list):
        members[key].append(value)
    else:
        members[key] = [members[key], value]
