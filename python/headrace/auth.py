"""Authentications beside those of dlt, for dlt's `rest_api` and headrace's: as instances anywhere, by `type` in a configuration of
`headrace.sources.rest_api` (docs/authentication.md).

Each is a configuration of dlt's: fields that are not given come from secrets.toml, the environment or another of dlt's
providers. `renew` of those that hold a token is called when an answer has status 401.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar, Optional
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import requests
from dlt.common import jsonpath
from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.specs.base_configuration import NotResolved
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.requests.retry import Client
from dlt.sources.helpers.rest_client.auth import APIKeyAuth, AuthConfigBase

from headrace._rest_api.token_store import TokenStore
from headrace.exceptions import AuthenticationFailed, AuthenticationUnreachable, mask_url

_LOCK = threading.RLock()  # tokens are fetched one at a time; requests that need one wait for it
_CLIENT_AUTHS = ("post", "basic", "none", "private_key_jwt")
_GRANTS = {
    "client_credentials": "client_credentials",
    "refresh_token": "refresh_token",
    "password": "password",
    "jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "device_code": "urn:ietf:params:oauth:grant-type:device_code",
}
_JWT_LIFE_S = 300
_MOST_S = 1e9  # that an answer may say
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class _TokenHolder(AuthConfigBase):
    """An authentication that fetches what it sends.

    `_obtain` gives what is sent and how many seconds it lives (None: until somebody refuses it).
    """

    renew_before: int = 30

    def _begin(self) -> None:
        self._value: Any = None
        self._ends_at: float | None = None

    def _obtain(self) -> tuple[Any, float | None]:
        raise NotImplementedError

    def current(self) -> Any:
        """What is to be sent now: fetched when there is none or when it is about to end."""
        with _LOCK:
            if self._value is None or (self._ends_at is not None and time.time() >= self._ends_at):
                self._fetch()
            return self._value

    def renew(self, refused: Any) -> None:
        """Fetches another, unless that was done since `refused` was sent."""
        with _LOCK:
            if self._value == refused:
                self._fetch()

    def _fetch(self) -> None:
        value, life = self._obtain()
        self._value = value
        self._ends_at = None if life is None else time.time() + life - min(float(self.renew_before), life / 10)


def _seconds(value: Any, default: float) -> float:
    """Of an answer; the default where it says none."""
    try:
        found = float(default if value is None or value == "" else value)
    except (TypeError, ValueError):
        return default
    return min(found, _MOST_S) if found >= 0 else default


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _post(url: str, what: str, **options: Any) -> Any:
    """A request for a token: the answer's JSON. Its error names neither what was sent nor other parts of the answer."""
    try:
        response = Client(raise_for_status=False).session.request("POST", url, **options)
    except requests.RequestException as error:  # its text has the whole URL
        kind = type(error).__name__
        text = (
            f"auth: {what}: {mask_url(url)} could not be asked ({kind}). Is it right, and can it be reached from here?"
        )
        raise AuthenticationUnreachable(text) from None
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = {}
    if response.status_code >= 400:
        told = [str(body[key]) for key in ("error", "error_description") if isinstance(body, dict) and body.get(key)]
        text = f"auth: {what} at {mask_url(url)}: status {response.status_code}" + (
            f": {': '.join(told)}" if told else ""
        )
        raise AuthenticationFailed(text, error=str(body.get("error")) if isinstance(body, dict) else "")
    return body, response


