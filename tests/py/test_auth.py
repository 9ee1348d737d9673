"""Authentications against servers that hold them to their rules: what is sent, when it is renewed, what is never shown."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import ssl
import stat
import subprocess
import threading
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.request import parse_http_list, parse_keqv_list

import dlt
import headrace.auth
import headrace.sources.rest_api as rest_api
import jwt
import pytest
import requests
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace import auth as auths
from oracle import make_pipeline, read_tables
from servers import Answer, Request

PAGES = 6
SECRETS = ("s3cr%t/é", "pa55", "refresh-0", "refresh-1", "token-1", "token-2")


class Server:
    """An authorization server and an API in one: tokens are valid until `end`, and refresh tokens once."""

    def __init__(self) -> None:
        self.n_tokens = 0
        self.valid: set[str] = set()
        self.refresh = "refresh-0"
        self.forms: list[dict[str, str]] = []
        self.basic: list[str] = []
        self.life: Any = 3600
        self.pending = 0
        self.refused = 0
        self.denies = False
        self.refreshes = True
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        with self.lock:
            if request.path == "/token":
                return self.token(request)
            if request.path == "/device":
                started = {
                    "device_code": "dc",
                    "user_code": "ABCD",
                    "verification_uri": "http://x/enter",
                    "interval": 0,
                }
                return Answer(started)
            if request.headers.get("Authorization", "") not in {f"Bearer {token}" for token in self.valid}:
                self.refused += 1
                return Answer({"error": "invalid_token"}, status=401)
            page = int(request.query.get("page", 0))
            return Answer({"total": PAGES, "items": [{"id": page * 2 + n} for n in range(2)]})

    def token(self, request: Request) -> Answer:
        form = {key: value[0] for key, value in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        self.basic.append(request.headers.get("Authorization", ""))
        grant = form["grant_type"]
        if grant.endswith("device_code") and self.pending:
            self.pending -= 1
            return Answer({"error": "authorization_pending"}, status=400)
        if self.denies:
            return Answer({"error": "access_denied", "error_description": "no"}, status=400)
        if grant == "refresh_token":
            if form["refresh_token"] != self.refresh:
                return Answer({"error": "invalid_grant", "error_description": "used before"}, status=400)
            self.refresh = f"refresh-{int(self.refresh[-1]) + 1}"
        self.n_tokens += 1
        self.valid = {f"token-{self.n_tokens}"}
        answer = {"access_token": f"token-{self.n_tokens}", "token_type": "Bearer", "expires_in": self.life}
        if self.refreshes and (grant == "refresh_token" or grant.endswith("device_code")):
            answer["refresh_token"] = self.refresh
        return Answer(answer)


def config(url: str, auth: Any) -> Any:
    """Pages that need an authentication."""
    paginator = {"type": "page_number", "total_path": "total"}
    endpoint = {"path": "items", "data_selector": "items", "paginator": paginator}
    return {"client": {"base_url": url, "auth": auth}, "resources": [{"name": "items", "endpoint": endpoint}]}


def load(folder: Path, made: Any) -> list[int]:
    pipeline = make_pipeline(folder, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    return sorted(row["id"] for row in read_tables(pipeline)["items"])


ALL = list(range(PAGES * 2))
CLIENT = {"client_id": "me", "client_secret": "s3cr%t/é"}
GRANTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "post": (CLIENT, {"grant_type": "client_credentials", **CLIENT}),
    "basic": ({**CLIENT, "client_auth": "basic", "scope": "a b"}, {"grant_type": "client_credentials", "scope": "a b"}),
    "password": (
        {**CLIENT, "grant": "password", "username": "u", "password": "pa55", "request_data": {"realm": "r"}},
        {"grant_type": "password", **CLIENT, "username": "u", "password": "pa55", "realm": "r"},
    ),
}


@pytest.mark.parametrize("name", list(GRANTS))
def test_grants(api: Any, tmp_path: Path, native_only: Any, name: str) -> None:
    server = Server()
    url = api(server).url
    given, form = GRANTS[name]
    assert load(tmp_path, config(url, {"type": "oauth2", "token_url": f"{url}/token", **given})) == ALL
    assert server.forms == [form]  # one for all pages
    if name == "basic":
        user, _, secret = base64.b64decode(server.basic[0][6:]).decode().partition(":")
        assert (user, secret) == ("me", "s3cr%25t%2F%C3%A9")


def test_a_signed_assertion(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    key = "k" * 40
    given = {
        "type": "oauth2",
        "grant": "jwt_bearer",
        "private_key": key,
        "algorithm": "HS256",
        "issuer": "me",
        "scope": "s",
    }
    assert load(tmp_path, config(url, {**given, "token_url": f"{url}/token", "client_auth": "none"})) == ALL
    (form,) = server.forms
    claims = jwt.decode(form["assertion"], key, algorithms=["HS256"], audience=f"{url}/token")
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("me", "me", "s")
    assert "client_id" not in form


def test_a_client_that_signs(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    key = "k" * 40
    given = {
        "type": "oauth2",
        "client_auth": "private_key_jwt",
        "private_key": key,
        "algorithm": "HS256",
        "key_id": "k1",
    }
    assert load(tmp_path, config(url, {**given, "token_url": f"{url}/token", "client_id": "me"})) == ALL
    (form,) = server.forms
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert jwt.decode(form["client_assertion"], key, algorithms=["HS256"], audience=f"{url}/token")["sub"] == "me"
    assert jwt.get_unverified_header(form["client_assertion"])["kid"] == "k1"
    assert "client_secret" not in form


def rsa_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("grant", ["jwt_bearer", "client_credentials"])
@pytest.mark.parametrize(("algorithm", "make"), [("RS256", rsa_key), ("ES256", ec_key)])
@pytest.mark.parametrize("is_one_line", [False, True])
def test_a_key_pair_signs(
    api: Any, tmp_path: Path, native_only: Any, grant: str, algorithm: str, make: Any, is_one_line: bool
) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    server = Server()
    url = api(server).url
    key = make()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    given = {"type": "oauth2", "grant": grant, "client_id": "me", "token_url": f"{url}/token", "algorithm": algorithm}
    given |= {"private_key": text.replace("\n", "\\n") if is_one_line else text}  # as environment variables have it
    given |= {"client_auth": "none" if grant == "jwt_bearer" else "private_key_jwt"}
    assert load(tmp_path, config(url, given)) == ALL
    (form,) = server.forms
    assertion = form["assertion" if grant == "jwt_bearer" else "client_assertion"]
    claims = jwt.decode(assertion, key.public_key(), algorithms=[algorithm], audience=f"{url}/token")
    assert (claims["iss"], claims["sub"]) == ("me", "me")
    assert 0 < claims["exp"] - claims["iat"] <= 300


@pytest.mark.parametrize("key", ["-----BEGIN PRIVATE KEY-----\ns3cr%t/é\n-----END PRIVATE KEY-----", "s3cr%t/é", ""])
def test_a_key_that_cannot_sign_is_not_shown(tmp_path: Path, key: str) -> None:
    given = {"type": "oauth2", "grant": "jwt_bearer", "client_id": "me", "token_url": "http://127.0.0.1:1/t"}
    with pytest.raises(
        PipelineStepFailed, match="nothing can be signed with private_key and algorithm RS256"
    ) as caught:
        load(tmp_path, config("http://127.0.0.1:1", {**given, "private_key": key}))
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cr" not in shown


def test_fields_come_from_secrets(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    server = Server()
    url = api(server).url
    monkeypatch.setenv("SOURCES__REST_API__API__CREDENTIALS__CLIENT_SECRET", "s3cr%t/é")
    monkeypatch.setenv("SOURCES__REST_API__API__CREDENTIALS__CLIENT_ID", "me")
    assert load(tmp_path, config(url, {"type": "oauth2", "token_url": f"{url}/token"})) == ALL
    assert server.forms[0]["client_id"] == "me"


def test_a_token_that_is_refused_is_renewed_once_for_all(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    # both are in flight with the token that ends now; it ends once: the second to leave would refuse the new token as well
    both = threading.Barrier(2, action=lambda: setattr(server, "valid", set()))
    late: list[str] = []

    def handler(request: Request) -> Answer:
        page = request.query.get("page")
        if page in ("3", "4") and request.headers["Authorization"] == "Bearer token-1":
            late.append(page)
            if len(late) <= 2:
                both.wait(20)
        return server(request)

    made = config(api(handler).url, {"type": "oauth2", "token_url": f"{url}/token", **CLIENT})
    assert load(tmp_path, made) == ALL
    assert server.n_tokens == 2
    assert server.refused >= 2


def test_tokens_end_and_limits_are_told_over_http2_too(
    api: Any, faults: Any, http2: Any, tmp_path: Path, native_only: Any, monkeypatch: Any
) -> None:
    """A token that ends on the way, a 429, a 503, a reset and a broken body: each page once and in order."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", faults.cert)
    server = Server()
    url = api(server).url
    once = {
        "1": Answer({}, status=429, headers={"Retry-After": "0"}),
        "2": Answer({}, status=503),
        "3": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        "4": Answer(raw=b""),
    }

    def handler(request: Request) -> Answer:
        page = str(request.query.get("page"))
        with server.lock:
            failing = once.pop(page, None)
            if failing is None and page == "5" and server.n_tokens == 1:
                server.valid = set()
        return failing or server(request)

    front = http2(behind=api(handler).url.removeprefix("http://"))
    made = config(front.url, {"type": "oauth2", "token_url": f"{url}/token", **CLIENT})
    assert load(tmp_path, made) == ALL
    assert not once and server.n_tokens == 2 and server.refused >= 1
    assert front.protocols == {"h2"}


