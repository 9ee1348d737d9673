"""What headrace raises. Each is one of dlt's terminal or transient exceptions, so that dlt's retry logic knows it."""

import errno
import re
from urllib.parse import unquote, urlsplit, urlunsplit

from dlt.common.exceptions import DltException, TerminalException, TransientException
from dlt.common.schema.exceptions import CannotCoerceNullException

from headrace import _core

# Names of parameters of a URL, in words: `X-Amz-Signature`, `apiKey`, `access_token`.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(
    r"o?auth|authorization|jwt|sig|pwd|pass|code|.*(?:key(?:id)?|token|secret|passw(?:or)?d|passphrase|signature|credentials?)"
)
_PUBLIC_KEYS = {
    *("primary", "foreign", "sort", "order", "group", "partition", "row", "object", "start", "end", "last", "next"),
    *("from", "to", "by", "search", "filter", "issue", "project", "public", "cache", "idempotency", "translation"),
}
_CODES = {
    *("auth", "authorization", "access", "device", "user", "verification", "confirmation", "activation", "reset"),
    *("security", "login", "invite", "pass"),
}
_PAIR = re.compile(r"(^|[&;])([^=&;]*)=[^&;]*")
_MOST_TEXT = 4096  # characters of others that are shown
_END = r"\s\"'<>)\]"  # of a URL in a text
_IN_TEXT = re.compile(rf"([?&;]|\\u0026)([^=&;?\\{_END}]*)=[^&;\\{_END}]*")
_USER = re.compile(rf"(?i)([a-z][a-z0-9+.-]*://)[^/{_END}]*@")
_MEMBER = re.compile(  # of a JSON object
    r"""(?i)("[^"]*(?:token|secret|passw|pwd|credential|signature|(?:api|access|private)[_-]?key)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*("|$)"""
)


def _is_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `code` and `auth_code` do, `country_code` does not."""
    words = [word.lower() for word in _WORDS.findall(unquote(name))]
    for before, word in zip([None, *words], words, strict=False):
        if not _SECRET_WORD.fullmatch(word):
            continue
        if word == "code" and len(words) > 1 and before not in _CODES:
            continue
        if word != "key" or before not in _PUBLIC_KEYS:
            return True
    return False


def _masked(pair: re.Match[str]) -> str:
    return f"{pair[1]}{pair[2]}=***" if _is_secret(pair[2]) else pair[0]


def mask_url(url: str) -> str:
    """The URL without user, password and values of parameters that look like secrets."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    query = _PAIR.sub(_masked, parts.query)
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def mask_text(text: str) -> str:
    """A text of others (an answer's, an error of requests) without what looks like secrets: in URLs, as a member of JSON."""
    text = text[:_MOST_TEXT]
    return _MEMBER.sub(r'\1"***"', _IN_TEXT.sub(_masked, _USER.sub(r"\1", text)))


def mask_error(error: BaseException) -> BaseException:
    """The error of requests or urllib3, without secrets in its text, which may have a URL; then what it came from is dropped."""
    text = str(error)
    if (masked := mask_text(text)) != text:
        error.args = (masked,)
        error.__cause__ = error.__context__ = None
    return error


class HeadraceError(DltException):
    """Base of what headrace raises."""


class ConfigurationError(HeadraceError, TerminalException, ValueError):
    """One of headrace's own keys in a source's configuration is wrong."""


class ResourceFailed(HeadraceError, TerminalException):
    """A page of a resource could not be fetched, decoded or normalised, and trying again will not help."""


class ResourceFailedTransient(HeadraceError, TransientException):
    """A page of a resource could not be fetched now; a later run may succeed."""


class AuthenticationFailed(HeadraceError, TerminalException):
    """A token was not given.

    Attributes:
        error: The server's code for it (RFC 6749, 5.2), or "".
    """

    def __init__(self, text: str, error: str = "") -> None:
        super().__init__(text)
        self.error = error


class AuthenticationUnreachable(HeadraceError, TransientException):
    """Where tokens are given could not be reached; a later run may succeed."""


_ADVICE = {
    "ENCODING": "the answer's text is not in the encoding that it declares",
    "NETWORK": "the API or the way to it may be down: run again later; [runtime] request_max_attempts and"
    " request_backoff_factor say how often and how fast it is tried again",
    "TIMEOUT": "if the API is that slow, raise [runtime] request_timeout",
    "REDIRECT": "look at the URL with curl -L: base_url or path may be another now, or a login is asked for",
    "ARGUMENT": "check base_url, path, headers and the paginator's next link",
    "MEMORY": "lower memory_limit or max_in_flight under [headrace], or give the process more memory",
    "RANGE": "dlt fails on this value too; give the column a data_type that can hold it, such as text",
    "UNSUPPORTED": "set [headrace] native = false to take dlt's own path for this run",
}


_LIMITS = {  # by a word of the message: limits that can be raised
    "max_body_bytes": "raise max_body_bytes under [headrace] if such answers are expected",
    "nested deeper": "dlt's own path cannot read it either",
}