@configspec
class OAuth2(_TokenHolder):
    """OAuth 2.0 (RFC 6749, 7523, 8628): a bearer token from `token_url`.

    Attributes:
        grant: client_credentials, refresh_token, password, jwt_bearer or device_code.
        client_auth: How the client says who it is: post (in the body), basic, private_key_jwt, none.
        private_key: PEM, or a shared secret for HS256: signs the assertion of jwt_bearer and private_key_jwt.
        request_data: More fields of the request, for what a server wants beside the standard.
        token_store: File or folder for refresh tokens that the server replaces; default: `headrace_tokens` in dlt's data folder.
        default_lifetime: Seconds, where the answer has no `expires_in`.
        renew_before: Seconds before its end that a token is renewed; at most a tenth of its life.
    """

    token_url: str = None  # type: ignore[assignment]
    grant: str = "client_credentials"
    client_id: Optional[str] = None  # noqa: UP045 - dlt reads the hints of a configuration
    client_secret: Optional[TSecretStrValue] = None  # noqa: UP045
    client_auth: str = "post"
    scope: Optional[str] = None  # noqa: UP045
    audience: Optional[str] = None  # noqa: UP045
    refresh_token: Optional[TSecretStrValue] = None  # noqa: UP045
    username: Optional[str] = None  # noqa: UP045
    password: Optional[TSecretStrValue] = None  # noqa: UP045
    private_key: Optional[TSecretStrValue] = None  # noqa: UP045
    key_id: Optional[str] = None  # noqa: UP045
    algorithm: str = "RS256"
    issuer: Optional[str] = None  # noqa: UP045
    subject: Optional[str] = None  # noqa: UP045
    jwt_audience: Optional[str] = None  # noqa: UP045
    device_url: Optional[str] = None  # noqa: UP045
    request_data: Optional[dict[str, Any]] = None  # noqa: UP045
    token_store: Optional[str] = None  # noqa: UP045
    default_lifetime: int = 3600
    renew_before: int = 30

    def __post_init__(self) -> None:
        self._begin()

    def on_resolved(self) -> None:
        """Refuses what cannot work before the first request."""
        if self.grant not in _GRANTS:
            raise ValueError(f"auth: grant `{self.grant}` is none of {', '.join(_GRANTS)}")
        if self.client_auth not in _CLIENT_AUTHS:
            raise ValueError(f"auth: client_auth `{self.client_auth}` is none of {', '.join(_CLIENT_AUTHS)}")
        needs = {
            "refresh_token": ("refresh_token",),
            "password": ("username", "password"),
            "jwt_bearer": ("private_key",),
            "device_code": ("device_url", "client_id"),
        }
        missing = [name for name in needs.get(self.grant, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"auth: grant `{self.grant}` needs {', '.join(missing)}")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        request.headers["Authorization"] = f"Bearer {self.current()}"
        return request

    def log_in(self, again: bool = False) -> str:
        """Has somebody enter a code, unless there is a refresh token that works, and keeps what the server gives for later runs.
        Returns what was done, without secrets.

        Args:
            again: Ask somebody in any case.
        """
        self._refreshed(again)
        store = self._store()
        if store.read() is None:
            raise AuthenticationFailed(
                f"auth: {mask_url(self.token_url)} gave access, but no refresh token for later runs: the scope"
                " `offline_access` asks for one at many servers"
            )
        return f"Access to {mask_url(self.token_url)} was given; the refresh token is in {store.path}"

    def _store(self) -> TokenStore:
        return TokenStore(self.token_store, self.token_url, self.client_id, self.refresh_token)

    def _obtain(self) -> tuple[str, float]:
        is_refreshed = self.grant in ("refresh_token", "device_code")
        answer = self._refreshed() if is_refreshed else self._ask(self._fields())
        if not answer.get("access_token"):
            raise AuthenticationFailed(f"auth: the answer of {mask_url(self.token_url)} has no access_token")
        return str(answer["access_token"]), _seconds(answer.get("expires_in") or None, self.default_lifetime)

    def _refreshed(self, again: bool = False) -> Any:
        """An answer with a token. The refresh token in it takes the place of the one before."""
        store = self._store()
        with store.locked():  # another process may be replacing it
            answer = self._by_device() if again else self._with_refresh(store)
            if answer.get("refresh_token"):
                store.write(str(answer["refresh_token"]))
        return answer

    def _with_refresh(self, store: TokenStore) -> Any:
        refresh = store.read() or self.refresh_token
        if refresh is not None:
            try:
                return self._ask({"grant_type": "refresh_token", "refresh_token": refresh})
            except AuthenticationFailed as error:
                if self.grant != "device_code" or error.error != "invalid_grant":
                    raise
        return self._by_device()

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"grant_type": _GRANTS[self.grant]}
        if self.grant == "password":
            fields.update(username=self.username, password=self.password)
        if self.grant == "jwt_bearer":
            fields["assertion"] = self._signed(
                self.issuer or self.client_id, self.subject or self.issuer or self.client_id
            )
        return fields

    def _ask(self, fields: dict[str, Any], url: str | None = None) -> Any:
        data = {**fields, "scope": self.scope, "audience": self.audience, **(self.request_data or {})}
        options: dict[str, Any] = {}
        if self.client_auth == "basic":  # RFC 6749, 2.3.1: both are form-encoded first
            pair = (quote(self.client_id or "", safe=""), quote(self.client_secret or "", safe=""))
            options["auth"] = requests.auth.HTTPBasicAuth(*pair)
        elif self.client_auth == "private_key_jwt":
            data["client_assertion_type"] = _ASSERTION
            data["client_assertion"] = self._signed(self.client_id, self.client_id)
        else:
            data["client_id"] = self.client_id
            if self.client_auth == "post":
                data["client_secret"] = self.client_secret
        data = {name: value for name, value in data.items() if value is not None}
        body = _post(url or self.token_url, f"grant {self.grant}", data=data, **options)[0]
        return body if isinstance(body, dict) else {}

    def _signed(self, issuer: str | None, subject: str | None) -> str:
        try:
            import jwt  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise AuthenticationFailed("auth: signing needs PyJWT: pip install 'headrace[auth]'") from error
        now = int(time.time())
        claims: dict[str, Any] = {"iss": issuer, "sub": subject, "aud": self.jwt_audience or self.token_url}
        claims.update(
            iat=now, exp=now + _JWT_LIFE_S, jti=hashlib.sha256(f"{now}{time.monotonic_ns()}".encode()).hexdigest()
        )
        if self.grant == "jwt_bearer" and self.scope:
            claims["scope"] = self.scope
        headers = {"kid": self.key_id} if self.key_id else None
        key = self.private_key or ""
        if "-----BEGIN" in key and "\n" not in key:  # from an environment variable, where line breaks are written as \n
            key = key.replace("\\n", "\n")
        try:
            return str(jwt.encode(claims, key, algorithm=self.algorithm, headers=headers))
        except (NotImplementedError, jwt.exceptions.PyJWTError, ValueError, TypeError) as error:
            raise AuthenticationFailed(
                f"auth: nothing can be signed with private_key and algorithm {self.algorithm}: {type(error).__name__}. It must be a"
                " PEM key without password of that algorithm; RS256 and ES256 need pip install 'headrace[auth]'"
            ) from None  # the error below may quote the key

    def _by_device(self) -> Any:
        """Shows an address and a code, and waits until somebody has entered it there."""
        assert self.device_url is not None
        started = self._ask({}, self.device_url)
        link = started.get("verification_uri_complete") or started.get("verification_uri")
        given = {"verification_uri": link, **{name: started.get(name) for name in ("user_code", "device_code")}}
        if missing := [name for name, value in given.items() if not value]:
            raise AuthenticationFailed(
                f"auth: the answer of {mask_url(self.device_url)} has no {', '.join(missing)}: is device_url where device codes"
                " are given?"
            )
        print(f"To give this pipeline access, open {link} and enter the code {started['user_code']}", file=sys.stderr)
        interval = _seconds(started.get("interval"), 5)
        ends_at = time.time() + _seconds(started.get("expires_in"), 600)
        while time.time() < ends_at:
            time.sleep(interval)
            try:
                return self._ask({"grant_type": _GRANTS["device_code"], "device_code": started["device_code"]})
            except AuthenticationFailed as error:
                if error.error == "slow_down":
                    interval += 5  # RFC 8628, 3.5
                elif error.error != "authorization_pending":
                    raise
            except AuthenticationUnreachable:
                interval *= 2  # RFC 8628, 3.5
        raise AuthenticationFailed(f"auth: nobody entered the code at {link} in time")