def test_a_token_is_renewed_before_it_ends(api: Any, monkeypatch: Any) -> None:
    server = Server()
    url = api(server).url
    now = [1000.0]
    monkeypatch.setattr(headrace.auth.time, "time", lambda: now[0])
    auth = auths.OAuth2(token_url=f"{url}/token", renew_before=30, **CLIENT)
    server.life = 1000
    assert auth.current() == "token-1"
    now[0] += 969
    assert auth.current() == "token-1"
    now[0] += 2
    assert auth.current() == "token-2"
    server.life = 10  # a tenth of its life before, not 30 seconds
    now[0] += 10_000
    assert auth.current() == "token-3"
    now[0] += 8.9
    assert auth.current() == "token-3"
    now[0] += 0.2
    assert auth.current() == "token-4"


def test_a_token_that_stays_refused_is_dlts_error(api: Any, tmp_path: Path) -> None:
    server = Server()
    url = api(server).url
    made = config(
        api(lambda request: Answer({}, status=401)).url, {"type": "oauth2", "token_url": f"{url}/token", **CLIENT}
    )
    with pytest.raises(PipelineStepFailed, match="401 Client Error"):
        load(tmp_path, made)
    assert server.n_tokens == 2


def test_refresh_tokens_are_kept(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    store = tmp_path / "tokens"
    given = {"type": "oauth2", "grant": "refresh_token", "refresh_token": "refresh-0", "token_store": str(store)}
    made = {**given, "token_url": f"{url}/token", **CLIENT}
    for run in range(3):
        assert load(tmp_path / str(run), config(url, dict(made))) == ALL
    assert [form["refresh_token"] for form in server.forms] == ["refresh-0", "refresh-1", "refresh-2"]
    (file,) = store.glob("*.json")
    assert json.loads(file.read_text()) == {"refresh_token": "refresh-3"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # another token in the configuration begins anew
    server.refresh = "refresh-7"
    assert load(tmp_path / "new", config(url, {**made, "refresh_token": "refresh-7"})) == ALL


def test_a_refresh_token_that_is_refused_is_told(api: Any, tmp_path: Path) -> None:
    server = Server()
    url = api(server).url
    given = {
        "type": "oauth2",
        "grant": "refresh_token",
        "refresh_token": "refresh-9",
        "token_store": str(tmp_path / "t"),
    }
    with pytest.raises(PipelineStepFailed, match="status 400: invalid_grant: used before") as caught:
        load(tmp_path, config(url, {**given, "token_url": f"{url}/token?key=abc", **CLIENT}))
    text = str(caught.value)
    assert "refresh-9" not in text and "s3cr" not in text and "abc" not in text


@pytest.mark.parametrize("answer", [{"user_code": "ABCD"}, ["no"]], ids=["member", "list"])
def test_an_answer_without_a_device_code_is_told(api: Any, tmp_path: Path, answer: Any) -> None:
    url = api(lambda request: Answer(answer)).url
    given = {"type": "oauth2", "grant": "device_code", "client_id": "me", "token_store": str(tmp_path / "t")}
    urls = {"token_url": f"{url}/token", "device_url": f"{url}/device?key=5ecret"}
    with pytest.raises(PipelineStepFailed) as caught:
        load(tmp_path, config(url, {**given, **urls}))
    text = str(caught.value)
    assert f"auth: the answer of {url}/device?key=*** has no verification_uri, " in text
    assert "is device_url where device codes are given?" in text


def test_a_token_store_that_cannot_be_written_is_told(api: Any, tmp_path: Path) -> None:
    url = api(Server()).url
    (tmp_path / "file").write_text("")
    store = str(tmp_path / "file" / "t.json")  # below a file: not even for root
    given = {"type": "oauth2", "grant": "refresh_token", "refresh_token": "refresh-0", "token_store": store}
    with pytest.raises(PipelineStepFailed) as caught:
        load(tmp_path, config(url, {**given, "token_url": f"{url}/token", **CLIENT}))
    assert f"auth: the refresh token cannot be kept in {store}: " in str(caught.value)
    assert "Set token_store to a file or folder that can be written" in str(caught.value)


@pytest.mark.parametrize("said", ["soon", -1, "1e999"])
def test_times_that_are_none_are_as_if_not_said(api: Any, tmp_path: Path, said: Any) -> None:
    server = Server()
    server.life = said
    url = api(server).url
    assert load(tmp_path, config(url, {"type": "oauth2", "token_url": f"{url}/token", **CLIENT})) == ALL
    assert server.n_tokens == 1


def test_device_code(api: Any, tmp_path: Path, capsys: Any, native_only: Any) -> None:
    server = Server()
    server.pending = 2
    url = api(server).url
    given = {"type": "oauth2", "grant": "device_code", "client_id": "me", "client_auth": "none"}
    made = {
        **given,
        "token_url": f"{url}/token",
        "device_url": f"{url}/device",
        "token_store": str(tmp_path / "t.json"),
    }
    assert load(tmp_path / "1", config(url, dict(made))) == ALL
    assert "open http://x/enter and enter the code ABCD" in capsys.readouterr().err
    assert load(tmp_path / "2", config(url, dict(made))) == ALL  # nobody is asked again
    assert "ABCD" not in capsys.readouterr().err
    assert server.forms[-1]["grant_type"] == "refresh_token"


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    made = auths.OAuth2(token_url="http://x", grant="password", username="u", password="pa55", **CLIENT)
    made._value = "token-1"
    login = auths.SessionLogin(login_url="http://x", username="u", password="pa55")
    shown = auths.ClientCertificate(cert_file="c", key_file="k", key_password="pa55")
    both = auths.Several(auths=[made, login, shown])
    others = (auths.AwsSigV4(access_key="a", secret_key="pa55"), auths.Digest("u", "pa55"))
    for one in (made, login, shown, both, *others):
        for text in (repr(one), str(one), repr(copy.deepcopy(one))):
            assert not any(secret in text for secret in SECRETS), text


def test_a_login_gives_a_token(api: Any, tmp_path: Path, native_only: Any) -> None:
    logins: list[Any] = []

    def handler(request: Request) -> Answer:
        if request.path == "/login":
            logins.append(json.loads(request.body))
            return Answer({"data": {"session": f"s{len(logins)}"}})
        if request.headers.get("X-Session") != "Token s2":  # the first one has ended meanwhile
            return Answer({}, status=401)
        return Answer({"total": PAGES, "items": [{"id": int(request.query["page"]) * 2 + n} for n in range(2)]})

    url = api(handler).url
    made = {
        "type": "session_login",
        "login_url": f"{url}/login",
        "username": "u",
        "password": "pa55",
        "more": {"db": "d"},
    }
    made |= {"token_path": "data.session", "header": "X-Session", "prefix": "Token ", "password_field": "pass"}
    assert load(tmp_path, config(url, made)) == ALL
    assert logins == [{"username": "u", "pass": "pa55", "db": "d"}] * 2


def test_a_login_sets_cookies(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/login":
            assert request.body == b"username=u&password=pa55"
            return Answer({}, headers={"Set-Cookie": "sid=42; Path=/; HttpOnly"})
        if "sid=42" not in request.headers.get("Cookie", ""):
            return Answer({}, status=401)
        return Answer({"total": PAGES, "items": [{"id": int(request.query["page"]) * 2 + n} for n in range(2)]})

    url = api(handler).url
    made = {"type": "session_login", "login_url": f"{url}/login", "username": "u", "password": "pa55", "as_json": False}
    assert load(tmp_path, config(url, made)) == ALL


def test_two_keys_and_a_cookie(api: Any, tmp_path: Path, native_only: Any, monkeypatch: Any) -> None:
    seen: set[Any] = set()

    def handler(request: Request) -> Answer:
        seen.add((request.headers.get("X-App"), request.query.get("key"), request.headers.get("Cookie")))
        return Answer({"total": PAGES, "items": [{"id": int(request.query["page"]) * 2 + n} for n in range(2)]})

    keys = [
        {"type": "api_key", "name": "X-App", "api_key": "one"},
        {"type": "api_key", "name": "key", "api_key": "two", "location": "query"},
        {"type": "api_key", "name": "c", "api_key": "three", "location": "cookie"},
    ]
    assert load(tmp_path / "1", config(api(handler).url, {"type": "several", "auths": keys})) == ALL
    assert seen == {("one", "two", "c=three")}
    seen.clear()
    assert load(tmp_path / "2", config(api(handler).url, keys[2])) == ALL
    assert seen == {(None, None, "c=three")}


def asks_for_a_certificate(api: Any, faults: Any, monkeypatch: Any, key: str | None = None) -> str:
    """The URL of a server that wants the certificate that it has itself, and perhaps a key in a header."""

    def handler(request: Request) -> Answer:
        assert key is None or request.headers["X-Key"] == key
        return Answer({"total": PAGES, "items": [{"id": int(request.query["page"]) * 2 + n} for n in range(2)]})

    server = api(handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=faults.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(faults.cert, faults.key)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(faults.cert))
    return str(server.url.replace("http://127.0.0.1", "https://localhost"))


@pytest.mark.parametrize("together", [False, True])
def test_a_client_certificate(
    api: Any, faults: Any, tmp_path: Path, native_only: Any, monkeypatch: Any, together: bool
) -> None:
    url = asks_for_a_certificate(api, faults, monkeypatch, "k" if together else None)
    shown = {"type": "client_certificate", "cert_file": str(faults.cert), "key_file": str(faults.key)}
    key = {"type": "api_key", "name": "X-Key", "api_key": "k"}
    made = {"type": "several", "auths": [shown, key]} if together else shown
    assert load(tmp_path, config(url, made)) == ALL


def locked_key(faults: Any, folder: Path, password: str) -> str:
    """The server's key in a file with a password."""
    path = str(folder / "locked.pem")
    command = ["openssl", "rsa", "-aes256", "-passout", f"pass:{password}", "-in", str(faults.key), "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.parametrize("way", ["auth", "several", "network"])
def test_a_key_with_a_password(
    api: Any, faults: Any, tmp_path: Path, native_only: Any, monkeypatch: Any, way: str
) -> None:
    """A wrong one or none is told; nobody is asked at the terminal."""
    url = asks_for_a_certificate(api, faults, monkeypatch)
    key = locked_key(faults, tmp_path, "sesame")

    def made(password: str | None) -> Any:
        if way == "network":
            found = config(url, None)
            found["client"] = {
                "base_url": url,
                "network": {"client_cert": [faults.cert, key, *filter(None, [password])]},
            }
            return found
        auth = {"type": "client_certificate", "cert_file": faults.cert, "key_file": key, "key_password": password}
        return config(url, auth if way == "auth" else {"type": "several", "auths": [auth]})

    assert load(tmp_path / "right", made("sesame")) == ALL
    for password in ("mistaken", None):
        with pytest.raises(PipelineStepFailed, match=r"client_cert must name .* and that one's password") as caught:
            load(tmp_path / str(password), made(password))
        assert "mistaken" not in "".join(traceback.format_exception(caught.value))


def test_a_key_with_a_password_is_not_for_requests(tmp_path: Path) -> None:
    parts = [
        {"type": "client_certificate", "cert_file": "c.pem", "key_file": "k.pem", "key_password": "sesame"},
        {"type": "http_digest", "username": "u", "password": "p"},
    ]
    with pytest.raises(PipelineStepFailed, match="takes no key with a password"):
        load(tmp_path, config("https://127.0.0.1:1", {"type": "several", "auths": parts}))


@pytest.mark.parametrize("challenge", ["MD5", "SHA-256", "MD5-sess"])
@pytest.mark.parametrize("qop", ["auth-int", "auth-int, auth"])
def test_digest_protects_the_body(api: Any, tmp_path: Path, challenge: str, qop: str) -> None:
    """Of RFC 7616 what requests leaves out; the server reckons for itself."""
    counts: list[str] = []

    def handler(request: Request) -> Answer:
        sent = request.headers.get("Authorization", "")
        if not sent:
            text = f'Digest realm="r", nonce="n", opaque="o", algorithm={challenge}, qop="{qop}"'
            return Answer({}, status=401, headers={"WWW-Authenticate": text})
        told = parse_keqv_list(parse_http_list(sent.removeprefix("Digest ")))
        kind = hashlib.sha256 if challenge == "SHA-256" else hashlib.md5

        def hashed(*parts: str) -> str:
            return kind(":".join(parts).encode()).hexdigest()

        first = hashed("u", "r", "pä")
        if challenge == "MD5-sess":
            first = hashed(first, "n", told["cnonce"])
        more = [kind(request.body).hexdigest()] if told["qop"] == "auth-int" else []
        second = hashed("POST", "/items?a=1", *more)
        expected = hashed(first, "n", told["nc"], told["cnonce"], told["qop"], second)
        assert told["response"] == expected and told["opaque"] == "o" and told["uri"] == "/items?a=1"
        assert told["qop"] == ("auth" if "," in qop else "auth-int")
        counts.append(told["nc"])
        page = json.loads(request.body)["page"]
        return Answer({"total": PAGES, "items": [{"id": page * 2 + n} for n in range(2)]})

    made = config(api(handler).url, {"type": "http_digest", "username": "u", "password": "pä"})
    endpoint = made["resources"][0]["endpoint"]
    endpoint |= {"method": "POST", "json": {"q": "ü"}, "params": {"a": 1}}
    endpoint["paginator"] |= {"page_body_path": "page"}
    assert load(tmp_path, made) == ALL
    assert counts == [f"{n + 1:08x}" for n in range(PAGES)]


def test_a_wrong_configuration_is_refused() -> None:
    for auth, text in (
        ({"type": "oauth2", "token_uri": "x"}, "auth of type `oauth2` has no `token_uri`"),
        ({"type": "oauth2", "token_url": "x", "grant": "implicit"}, "grant `implicit` is none of"),
        ({"type": "oauth2", "token_url": "x", "client_auth": "jwt"}, "client_auth `jwt` is none of"),
        ({"type": "oauth2", "token_url": "x", "grant": "password", "username": "u"}, "needs password"),
    ):
        with pytest.raises(Exception, match=text):
            rest_api.rest_api_source(config("http://127.0.0.1:1", auth))


# The signatures are those of AWS's published test suite for Signature Version 4.
VECTORS = {
    "get-vanilla": ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
}


@pytest.mark.parametrize("name", list(VECTORS))
def test_aws_signatures(monkeypatch: Any, name: str) -> None:
    method, path, signature = VECTORS[name]
    auth = auths.AwsSigV4(
        access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", service="service"
    )
    when = datetime(2015, 8, 30, 12, 36, tzinfo=timezone.utc)
    monkeypatch.setattr(auths.AwsSigV4, "now", staticmethod(lambda: when))
    prepared = requests.Request(method, f"https://example.amazonaws.com{path}", auth=auth).prepare()
    assert prepared.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders=host;x-amz-date, Signature={signature}"
    )
    assert prepared.headers["x-amz-date"] == "20150830T123600Z"


def test_aws_signature_is_native(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=ak/")
        assert request.headers["x-amz-security-token"] == "st"
        return Answer({"total": PAGES, "items": [{"id": int(request.query["page"]) * 2 + n} for n in range(2)]})

    made = {"type": "aws_sigv4", "access_key": "ak", "secret_key": "sk", "session_token": "st"}
    assert load(tmp_path, config(api(handler).url, made)) == ALL


def test_dlts_own_source_takes_them_as_objects(api: Any, tmp_path: Path) -> None:
    import dlt.sources.rest_api as dlt_rest_api

    server = Server()
    url = api(server).url
    auth = auths.OAuth2(token_url=f"{url}/token", **CLIENT)
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(dlt_rest_api.rest_api_source(config(url, auth), name="api"))
    assert sorted(row["id"] for row in read_tables(pipeline)["items"]) == ALL
    assert dlt.__version__
