"""The dialect of a CSV file by its first rows: `read_csv(dialect="sniff")`."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from typing import Any, NamedTuple

HEAD_BYTES = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_MOST_ROWS = 500
_LONGEST_VALUE = 64  # of a cell that is looked at: no number is longer, and the patterns take its square
_POINT = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)\.\d+")  # 1,234.5
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")  # 1.234,5
_VALUE = re.compile(r"[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?%?|\d+[-/.:]\d+.*|true|false|", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Dialect(NamedTuple):
    """What a file's first rows look like.

    Attributes:
        delimiter, quote, decimal: A character each.
        thousands: The separator of thousands, if one was seen.
        has_header: Whether the first row has the names.
        confidence: Share of the rows that the delimiter splits into the same number of fields.
        header_confidence: 0.95 where values below a name are of another kind, less where all is text.
    """

    delimiter: str
    quote: str
    decimal: str
    thousands: str | None
    has_header: bool
    confidence: float
    header_confidence: float

    def options(self) -> dict[str, Any]:
        """As the engine's reader takes them."""
        return {
            "delimiter": self.delimiter,
            "quote": self.quote,
            "decimal": self.decimal,
            "thousands": self.thousands,
            "header": 0 if self.has_header else -1,
        }


def sniff(head: bytes, is_all: bool) -> Dialect:
    """The dialect of a file that begins so. `is_all`: that is the whole file; else its last line may be cut."""
    text = _text(head)
    if not is_all:
        text = text[: text.rfind("\n") + 1] or text
    tried = [(delimiter, quote, _rows(text, delimiter, quote)) for quote in "\"'" for delimiter in _DELIMITERS]
    scores = [_score(text, *one) for one in tried]
    best = max(range(len(tried)), key=lambda index: scores[index])
    delimiter, quote, rows = tried[best] if scores[best][1] > 1 else (",", '"', tried[0][2])
    decimal, thousands = _decimal(rows[1:], delimiter)
    has_header, sure = _header(rows)
    return Dialect(delimiter, quote, decimal, thousands, has_header, scores[best][0], sure)


def _text(head: bytes) -> str:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return head.decode(encoding, "ignore")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return head.decode("cp1252", "replace")


def _rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote):
            if any(row):
                rows.append(row)
            if len(rows) >= _MOST_ROWS:
                break
    except csv.Error:  # a field longer than Python's module takes
        pass
    return rows


def _score(text: str, delimiter: str, quote: str, rows: list[list[str]]) -> tuple[float, int, int]:
    """Better ones are greater: rows of one length, longer ones, fields in these quotes."""
    if not rows:
        return 0.0, 0, 0
    length, n = Counter(map(len, rows)).most_common(1)[0]
    quoted = text.count(delimiter + quote) + text.count(quote + delimiter)
    share = n / len(rows) if length > 1 else 0.0
    return round(share, 2), length, quoted


def _value(cell: str) -> str:
    return cell.strip()[:_LONGEST_VALUE]


def _decimal(rows: list[list[str]], delimiter: str) -> tuple[str, str | None]:
    cells = [_value(cell) for row in rows for cell in row]
    commas = [cell for cell in cells if _COMMA.fullmatch(cell)]
    points = [cell for cell in cells if _POINT.fullmatch(cell)]
    if len(commas) > len(points) and delimiter != ",":
        return ",", "." if any("." in cell for cell in commas) else None
    return ".", "," if any("," in cell for cell in points) else None


def _header(rows: list[list[str]]) -> tuple[bool, float]:
    if not rows:
        return True, 0.0
    first, rest = rows[0], rows[1:]
    if any(name and _VALUE.fullmatch(_value(name)) for name in first):
        return False, 0.95
    for place, name in enumerate(first):
        values = [row[place] for row in rest if place < len(row) and row[place]]
        if name and values and all(_VALUE.fullmatch(_value(value)) for value in values):
            return True, 0.95
    names = [name for name in first if name]
    return len(set(names)) == len(names), 0.6