_OF_TLS = {  # by words of OpenSSL and libcurl
    "certificate required": "the server asks for a client certificate: see network.client_cert",
    "alert bad certificate": "the server does not take the client certificate (network.client_cert)",
    "alert certificate": "the server does not take the client certificate (network.client_cert)",
    "alert unknown ca": "the server does not know who issued the client certificate (network.client_cert)",
    "alert protocol version": "the server speaks no TLS as new as network.min_tls wants",
    "unsupported protocol": "the server speaks no TLS as new as network.min_tls wants, or as this OpenSSL allows",
    "wrong version number": "what answers there speaks no TLS: is the URL's scheme or port another?",
    "client certificate": "network.client_cert must name a PEM file of the certificate, one of its key, and that one's password if it has"
    " one",
    "private key": "network.client_cert must name a PEM file of the certificate, one of its key, and that one's password if it has one",
    "setting certificate": "network.ca_bundle or REQUESTS_CA_BUNDLE must name a PEM file of certificates or a folder of such",
    "subject name": "the certificate is for another name: ask by that name, with network.resolve where it leads elsewhere",
    "expired": "the server's certificate or this machine's clock must be set right",
    "": "if the certificate is right, name its CA with network.ca_bundle or REQUESTS_CA_BUNDLE",
}


_FORMATS = {"json": "JSON", "jsonl": "JSON lines", "csv": "CSV", "xml": "XML"}


def _advice(error: _core.Error, kind: str | None, once: str | None) -> str | None:
    if error.code == "NETWORK" and error.retriable and once:
        return (
            f"a {once} that may have had an effect is not made again: look whether it had, and run again; where it never has one, as a"
            f' search, say so with `"retry": {{"methods": ["{once}"]}}`'
        )
    if error.code == "SYNTAX" and kind is not None:
        return (
            f"the answer is not the {_FORMATS[kind]} that was expected: look at it with curl; the data may be behind a login, or"
            " the body was cut"
        )
    if error.code == "ENCODING" and kind == "csv":
        return "name the text's encoding under response.csv.encoding"
    if error.code == "UNSUPPORTED" and kind == "xml":
        return "the API must send it without: entities could fill the memory"
    if error.code == "LIMIT":
        return next((advice for word, advice in _LIMITS.items() if word in str(error)), None)
    if error.code == "TLS":
        return next(advice for words, advice in _OF_TLS.items() if words in str(error))
    if error.code == "ARGUMENT" and "interface" in str(error):
        return "check network.interface: it must be the name or the address of one of this machine"
    if error.code == "NETWORK" and not error.retriable:
        return "look at the answer with curl -i"
    return _ADVICE.get(error.code)


def engine_error(code: str, message: str) -> _core.Error:
    """An error of fetch that was found on this side."""
    error = _core.Error(message)
    error.code, error.stage, error.retriable = code, "fetch", False
    error.tag = error.record = error.offset = -1
    error.http_status, error.table, error.column = 0, "", ""
    return error


def page_error(
    error: _core.Error,
    *,
    resource: str,
    schema_name: str,
    url: str | None,
    page: int | None,
    attempts: int = 1,
    kind: str | None = None,
    once: str | None = None,
) -> Exception:
    """The exception for an engine error, with its place in words. `kind`: the format that an API's answer should have;
    `once`: the request's method, if what may have had an effect was not to be made again.
    """
    if error.code == "NULL_VALUE" and error.table and error.column:
        null_error = CannotCoerceNullException(schema_name, error.table, error.column)
        where = _where(error, resource, url, page)
        if hasattr(null_error, "add_note"):
            null_error.add_note(where)
        else:  # Python 3.10
            null_error.args = (f"{null_error} {where}",)
        return null_error
    text = f"{_where(error, resource, url, page)}: {error}"
    if error.table:
        text += f" [table `{error.table}`" + (f", column `{error.column}`" if error.column else "") + "]"
    if attempts > 1:
        text += f" ({attempts} attempts)"
    if advice := _advice(error, kind, once):
        text += f". {advice[0].upper()}{advice[1:]}."
    cls = ResourceFailedTransient if error.retriable else ResourceFailed
    return cls(text)


_DISK_ADVICE = {
    errno.ENOSPC: "free space where the pipeline's folder is and run again",
    errno.EDQUOT: "free space where the pipeline's folder is and run again",
    errno.EFBIG: "the process may not write files so large (ulimit -f)",
    errno.ENAMETOOLONG: "the table's name is too long for a file: set max_table_nesting",
}


def write_error(table: str, error: OSError) -> OSError:
    """The error of a table's file, with its place in words."""
    text = f"emit: table `{table}` could not be written: {error.strerror or error}"
    if advice := _DISK_ADVICE.get(error.errno or 0):
        text += f". {advice[0].upper()}{advice[1:]}."
    return OSError(error.errno or 0, text)


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
