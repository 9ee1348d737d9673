"""`response` of an endpoint: bodies that are no JSON document, or that are packed. Each becomes JSON text of its records by code
that holds no record as a Python object; the engine decodes that.

docs/more-than-get.md describes the keys.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from headrace import _core
from headrace._files.compression import MAGIC_BYTES, compression_of, unpacked
from headrace._rest_api.body_text import charset_of, joined
from headrace._rest_api.csv_text import CsvRules
from headrace._rest_api.option_values import known, one_of
from headrace._rest_api.xml_text import XmlRules
from headrace.exceptions import ConfigurationError, engine_error

_KEYS = ("format", "compression", "csv", "xml")
_FORMATS = ("json", "jsonl", "csv", "xml")
_COMPRESSIONS = ("auto", "none", "gzip", "bzip2", "xz", "zstd", "lz4")
_ALIASES = {"ndjson": "jsonl"}
_PIECE = 1 << 20


@dataclass(frozen=True)
class ResponseFormat:
    """How an answer's body is read.

    Attributes:
        kind: json, jsonl, csv or xml.
        compression: Of the body itself, beside Content-Encoding: "auto" (by its first bytes), "none", or which it must be.
        csv, xml: How a body of that format is read.
    """

    kind: str = "json"
    compression: str = "auto"
    csv: CsvRules = field(default_factory=CsvRules)
    xml: XmlRules = field(default_factory=XmlRules)

    @property
    def of_stream(self) -> str:
        """What the engine's workers decode by themselves: `format` of `Engine.stream`."""
        is_plain = self.compression in ("auto", "none")
        return {"json": "json", "jsonl": "lines"}.get(self.kind, "other") if is_plain else "other"

    @property
    def is_json(self) -> bool:
        """Whether a body is one JSON document."""
        return self.kind == "json"

    @property
    def is_lines(self) -> bool:
        """Whether what it becomes is JSON lines, or else a document."""
        return self.kind in ("jsonl", "csv")

    @property
    def selector(self) -> str | None:
        """Where the records are if the endpoint does not say it; None: to be detected."""
        return self.xml.selector if self.kind == "xml" else "$" if self.is_lines else None

    def needs(self, page: _core.Page) -> bool:
        """Whether `decode` has to read this page: the engine has not, or could not because it is packed."""
        if page.status >= 400 or page.encoded or (page.error is not None and page.error.stage == "fetch"):
            return False
        if self.of_stream == "other":
            return page.error is None
        return (
            page.error is not None
            and self.compression == "auto"
            and compression_of(page.body()[:MAGIC_BYTES]) is not None
        )

    def decode(self, page: _core.Page, body: bytes, max_body_bytes: int) -> None:
        """Decodes a body into its page. Raises `Error`, with record and byte where they are known."""
        body = self._unpacked(body, max_body_bytes)
        if self.kind in ("csv", "xml"):
            body = self.csv.text(body, charset_of(page.headers)) if self.kind == "csv" else self.xml.text(body)
        try:
            page.decode(body, self.is_lines)
        except _core.Error as error:
            raise self.placed(error, body) from None

    def placed(self, error: _core.Error, body: bytes) -> _core.Error:
        """The error with the record that its byte is in: lines before it that hold something."""
        if self.is_lines and error.record < 0 <= error.offset:
            error.record = sum(1 for line in body[: error.offset].split(b"\n")[:-1] if line.strip())
        return error

    def _unpacked(self, body: bytes, max_body_bytes: int) -> bytes:
        if self.compression == "none":
            return body
        found = compression_of(body[:MAGIC_BYTES])
        if self.compression != "auto" and found != self.compression:
            raise engine_error("SYNTAX", f"expected {self.compression}, found {found or 'other'} bytes: {body[:16]!r}")
        if found is None:
            return body
        reader, _ = unpacked(io.BytesIO(body))
        try:
            return joined(iter(lambda: reader.read(_PIECE), b""), max_body_bytes)
        except (OSError, EOFError) as error:
            raise engine_error("NETWORK", f"the {found} body cannot be unpacked: {error}") from error
        finally:
            reader.close()


def response_format(base: ResponseFormat | None, given: Any, where: str) -> ResponseFormat:
    """What `response` says, over what stands in the defaults."""
    if isinstance(given, str):
        given = {"format": given}
    own = dict(known(given, _KEYS, where))
    of_base = base or ResponseFormat()
    kind = own.get("format", of_base.kind)
    kind = one_of(_ALIASES.get(kind, kind) if isinstance(kind, str) else kind, _FORMATS, f"{where}.format")
    compression = one_of(own.get("compression", of_base.compression), _COMPRESSIONS, f"{where}.compression")
    for key in ("csv", "xml"):
        if key in own and kind != key:
            raise ConfigurationError(f"`{where}.{key}` is for `format: {key}`, not {kind}")
    csv = CsvRules.of(own["csv"], f"{where}.csv") if "csv" in own else of_base.csv
    xml = XmlRules.of(own["xml"], f"{where}.xml") if "xml" in own else of_base.xml
    return ResponseFormat(kind, compression, csv, xml)
