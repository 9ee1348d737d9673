"""What bodies of all formats have in common."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable

from headrace.exceptions import engine_error, mask_text

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_MOST_JSON = 1 << 20  # bytes of a body that is looked at whether it is JSON
_SHOWN = 200  # characters of it
_TAG_WITHIN = 200  # bytes of a page in which its first tags stand


def is_html(body: bytes, content_type: str = "") -> bool:
    """Whether the body is an HTML page, by how it begins or what its header says of one that begins like it."""
    start = body[:4096].lstrip()
    return start[:1] == b"<" and (b"html" in start[:_TAG_WITHIN].lower() or "html" in content_type)


def json_instead(body: bytes) -> str | None:
    """How a body begins that is one JSON document, without secrets; None: it is none, or a large one."""
    if len(body) > _MOST_JSON or body.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        json.loads(body)
    except ValueError:
        return None
    return mask_text(body.decode("utf-8", "replace"))[:_SHOWN]


def charset_of(headers: Iterable[tuple[str, str]]) -> str | None:
    """The charset that a Content-Type names."""
    said = next((value for name, value in headers if name.lower() == "content-type"), "")
    found = _CHARSET.search(said)
    return found[1] if found else None


def utf8(body: bytes, encoding: str) -> bytes:
    """The text as UTF-8, without its mark: by a byte order mark, or else in this encoding. Raises `Error` ENCODING."""
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    if body.startswith(_WIDE):
        encoding = "utf-16"
    try:
        if codecs.lookup(encoding).name in ("utf-8", "ascii"):
            return body
        return body.decode(encoding).encode()
    except LookupError:
        raise engine_error("ENCODING", f"the text declares an encoding that is not known: {encoding}") from None
    except UnicodeError as error:
        raise engine_error("ENCODING", f"the text is not {encoding}: {error}") from error


def joined(pieces: Iterable[bytes], max_body_bytes: int) -> bytes:
    """The bytes of a body as it is unpacked, as long as they are no more than allowed."""
    parts = []
    room = max_body_bytes
    for part in pieces:
        parts.append(part)
        room -= len(part)
        if room < 0:
            text = f"the answer is larger than max_body_bytes ({max_body_bytes} bytes after decompression)"
            raise engine_error("LIMIT", text)
    return b"".join(parts)
