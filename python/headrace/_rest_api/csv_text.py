"""CSV bodies as JSON lines: the engine's CSV reader, and what is said of it in a configuration."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from headrace import _core
from headrace._rest_api.body_text import is_html, json_instead, utf8
from headrace._rest_api.option_values import known, number, one_of, texts
from headrace.exceptions import ConfigurationError, engine_error

_KEYS = ("delimiter", "quote", "escape", "header", "skip_rows", "encoding", "nulls", "types")
_MOST_LINES = 4 << 30  # bytes of a body's rows as JSON


@dataclass(frozen=True)
class CsvRules:
    """How CSV text is read.

    Attributes:
        delimiter, quote, escape: A character each; quote and escape may be "" for none.
        header: The columns' names; True: in the first row.
        skip_rows: Rows before the header that are left out.
        encoding: Of the text; a byte order mark counts for more. "": what the answer's header says, or else UTF-8.
        nulls: Unquoted texts that are null.
        infer: Whether columns of which each value is a number or a truth value as JSON has them become such: 007, +1 and 1,5
            stay text.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: tuple[str, ...] | bool = True
    skip_rows: int = 0
    encoding: str = ""
    nulls: tuple[str, ...] = ("",)
    infer: bool = True

    @classmethod
    def of(cls, given: Any, where: str) -> CsvRules:
        """What the configuration says."""
        own = known(given, _KEYS, where)
        header = own.get("header", True)
        if header is not True:
            header = texts(header, f"{where}.header", "true (the first row) or a list of names", least=1)
        encoding = own.get("encoding", "")
        try:
            codecs.lookup(encoding or "utf-8")
        except (LookupError, TypeError):
            raise ConfigurationError(
                f"`{where}.encoding` is not known: {encoding!r}. It must be one of Python's, such as utf-8 or cp1252"
            ) from None
        return cls(
            delimiter=_character(own.get("delimiter", ","), f"{where}.delimiter"),
            quote=_character(own.get("quote", '"'), f"{where}.quote", may_be_none=True),
            escape=_character(own.get("escape", ""), f"{where}.escape", may_be_none=True),
            header=header,
            skip_rows=int(number(own.get("skip_rows", 0), f"{where}.skip_rows")),
            encoding=encoding,
            nulls=texts(own.get("nulls", [""]), f"{where}.nulls"),
            infer=one_of(own.get("types", "infer"), ("infer", "text"), f"{where}.types") == "infer",
        )

    def text(self, body: bytes, charset: str | None = None) -> bytes:
        """JSON lines of the rows: objects, a null where a field is null. Raises `Error` SYNTAX, ENCODING or LIMIT.

        Args:
            body: The answer's, unpacked.
            charset: What its header says, if anything.
        """
        body = utf8(body, self.encoding or charset or "utf-8")
        if is_html(body):
            raise engine_error("SYNTAX", "expected CSV, found an HTML page")
        if (found := json_instead(body)) is not None:
            raise engine_error("SYNTAX", f"expected CSV, found JSON: {found}")
        names = self.header if isinstance(self.header, tuple) else None
        return _core.csv_lines(
            body,
            self.delimiter,
            self.quote,
            self.escape,
            self.skip_rows,
            names,
            self.nulls,
            self.infer,
            _MOST_LINES,
        )


def _character(given: Any, where: str, may_be_none: bool = False) -> str:
    if given == "" and may_be_none:
        return ""
    if not isinstance(given, str) or len(given) != 1 or not given.isascii() or given in "\r\n":
        raise ConfigurationError(f"`{where}` must be one ASCII character, not {given!r}")
    return given
