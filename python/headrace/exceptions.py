"""What headrace raises. Each is one of dlt's terminal or transient exceptions, so that dlt's retry logic knows it."""

import re
from urllib.parse import urlsplit, urlunsplit

from dlt.common.exceptions import DltException, TerminalException, TransientException
from dlt.common.schema.exceptions import CannotCoerceNullException

from headrace import _core

_SECRET = re.compile(
    r"(?i)(^|[&;])([^=&;]*(?:key|token|secret|password|passwd|pwd|sig|signature|auth|code|credential)[^=&;]*)=[^&;]*"
)


def mask_url(url: str) -> str:
    """The URL without user, password and values of parameters that look like secrets."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    query = _SECRET.sub(r"\1\2=***", parts.query)
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


class HeadraceError(DltException):
    """Base of what headrace raises."""


class ResourceFailed(HeadraceError, TerminalException):
    """A page of a resource could not be fetched, decoded or normalised, and trying again will not help."""


class ResourceFailedTransient(HeadraceError, TransientException):
    """A page of a resource could not be fetched now; a later run may succeed."""


_ADVICE = {
    "SYNTAX": "the answer is not the JSON that was expected: look at it with curl; the data may be behind a login, or the"
    " body was cut",
    "ENCODING": "the answer's text is not in the encoding that it declares",
    "LIMIT": "raise the limit named in the message under [headrace] if such answers are expected",
    "TLS": "if the certificate is right, name its CA with REQUESTS_CA_BUNDLE",
    "RANGE": "dlt fails on this value too; give the column a data_type that can hold it, such as text",
    "UNSUPPORTED": "set [headrace] native = false to take dlt's own path for this run",
}


def page_error(error: _core.Error, *, resource: str, schema_name: str, url: str | None, page: int | None) -> Exception:
    """The exception for an engine error, with its place in words."""
    if error.code == "NULL_VALUE" and error.table and error.column:
        null_error = CannotCoerceNullException(schema_name, error.table, error.column)
        null_error.add_note(_where(error, resource, url, page)) if hasattr(null_error, "add_note") else None
        return null_error
    text = f"{_where(error, resource, url, page)}: {error}"
    if error.table:
        text += f" [table `{error.table}`" + (f", column `{error.column}`" if error.column else "") + "]"
    if advice := _ADVICE.get(error.code):
        text += f". {advice[0].upper()}{advice[1:]}."
    cls = ResourceFailedTransient if error.retriable else ResourceFailed
    return cls(text)


def _where(error: _core.Error, resource: str, url: str | None, page: int | None) -> str:
    text = f"resource `{resource}`"
    if url:
        text += f", {mask_url(url)}"
    if page is not None:
        text += f", page {page}"
    if error.record >= 0:
        text += f", record {error.record}"
    if error.offset >= 0:
        text += f", byte {error.offset}"
    return f"{error.stage}: {text}"