@configspec
class SessionLogin(_TokenHolder):
    """A login request whose answer has a token, or sets cookies.

    Attributes:
        username_field, password_field: Their names in the request.
        more: Further members of the request.
        as_json: False: the request is a form.
        token_path: jsonpath of the token in the answer; None: the answer's cookies are sent.
        header, prefix: Where the token is sent.
        lifetime: Seconds; None: until an answer has status 401.
    """

    login_url: str = None  # type: ignore[assignment]
    username: str = None  # type: ignore[assignment]
    password: TSecretStrValue = None  # type: ignore[assignment]
    username_field: str = "username"
    password_field: str = "password"
    more: Optional[dict[str, Any]] = None  # noqa: UP045
    as_json: bool = True
    token_path: Optional[str] = None  # noqa: UP045
    header: str = "Authorization"
    prefix: str = "Bearer "
    lifetime: Optional[int] = None  # noqa: UP045
    renew_before: int = 30

    def __post_init__(self) -> None:
        self._begin()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        value = self.current()
        if self.token_path is not None:
            request.headers[self.header] = f"{self.prefix}{value}"
        else:
            request.headers["Cookie"] = value
        return request

    def _obtain(self) -> tuple[str, float | None]:
        body = {self.username_field: self.username, self.password_field: self.password, **(self.more or {})}
        sent = {"json": body} if self.as_json else {"data": body}
        answer, response = _post(self.login_url, "login", **sent)
        life = None if self.lifetime is None else float(self.lifetime)
        if self.token_path is not None:
            found = jsonpath.find_values(self.token_path, answer)
            if not found or not found[0]:
                raise AuthenticationFailed(
                    f"auth: login at {mask_url(self.login_url)}: no token at `{self.token_path}` of its answer"
                )
            return str(found[0]), life
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in response.cookies)
        if not cookies:
            raise AuthenticationFailed(f"auth: login at {mask_url(self.login_url)}: its answer sets no cookie")
        return cookies, life


