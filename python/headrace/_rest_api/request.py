"""From a `requests.Request` of dlt's client to what the engine sends, and back to a `requests.Response`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy, deepcopy
from datetime import timedelta
from email.message import Message
from functools import lru_cache
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import certifi
import requests
from dlt.common import jsonpath, logger
from dlt.common.time import to_seconds
from dlt.sources.helpers.rest_client.auth import APIKeyAuth, BearerTokenAuth, HttpBasicAuth
from dlt.sources.helpers.rest_client.client import RESTClient
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, guess_json_utf, select_proxy
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError

from headrace import _core
from headrace._rest_api.body_text import joined
from headrace._rest_api.options import UNSAFE, options_of
from headrace.config import HeadraceConfiguration
from headrace.exceptions import ConfigurationError, engine_error

_BREAKER, _BREAKER_MS = 5, 60_000  # requests in a row without an answer before a host is left alone, and how long
_PLAIN = (str, int, float, bool, type(None))  # values of a query that are encoded by themselves
_PORTS = {"http": ":80", "https": ":443"}
_OF_REQUESTS = {
    "content-length",
    "content-type",
    "cookie",
    "transfer-encoding",
    "host",
}  # headers that requests itself makes
CREDENTIALS = ("authorization", "cookie")  # headers
_OWN_HEADERS = ("content-length", "transfer-encoding")  # of the rest, fetch leaves out what libcurl knows better


def selector_steps(path: Any) -> list[_core.Step] | None:
    """A jsonpath as the engine's steps; None when it needs more than names, indices and `[*]`."""
    return _steps_of_text(path) if isinstance(path, str) else _steps_of(path)


@lru_cache(1024)
def _steps_of_text(path: str) -> list[_core.Step] | None:
    """Remembered: a chain of pages asks for its own, and parsing takes milliseconds."""
    return _steps_of(path)


def _steps_of(path: Any) -> list[_core.Step] | None:
    if path == "$":
        return []
    try:
        return _walk(jsonpath.compile_path(path) if isinstance(path, str) else path)
    except Exception:
        return None


def _walk(node: Any) -> list[_core.Step] | None:
    kind = type(node).__name__
    if kind in ("Root", "This"):
        return []
    if kind == "Child":
        left, right = _walk(node.left), _walk(node.right)
        if left is None or right is None or (None in left and None in right):
            return None  # also a second [*]: what it means for an object depends on jsonpath-ng's version
        return left + right
    if kind == "Fields" and len(node.fields) == 1 and node.fields[0] != "*":
        return [node.fields[0]]
    if kind == "Index":
        indices = getattr(node, "indices", None) or (node.index,)
        return [indices[0]] if len(indices) == 1 else None
    if kind == "Wildcard" or (kind == "Slice" and (node.start, node.end, node.step) == (None, None, None)):
        return [None]
    return None


def copy_request(request: requests.Request) -> requests.Request:
    """The request as it is now: paginators change theirs."""
    other = copy(request)
    other.headers = copy(request.headers)
    other.params = deepcopy(request.params)
    other.json = deepcopy(request.json)
    return other


def origin_of(url: str) -> tuple[str, str]:
    """Scheme and host with port, in lower case, the scheme's own port left out."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return parts.scheme.lower(), host.removesuffix(_PORTS.get(parts.scheme.lower(), ":"))


def without_credentials(request: requests.Request) -> requests.Request:
    """Takes authentication and cookies off a request."""
    request.auth = None
    request.headers = {
        name: value for name, value in (request.headers or {}).items() if name.lower() not in CREDENTIALS
    }
    return request


class Unsent(requests.PreparedRequest):
    """A request that a session of the user's will prepare and send: as it will be, but for the authentication."""

    def __init__(self, made: requests.Request) -> None:
        super().__init__()
        self.made = made


