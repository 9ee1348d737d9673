"""XML as lines of JSON, in whatever encoding: files and the answers of APIs."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from headrace import _core
from headrace.exceptions import engine_error

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.:-]*)["']""")
_DECLARED_BYTES = 300
# Encodings by what stands at the start: they count for more than what is declared.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16le",
    b"\0<": "utf-16be",
}
# expat's, by Python's names. UTF-16 is told by its marks.
_OWN = {"utf-8": "utf-8", "ascii": "utf-8", "iso8859-1": "iso-8859-1", "utf-16": None}


@dataclass(frozen=True)
class Options:
    """How elements become records.

    Attributes:
        path: Names from the root to the records; ("", name): that name at any depth; (): the document is the record.
        lists: Names of elements that are lists, also of one.
        attribute_prefix, text_key: What stands before the names of attributes; the name of a text beside other members.
        namespaces: Whether names are local ones, of namespaces; or as they stand, with their prefixes.
        refuse_doctype: Whether a document type declaration is an error, or only entities.
    """

    path: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    attribute_prefix: str = ""
    text_key: str = "text"
    namespaces: bool = True
    refuse_doctype: bool = False


class XmlText:
    """A document as lines of JSON, as its bytes come; their encoding is found at its start."""

    def __init__(self, options: Options, max_record_bytes: int) -> None:
        self._options = options
        self._max_record_bytes = max_record_bytes
        self._reader: _core.XmlReader | None = None
        self._decoder: codecs.IncrementalDecoder | None = None  # for an encoding that expat has not
        self._start = b""  # until it is enough to tell the encoding

    @property
    def n_records(self) -> int:
        """Records so far."""
        return self._reader.n_records if self._reader is not None else 0

    @property
    def root(self) -> str:
        """The name of the first element."""
        return self._reader.root if self._reader is not None else ""

    def feed(self, block: bytes, is_last: bool) -> tuple[bytes, _core.Error | None]:
        """The lines that end in the next bytes, and what is wrong behind them."""
        try:
            if self._reader is None:
                block = self._start = self._start + block
                if len(block) < _DECLARED_BYTES and not is_last:
                    return b"", None
                self._begin(block)
                self._start = b""
            if self._decoder is not None:
                block = self._decoder.decode(block, is_last).encode()
        except UnicodeError as error:
            return b"", engine_error("ENCODING", f"the text is not {self._encoding}: {error}")
        except _core.Error as error:
            return b"", error
        assert self._reader is not None
        return self._reader.feed(block, is_last)

    def _begin(self, start: bytes) -> None:
        own = self._options
        declared = _DECLARED.match(start[:_DECLARED_BYTES])
        self._encoding = declared[1].decode() if declared else ""
        taken = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
        if taken is None and self._encoding:
            try:
                "".encode(self._encoding)  # not every codec is one of texts
                found = codecs.lookup(self._encoding)
                decoder = codecs.getincrementaldecoder(self._encoding)
            except LookupError:
                text = f"the text declares an encoding that is not known: {self._encoding}"
                raise engine_error("ENCODING", text) from None
            taken = _OWN.get(found.name, "utf-8")
            if found.name not in _OWN:
                self._decoder = decoder()
        self._reader = _core.XmlReader(
            own.path,
            own.lists,
            own.attribute_prefix,
            own.text_key,
            own.namespaces,
            own.refuse_doctype,
            taken,
            self._max_record_bytes,
        )