_HASHES = {"MD5": hashlib.md5, "SHA": hashlib.sha1, "SHA-256": hashlib.sha256, "SHA-512": hashlib.sha512}


class _DigestAnswer(requests.auth.HTTPDigestAuth):
    """That of requests, and what it leaves out of RFC 7616: protection of the body (`auth-int`), blanks in the list of `qop`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self.init_per_thread_state()
        body = request.body or b""
        self._thread_local.body = body.encode() if isinstance(body, str) else body
        return super().__call__(request)

    def build_digest_header(self, method: str, url: str) -> str | None:
        state = self._thread_local
        offers = [one.strip().lower() for one in state.chal.get("qop", "").split(",")]
        if "auth" in offers:
            state.chal = {**state.chal, "qop": "auth"}
        if "auth" in offers or "auth-int" not in offers:
            return super().build_digest_header(method, url)
        return self._with_body(method, url)

    def _with_body(self, method: str, url: str) -> str | None:
        state = self._thread_local
        name = state.chal.get("algorithm", "MD5")
        digest = _HASHES.get(name.upper().removesuffix("-SESS"))
        if digest is None:
            return None

        def hashed(*parts: str) -> str:
            return digest(":".join(parts).encode()).hexdigest()

        realm, nonce = state.chal["realm"], state.chal["nonce"]
        state.nonce_count = state.nonce_count + 1 if nonce == state.last_nonce else 1
        state.last_nonce = nonce
        count, own = f"{state.nonce_count:08x}", secrets.token_hex(8)
        parts = urlsplit(url)
        uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        first = hashed(str(self.username), realm, str(self.password))
        if name.upper().endswith("-SESS"):
            first = hashed(first, nonce, own)
        second = hashed(method, uri, digest(state.body).hexdigest())
        told = {"username": self.username, "realm": realm, "nonce": nonce, "uri": uri, "cnonce": own}
        told["response"] = hashed(first, nonce, count, own, "auth-int", second)
        if "opaque" in state.chal:
            told["opaque"] = state.chal["opaque"]
        quoted = ", ".join(f'{key}="{value}"' for key, value in told.items())
        return f"Digest {quoted}, algorithm={name}, qop=auth-int, nc={count}"


@configspec
class Digest(AuthConfigBase):
    """HTTP digest authentication (RFC 7616). It answers to the server's challenge: `requests` sends."""

    answers_to_responses: ClassVar[bool] = True
    username: str = None  # type: ignore[assignment]
    password: TSecretStrValue = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._digest: Any = None

    def __deepcopy__(self, memo: Any) -> Digest:
        other = copy.copy(self)
        other._digest = None  # it is of its threads
        return other

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        self._digest = self._digest or _DigestAnswer(self.username, self.password)
        return self._digest(request)  # type: ignore[no-any-return]


@configspec
class AwsSigV4(AuthConfigBase):
    """AWS Signature Version 4 over host, date, path, query and body."""

    access_key: str = None  # type: ignore[assignment]
    secret_key: TSecretStrValue = None  # type: ignore[assignment]
    session_token: Optional[TSecretStrValue] = None  # noqa: UP045
    region: str = "us-east-1"
    service: str = "execute-api"

    @staticmethod
    def now() -> datetime:
        """The time that is signed."""
        return datetime.now(timezone.utc)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        stamp = self.now().strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(request.url or "")
        body: Any = request.body or b""
        payload = hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()
        signed = {"host": parts.netloc.rpartition("@")[2], "x-amz-date": stamp}
        if self.session_token:
            signed["x-amz-security-token"] = self.session_token
        if self.service == "s3":
            signed["x-amz-content-sha256"] = payload
        path = parts.path or "/"
        query = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(parts.query, True))
        canonical = [
            request.method or "GET",
            quote(unquote(path) if self.service == "s3" else path, safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            ";".join(sorted(signed)),
            payload,
        ]
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        key = b"AWS4" + self.secret_key.encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        request.headers.update({name: value for name, value in signed.items() if name != "host"})
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={';'.join(sorted(signed))},"
            f" Signature={signature}"
        )
        return request