class Ready(requests.PreparedRequest):
    """A request like one that was prepared before, but for its URL: what is sent beside that is known."""

    def __init__(self, like: requests.PreparedRequest, route: _core.Route, sent: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self.method, self.headers, self._cookies = like.method, like.headers, like._cookies
        self.route, self.sent = route, sent


def _encoded(params: Any) -> Any:
    """The query as requests encodes it, where that is simple."""
    if type(params) is not dict or not all(type(value) in _PLAIN for value in params.values()):
        return params
    return urlencode([(name, value) for name, value in params.items() if value is not None])


class Sender:
    """Prepares one client's requests for the engine."""

    def __init__(self, client: RESTClient, settings: HeadraceConfiguration, in_python: bool) -> None:
        self.client = client
        self.options = options_of(client)
        self.in_python = in_python  # the session itself sends
        self.session = client.session
        if certificate := getattr(client.auth, "certificate", None):
            self.session.cert = certificate
        self._key_password = getattr(client.auth, "key_password", None) or ""
        if self._key_password and in_python:
            raise ConfigurationError(
                "auth: requests, by which this resource's are made, takes no key with a password: leave the password out of the key's"
                " file, or what needs the session"
            )
        config = client._config
        timeout = getattr(self.session, "timeout", config.request_timeout)
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self._fixed: dict[str, Any] = {
            "connect_timeout_ms": _millis(connect),
            "read_timeout_ms": _millis(read),
            "max_redirects": self.session.max_redirects,
            "max_attempts": config.request_max_attempts,
            "backoff_ms": _millis(config.request_backoff_factor),
            "max_delay_ms": _millis(config.request_max_retry_delay),
            "max_body_bytes": settings.max_body_bytes,
            "breaker": _BREAKER,
            "breaker_ms": _BREAKER_MS,
            **self._limits(settings),
        }
        self._secret: frozenset[str] = frozenset()  # names of headers that the authentication makes
        self._warned: set[str] = set()
        self._routes: dict[tuple[str, str], _core.Route] = {}
        self._last_alike: tuple[Any, ...] | None = None
        self._last: tuple[requests.PreparedRequest, _core.Route, list[tuple[str, bytes]]] | None = None

    def _limits(self, settings: HeadraceConfiguration) -> dict[str, Any]:
        """This process's part of the rate limits."""
        share = max(1, settings.rate_share)
        given = (settings.max_requests_per_second, self.options.route.get("max_per_second", 0))
        rates = [rate for rate in given if rate > 0]
        return {
            "rate_limits": [
                (requests // share, per_ms) if requests >= share else (1, per_ms * share // requests)
                for requests, per_ms in self.options.rules
            ],
            "max_per_second": min(rates) / share if rates else 0,
        }

    def again_ms(self, attempts: int, used_s: float) -> int | None:
        """Milliseconds before a request is made again for what its answer holds; None: no more. `attempts`: so far."""
        said = self._fixed | self.options.route
        delay: int = min(said["backoff_ms"] << min(attempts - 1, 31), said["max_delay_ms"])
        total = said.get("max_total_ms", 0)
        if attempts >= said["max_attempts"] or (total and used_s * 1000 + delay > total):
            return None
        return delay

    def is_made_once(self, method: str) -> bool:
        """Whether a request that may have had an effect is not made again, though others are."""
        said = self._fixed | self.options.route
        return method in UNSAFE and not said.get("retry_unsafe") and said["max_attempts"] > 1

    def prepare(self, request: requests.Request) -> requests.PreparedRequest:
        """The request as dlt's client would send it: URL, headers, body, authentication."""
        if not self.in_python:
            return self._prepare(request)
        bare = copy_request(request)
        bare.auth = None  # an authentication may want to be called on the thread that sends
        unsent = Unsent(copy_request(request))
        vars(unsent).update(vars(self.session.prepare_request(bare)))
        return unsent

    def renewed(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest | None:
        """The request with another token, after it was refused with status 401; None: the authentication has no other."""
        auth: Any = self.client.auth
        refused = getattr(prepared, "_headrace_token", None)
        if refused is None or not hasattr(auth, "renew"):
            return None
        auth.renew(refused)
        again = prepared.copy()
        return self._noted(auth, auth(again))

    @staticmethod
    def _noted(auth: Any, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        """Keeps beside the request what the authentication sent with it, if it did."""
        if hasattr(auth, "renew"):
            vars(prepared)["_headrace_token"] = auth.current()
        return prepared

    def _prepare(self, request: requests.Request) -> requests.PreparedRequest:
        """By the session, or like the last one where they differ in nothing but the URL: that takes a third of the time."""
        alike = self._alike(request)
        if alike is None:
            return self._noted(request.auth, self._by_session(request))
        if alike != self._last_alike or self._last is None:
            prepared = self._by_session(request)
            route, _, _, sent, _ = self.arguments(prepared)
            self._last_alike, self._last = alike, (prepared, route, sent)
            return prepared
        ready = Ready(*self._last)
        ready.prepare_url(request.url or "", _encoded(request.params))
        return ready

    def _by_session(self, request: requests.Request) -> requests.PreparedRequest:
        """By the session; takes note of the headers that the authentication makes: they are not for other origins."""
        prepared = self.session.prepare_request(request)
        if request.auth is not None:
            named = {*(request.headers or {}), *self.session.headers}
            given = _OF_REQUESTS | {_text(name).lower() for name in named}
            secret = self._secret | {name for name in map(str.lower, map(_text, prepared.headers)) if name not in given}
            if secret != self._secret:
                self._secret = secret
                self._routes.clear()
        return prepared

    def _alike(self, request: requests.Request) -> tuple[Any, ...] | None:
        """What makes requests the same but for path and query; None: this one has more to it."""
        session, auth = self.session, request.auth
        if request.data or request.json is not None or request.files or request.cookies or any(request.hooks.values()):
            return None
        if session.params or session.auth is not None or len(session.cookies):
            return None
        if type(auth) is BearerTokenAuth:
            credentials: Any = auth.token
        elif type(auth) is HttpBasicAuth:
            credentials = (auth.username, auth.password)
        elif type(auth) is APIKeyAuth and auth.location == "header":
            credentials = (auth.name, auth.api_key)
        elif auth is None:
            credentials = None
        else:
            return None
        own, common = request.headers or {}, session.headers
        parts = urlsplit(request.url)
        return request.method, parts.scheme, parts.netloc, type(auth), credentials, dict(own), dict(common._store)

    def may_have_credentials(self, of: tuple[str, str], url: str) -> bool:
        """Whether what was for one origin may go to this URL: its host is named, or it is the same, or its https (requests'
        `should_strip_auth`).
        """
        to = origin_of(url)
        return bool(self.options.allowed_hosts) or of == to or (of[0], to) == ("http", ("https", of[1]))

    def keep_cookies(self, page: _core.Page, prepared: requests.PreparedRequest) -> None:
        """Puts the cookies that an answer sets into the session, as requests does. Tells what a redirect did not get."""
        if page.url != prepared.url and self._secret:
            origin, to = origin_of(prepared.url or ""), origin_of(page.url)
            if to[1] not in self._warned and not self.may_have_credentials(origin, page.url):
                self._warned.add(to[1])
                logger.warning(
                    f"headrace: {origin[1]} redirects to {to[1]}, which is asked without credentials. Name its host in"
                    " network.allowed_hosts if it may have them."
                )
        message = Message()
        for name, value in page.headers:
            if name.lower() == "set-cookie":
                message[name] = value
        if message:
            original = SimpleNamespace(_original_response=SimpleNamespace(msg=message))
            extract_cookies_to_jar(self.session.cookies, prepared, original)

    def arguments(self, prepared: requests.PreparedRequest) -> tuple[_core.Route, Any, str, Any, Any]:
        """Arguments of `Engine.submit`, from the route on."""
        if isinstance(prepared, Ready):
            return prepared.route, prepared.method, str(prepared.url), prepared.sent, None
        body = prepared.body
        if isinstance(body, str):
            body = body.encode("utf-8")
        assert prepared.url is not None
        headers = [(_text(k), _sent(v)) for k, v in prepared.headers.items() if _text(k).lower() not in _OWN_HEADERS]
        return self._route(prepared.url), prepared.method, prepared.url, headers, body

    def _route(self, url: str) -> _core.Route:
        """With proxy and certificates from the environment, as requests reads them; remembered a host."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self._routes:
            found = self.session.merge_environment_settings(url, {}, None, None, None)
            verify, cert = found["verify"], found["cert"]
            cert_path, key_path = cert if isinstance(cert, tuple) else (cert or "", "")
            environment = {
                "proxy": select_proxy(url, found["proxies"]) or "",
                "verify_tls": verify is not False,
                "ca_path": verify if isinstance(verify, str) else certifi.where() if verify else "",
                "cert_path": cert_path,
                "key_path": key_path,
                "key_password": self._key_password,
            }
            if not self.options.allowed_hosts:
                environment["secret_headers"] = "\n".join(sorted(self._secret))
            own = {name: value for name, value in self.options.route.items() if name != "max_per_second"}
            self._routes[key] = _core.Route(**(environment | self._fixed | own))
        return self._routes[key]


def _millis(value: float | timedelta) -> int:
    return int(to_seconds(value) * 1000)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _sent(value: str | bytes) -> bytes:
    """A header's value as http.client sends it."""
    return value.encode("latin-1") if isinstance(value, str) else value


def _unpack(body: bytes, headers: Mapping[str, str], max_body_bytes: int) -> bytes:
    """A body that libcurl could not decode, as requests reads it: by urllib3, which leaves unknown encodings as they are."""
    response = HTTPResponse(BytesIO(body), headers, preload_content=False)
    try:
        return joined(response.stream(1 << 16, decode_content=True), max_body_bytes)
    except DecodeError as error:
        encoding = headers.get("Content-Encoding")
        raise engine_error(
            "NETWORK", f"the body is not what its Content-Encoding `{encoding}` says: {error}"
        ) from error


class NativeResponse(requests.Response):
    """A `requests.Response` over a page: its body becomes Python objects only when somebody asks."""

    has_passed_hooks = False
    _shown: tuple[_core.Page, bool] | None = None

    def __init__(self, page: _core.Page, prepared: requests.PreparedRequest, max_body_bytes: int) -> None:
        super().__init__()
        self._page = page
        self._max_body_bytes = max_body_bytes
        self._original: bytes | None = None
        self.status_code = page.status
        self.reason = page.reason
        self.url = page.url
        self.request = prepared
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for name, value in page.headers:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.headers = headers
        self.encoding = get_encoding_from_headers(headers)
        self.elapsed = timedelta(milliseconds=page.elapsed_ms)
        self._light: bytes | None = None

    @property
    def content(self) -> bytes:
        """The decompressed body."""
        if self._content is False:
            self._content = self._answer()
        return self._content or b""

    def _answer(self) -> bytes:
        if not self._page.encoded:
            return self._page.body()
        if self._original is None:
            self._original = _unpack(self._page.body(), self.headers, self._max_body_bytes)
        return self._original

    @property
    def was_replaced(self) -> bool:
        """Whether a hook put other content in place."""
        return self._content is not False and self._content != self._answer()

    def show(self, light: bytes | None) -> None:
        """From now on `json()` is this text's value (an envelope, a shape); None: the whole body's."""
        self._light = light

    def show_page(self, page: _core.Page, is_document: bool) -> None:
        """From now on `json()` is what the page was decoded from, not the body: a document, or JSON lines."""
        self._shown = (page, is_document)

    def _value(self) -> Any:
        if self._light is not None:
            return json.loads(self._light)
        if self._shown is not None:
            page, is_document = self._shown
            return (
                json.loads(page.body())
                if is_document
                else [json.loads(line) for line in page.body().split(b"\n") if line.strip()]
            )
        return self

    def json(self, **kwargs: Any) -> Any:
        """The body's value, or the part of it that was set by `show`."""
        found = self._value()
        return super().json(**kwargs) if found is self else found

    def wide_text(self) -> str | None:
        """The body's text if no charset is declared and it is UTF-16 or UTF-32 by its first bytes."""
        guessed = guess_json_utf(self.content) if self.encoding is None and len(self.content) > 3 else None
        if guessed is None or guessed.startswith("utf-8"):
            return None
        try:
            return self.content.decode(guessed)
        except UnicodeDecodeError:
            return None

    @property
    def is_plain_utf8(self) -> bool:
        """Whether requests would read the body as UTF-8 (or guess so)."""
        encoding = (self.encoding or "utf-8").lower().replace("_", "-")
        return encoding in ("utf-8", "utf8", "ascii", "us-ascii")


class GivenResponse(NativeResponse):
    """The answer that a session of the user's gave: its body went to the engine, and its hooks have run."""

    has_passed_hooks = True

    def __init__(self, given: requests.Response) -> None:
        self._given = given
        self._light = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_given"], name)

    @property
    def content(self) -> bytes:
        """The decompressed body."""
        return self._given.content

    @property
    def was_replaced(self) -> bool:
        """False: the hooks have run before."""
        return False

    @property
    def text(self) -> str:
        """The body as text, as the session's response reads it."""
        return self._given.text

    def json(self, **kwargs: Any) -> Any:
        """The body's value, or the part of it that was set by `show`."""
        found = self._value()
        return self._given.json(**kwargs) if found is self else found
