"""What a file is, by its content: magic bytes, then what its text looks like. Its name is not asked."""

from __future__ import annotations

import zipfile
from typing import IO, NamedTuple

from dlt.common.json import json

HEAD_BYTES = 64 << 10
_DELIMITERS = ",;\t|"
_MOST_LINES = 50
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Found(NamedTuple):
    """What a file is.

    Attributes:
        format: "parquet", "orc", "avro", "wav", "excel", "xml", "jsonl", "json", "csv", "text"; None: none that is known.
        why: What tells so.
        delimiter: Of CSV.
    """

    format: str | None
    why: str
    delimiter: str = ""


def sniff(head: bytes, file: IO[bytes] | None = None) -> Found:
    """Tells a file's format.

    Args:
        head: Its first bytes, at most HEAD_BYTES, not compressed.
        file: The file, to look into a zip.
    """
    if not head:
        return Found(None, "it is empty")
    by_magic = _by_magic(head, file)
    if by_magic is not None:
        return by_magic
    text = _text(head)
    if text is None:
        return Found(None, f"it begins with {head[:8]!r}, and is no text")
    return _by_text(text, is_whole=len(head) < HEAD_BYTES)


def _by_magic(head: bytes, file: IO[bytes] | None) -> Found | None:
    for magic, name in ((b"PAR1", "parquet"), (b"PARE", "parquet"), (b"ORC", "orc"), (b"Obj\x01", "avro")):
        if head.startswith(magic):
            return Found(name, f"it begins with {magic!r}")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        is_wave = head[8:12] == b"WAVE"
        return Found("wav" if is_wave else None, f"it begins with {head[:4]!r} and {head[8:12]!r}")
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return Found("excel", "it is an OLE file, as xls is")
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(file)
    return None


def _of_zip(file: IO[bytes] | None) -> Found:
    if file is None:
        return Found(None, "it is a zip")
    try:
        with zipfile.ZipFile(file) as parts:
            names = parts.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        return Found(None, f"it is a zip that is cut or corrupt: {error}")
    finally:
        file.seek(0)
    if any(name.startswith("xl/workbook.") for name in names):
        return Found("excel", "it is a zip with a workbook in xl/")
    if "content.xml" in names and "mimetype" in names:
        return Found("excel", "it is an OpenDocument zip")
    return Found(None, f"it is a zip of {len(names)} files that is no workbook: {', '.join(names[:5])}")


def _text(head: bytes) -> str | None:
    """The head as text; None: it is none."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    if head.translate(None, _CONTROL) != head:
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end >= len(head) - 1 and error.reason == "unexpected end of data":
            return head[: error.start].decode("utf-8")
        return head.decode("cp1252", "replace")


def _by_text(text: str, is_whole: bool) -> Found:
    start = text.lstrip()
    if not start:
        return Found("text", "it is blank")
    if start[0] == "<":
        if (start[:9].lower() == "<!doctype" and start[9:].lstrip()[:4].lower() == "html") or start[
            :5
        ].lower() == "<html":
            return Found(None, "it is HTML: it may be a page that says an error, or a login")
        if start[:2] == "<?" or start[1:2].isalpha() or start[:2] in ("<!", "<_"):
            return Found("xml", f"it begins with {start[:8]!r}")
    lines = text.splitlines()
    if start[0] in "{[" and (found := _of_json(start, lines, is_whole)) is not None:
        return found
    if not is_whole:
        lines = lines[:-1] or lines  # the last is cut
    return _of_lines([line for line in lines if line.strip()][:_MOST_LINES])


def _of_json(start: str, lines: list[str], is_whole: bool) -> Found | None:
    filled = [line for line in lines if line.strip()]
    firsts = filled[:2] if is_whole or len(filled) > 2 else filled[:1]
    if start[0] == "{" and firsts and all(map(_is_json, firsts)):
        return Found("jsonl", "its first lines are JSON")
    if start[0] == "[" and (not is_whole or _is_json(start)):
        return Found("json", "it begins as an array of JSON")
    if start[0] == "{" and (_is_json(start) or (not is_whole and start[1:].lstrip()[:1] in '"}')):
        return Found("json", "it is an object of JSON")
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _of_lines(lines: list[str]) -> Found:
    best: tuple[int, str] = (0, "")
    for delimiter in _DELIMITERS:
        counts = {_outside_quotes(line).count(delimiter) for line in lines}
        if len(counts) == 1 and (count := counts.pop()) > best[0] and (len(lines) > 1 or count > 1):
            best = (count, delimiter)
    if best[0]:
        return Found("csv", f"each of its first {len(lines)} lines has {best[0]} of {best[1]!r}", best[1])
    return Found("text", "it is text without a form that is known")


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])