@configspec
class ApiKey(APIKeyAuth):
    """dlt's API key, also as a cookie."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        if self.location != "cookie":
            return super().__call__(request)
        others = request.headers.get("Cookie")
        cookie = f"{self.name}={self.api_key}"
        request.headers["Cookie"] = cookie if others is None else f"{_text(others)}; {cookie}"
        return request


@configspec
class ClientCertificate(AuthConfigBase):
    """A certificate by which the client shows who it is (mutual TLS).

    Attributes:
        cert_file: PEM file of the certificate, and of the key if there is no `key_file`.
        key_file: PEM file of the key.
        key_password: Of the file that has the key.
    """

    cert_file: str = None  # type: ignore[assignment]
    key_file: Optional[str] = None  # noqa: UP045
    key_password: Optional[TSecretStrValue] = None  # noqa: UP045

    @property
    def certificate(self) -> Any:
        """As `requests.Session.cert` takes it."""
        return (self.cert_file, self.key_file) if self.key_file else self.cert_file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        return request


@configspec
class Several(AuthConfigBase):
    """Several authentications together, such as two keys, or a certificate and a token."""

    auths: Annotated[list[Any], NotResolved()] = None  # type: ignore[assignment]

    def on_resolved(self) -> None:
        """Resolves the parts as dlt resolves one."""
        made = [
            create(auth) if isinstance(auth, Mapping) and not isinstance(auth, AuthConfigBase) else auth
            for auth in self.auths
        ]
        self.auths = [
            auth if auth.__is_resolved__ else resolve_configuration(auth, accept_partial=False) for auth in made
        ]

    @property
    def answers_to_responses(self) -> bool:
        """Whether one of them does."""
        return any(getattr(auth, "answers_to_responses", False) for auth in self.auths)

    @property
    def certificate(self) -> Any:
        """The certificate among them."""
        return next((auth.certificate for auth in self.auths if getattr(auth, "certificate", None)), None)

    @property
    def key_password(self) -> Any:
        """That of the certificate's key."""
        return next((auth.key_password for auth in self.auths if getattr(auth, "key_password", None)), None)

    def current(self) -> Any:
        """What those with a token send now."""
        return [auth.current() for auth in self.auths if isinstance(auth, _TokenHolder)]

    def renew(self, refused: Any) -> None:
        """Renews those tokens that are still the ones refused."""
        holders = [auth for auth in self.auths if isinstance(auth, _TokenHolder)]
        for auth, value in zip(holders, refused, strict=True):
            auth.renew(value)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds what it has to the request."""
        for auth in self.auths:
            request = auth(request)
        return request


TYPES: dict[str, type[AuthConfigBase]] = {
    "oauth2": OAuth2,
    "session_login": SessionLogin,
    "http_digest": Digest,
    "aws_sigv4": AwsSigV4,
    "client_certificate": ClientCertificate,
    "several": Several,
}


def is_ours(auth: Any) -> bool:
    """Whether an `auth` of a configuration is of a type that dlt does not have."""
    if not isinstance(auth, Mapping) or isinstance(auth, AuthConfigBase):
        return False
    return auth.get("type") in TYPES or (auth.get("type") == "api_key" and auth.get("location") == "cookie")


def create(auth: Mapping[str, Any]) -> Any:
    """The authentication of a configuration of ours or of dlt's; dlt resolves it.

    Raises:
        ValueError: a key that the type does not have.
    """
    from dlt.sources.rest_api.config_setup import get_auth_class

    name = str(auth.get("type", "bearer"))
    cls: Any = ApiKey if name == "api_key" else TYPES.get(name) or get_auth_class(name)
    unknown = [key for key in auth if key != "type" and key not in cls.get_resolvable_fields() and key != "auths"]
    if unknown:
        raise ValueError(f"auth of type `{name}` has no {', '.join(f'`{key}`' for key in unknown)}")
    made = cls()
    for key, value in auth.items():
        if key != "type":
            made[key] = value
    return made  # not resolved: fields that are not given come from dlt's providers
