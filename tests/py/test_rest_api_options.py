"""headrace's own keys in a rest_api configuration: rate limits, retries, networks. Counted, not timed."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
import requests
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.sources.helpers.rest_client.auth import APIKeyAuth, BearerTokenAuth, HttpBasicAuth
from dlt.sources.helpers.rest_client.client import RESTClient
from faults import Faults
from headrace._rest_api.options import take
from headrace._rest_api.request import Ready, Sender
from headrace.config import settings
from headrace.exceptions import ConfigurationError, ResourceFailed, ResourceFailedTransient
from oracle import make_pipeline, read_tables
from servers import Answer, Request
from socks import Socks

N_PAGES = 6


def paged(request: Request) -> Answer:
    """Pages 0 to N_PAGES - 1."""
    page = int(request.query.get("page", 0))
    return Answer({"total": N_PAGES, "items": [{"id": page}]})


def config(url: str, client: Any = None, endpoint: Any = None) -> Any:
    """One resource of numbered pages."""
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    made = {"path": "items", "data_selector": "items", "paginator": paginator, **(endpoint or {})}
    return {"client": {"base_url": url, **(client or {})}, "resources": [{"name": "items", "endpoint": made}]}


def run(made: Any, tmp_path: Path, name: str = "own") -> list[int]:
    """The ids that are loaded."""
    pipeline = make_pipeline(tmp_path / name, name)
    pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    return sorted(row["id"] for row in read_tables(pipeline)["items"])


def error_of(made: Any, tmp_path: Path, name: str = "fails") -> Any:
    """What the run raises."""
    with pytest.raises(PipelineStepFailed) as caught:
        make_pipeline(tmp_path / name, name).extract(rest_api.rest_api_source(made, name="api"))
    found: Any = caught.value
    while isinstance(found, (PipelineStepFailed, ResourceExtractionError)):
        found = found.__cause__
    return found


# ---- the configuration


def test_dlt_sees_only_its_own_keys() -> None:
    own = {"rate_limit": {"requests": 1, "per": 2}, "retry": {"max_attempts": 2}, "network": {"min_tls": "1.2"}}
    made = config("http://h", {**own, "max_in_flight": 3, "max_requests_per_second": 4}, {"rate_cost": 5})
    made["resource_defaults"] = {"endpoint": {"retry": {"max_total": 6}}}
    made["resources"].append({"name": "other", "endpoint": {"path": "x", "retry": {"max_attempts": 7}}})
    made["resources"].append("plain")
    before = json.dumps(made)
    taken, options = take(made)
    assert json.dumps(made) == before
    dlt_rest_api._validate_config(taken)
    assert options["items"].rules == options["plain"].rules == ((1, 2000),)
    assert options["items"].route["cost"] == 5 and "cost" not in options["plain"].route
    assert [options[name].route["max_attempts"] for name in ("items", "other", "plain")] == [2, 7, 2]
    assert {options[name].route["max_total_ms"] for name in options} == {6000}
    assert options["plain"].route["min_tls"] == 12
    made["client"]["network"] = {"proxy": "http://me:s3cret@h:1", "client_cert": ["c.pem", "k.pem", "s3cret"]}
    assert "s3cret" not in repr(take(made)[1])


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ({"rate_limit": {"requests": 5}}, "needs `requests` and `per`"),
        ({"rate_limit": {"requests": 0, "per": 1}}, "at least 1"),
        ({"rate_limit": {"requests": 5, "per": 1, "burst": 2}}, "`client.rate_limit.burst` is not known"),
        ({"rate_limit": [{"requests": n, "per": 1} for n in range(1, 6)]}, "4 limits at most"),
        ({"max_requests_per_second": "many"}, "must be a number"),
        ({"retry": {"statuses": ["5xx"]}}, "`client.retry.statuses` must hold statuses"),
        ({"retry": {"on_content": {"value": 1}}}, "needs a `path`"),
        ({"retry": {"max_atempts": 1}}, "Known are: max_attempts"),
        ({"retry": 5}, "must be a dictionary, not int"),
        ({"network": {"min_tls": "2"}}, "must be one of 1.0"),
        ({"error_path": "["}, "`client.error_path` must be a jsonpath, not '[': "),
        ({"retry": {"on_content": {"path": "a["}}}, "`client.retry.on_content.path` must be a jsonpath, not 'a[': "),
        ({"network": {"resolve": ["h:443"]}}, "must hold 'host:port:address', not 'h:443'"),
        (
            {"network": {"proxy": "ftp://h:1"}},
            "`client.network.proxy` must begin with one of http://, https://, socks5://",
        ),
        ({"network": {"client_cert": ["a", "b", "c", "d"]}}, "the file of a certificate, that of its key"),
        ({"network": {"allowed_hosts": [1]}}, "a text or a list of texts"),
    ],
)
def test_what_is_wrong_is_named(client: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rest_api.rest_api_source(config("http://h", client))
    assert said in str(caught.value)


def test_a_resource_of_another_kind_stays_as_it_is(api: Any, tmp_path: Path) -> None:
    made = config(api(paged).url, {"max_in_flight": 2})
    made["resources"].append(dlt.resource([{"id": 1}], name="other"))
    assert run(made, tmp_path) == list(range(N_PAGES))


# ---- rate limits


def test_resources_share_a_hosts_budget(api: Any, tmp_path: Path, native_only: Any) -> None:
    times: list[float] = []

    def handler(request: Request) -> Answer:
        times.append(time.monotonic())
        return paged(request)

    made = config(api(handler).url, {"rate_limit": {"requests": 4, "per": 1}})
    made["resources"].append({**made["resources"][0], "name": "others"})
    assert run(made, tmp_path) == list(range(N_PAGES))
    times.sort()
    assert len(times) == 2 * N_PAGES
    assert all(later - earlier > 0.9 for earlier, later in zip(times, times[4:], strict=False))


PROCESS = """
    import sys
    from pathlib import Path
    sys.path[:0] = {folders!r}
    from test_rest_api_options import config, run
    name = sys.argv[1]
    client = {{"rate_limit": {{"requests": 4, "per": 1}}, "headers": {{"X-Process": name}}}}
    print(*run(config({url!r}, client), Path({folder!r}), name))
"""


def test_processes_share_a_budget(api: Any, tmp_path: Path) -> None:
    """Two pipelines at once, each with its part: the first request of each is answered when both have come."""
    times: list[float] = []
    began = {"a": threading.Event(), "b": threading.Event()}

    def handler(request: Request) -> Answer:
        times.append(time.monotonic())
        began[request.headers["X-Process"]].set()
        return paged(request) if all(one.wait(60) for one in began.values()) else Answer({}, status=404)

    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "servers")]
    program = textwrap.dedent(PROCESS).format(folders=folders, url=api(handler).url, folder=str(tmp_path))
    environment = {**os.environ, "HEADRACE__RATE_SHARE": "2"}
    command = [sys.executable, "-c", program]
    children = [
        subprocess.Popen([*command, name], env=environment, stdout=subprocess.PIPE, text=True) for name in began
    ]
    try:
        printed = [child.communicate(timeout=120)[0].split() for child in children]
    finally:
        for child in children:
            child.kill()
    assert printed == [[str(n) for n in range(N_PAGES)]] * 2
    times.sort()
    assert len(times) == 2 * N_PAGES
    assert all(later - earlier > 0.9 for earlier, later in zip(times, times[4:], strict=False))


def test_a_budget_outlives_a_run(api: Any, tmp_path: Path) -> None:
    times: list[float] = []

    def handler(request: Request) -> Answer:
        times.append(time.monotonic())
        return paged(request)

    made = config(api(handler).url, {"rate_limit": {"requests": N_PAGES, "per": 2}})
    for name in ("first", "second"):
        run(made, tmp_path, name)
    times.sort()
    assert times[N_PAGES] - times[0] > 1.9


def test_a_quota_that_the_server_tells_is_not_overdrawn(api: Any, tmp_path: Path, native_only: Any) -> None:
    """Three requests a second, counted from the first of each; refused beyond, which never happens."""
    lock, refused, window = threading.Lock(), [], {"end": 0.0, "left": 0}

    def handler(request: Request) -> Answer:
        with lock:
            now = time.monotonic()
            if now >= window["end"]:
                window.update(end=now + 1, left=3)
            left = window["left"] = window["left"] - 1
            told = {"RateLimit": f'"default";r={max(left, 0)};t={window["end"] - now + 0.01:.3f}'}
        if left < 0:
            refused.append(request.path)
            return Answer({}, status=429, headers=told)
        answer = paged(request)
        answer.headers = told
        return answer

    assert run(config(api(handler).url), tmp_path) == list(range(N_PAGES))
    assert not refused


def test_one_pause_for_the_host(api: Any, tmp_path: Path, native_only: Any) -> None:
    asked: list[float] = []

    def handler(request: Request) -> Answer:
        asked.append(time.monotonic())
        if len(asked) == 3:
            return Answer({}, status=429, headers={"Retry-After": "1"})
        return paged(request)

    assert run(config(api(handler).url), tmp_path) == list(range(N_PAGES))
    asked.sort()
    beside = [at for at in asked[3:] if at - asked[2] < 0.9]
    assert len(beside) <= 3  # in flight beside it (two at first, one more for each answer): nobody else


def test_throttled_time_is_shown(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    lines: list[str] = []
    monkeypatch.setattr("headrace._rest_api.run.logger.info", lines.append)
    run(config(api(paged).url, {"max_requests_per_second": 4}), tmp_path)
    assert any("throttled for 1." in line for line in lines)


# ---- retries


def test_statuses_and_attempts_of_an_endpoint(api: Any, tmp_path: Path) -> None:
    def handler(request: Request) -> Answer:
        return Answer({}, status=int(request.path[1:]))

    server = api(handler)
    for status, attempts in ((404, 3), (500, 1), (429, 1)):
        retry = {"max_attempts": 3, "statuses": ["404-409"], "backoff": 0.001}
        error_of(config(server.url, None, {"path": str(status), "retry": retry}), tmp_path, f"s{status}")
        assert len([one for one in server.requests if one.path == f"/{status}"]) == attempts


@pytest.mark.parametrize(("retry", "attempts"), [({}, 1), ({"methods": ["POST"]}, 5), ({"methods": "GET"}, 1)])
def test_a_post_is_made_again_only_when_told(api: Any, tmp_path: Path, retry: Any, attempts: int) -> None:
    server = api(lambda request: Answer({}, status=502))
    error_of(config(server.url, {"retry": retry}, {"method": "POST"}), tmp_path)
    assert len(server.requests) == attempts


def test_a_post_that_was_refused_is_made_again(api: Any, tmp_path: Path) -> None:
    refused: list[str] = []

    def handler(request: Request) -> Answer:
        if not refused:
            refused.append(request.path)
            return Answer({}, status=503)
        return paged(request)

    assert run(config(api(handler).url, None, {"method": "POST"}), tmp_path) == list(range(N_PAGES))


def test_no_attempt_beyond_the_total_time(api: Any, tmp_path: Path) -> None:
    server = api(lambda request: Answer({}, status=500))
    error_of(config(server.url, {"retry": {"backoff": 100, "max_total": 99}}), tmp_path)
    assert len(server.requests) == 1


def test_an_answer_is_asked_for_again_for_what_it_holds(api: Any, tmp_path: Path, native_only: Any) -> None:
    pending = dict.fromkeys(range(N_PAGES), 2)

    def handler(request: Request) -> Answer:
        page = int(request.query["page"])
        pending[page] -= 1
        return Answer({"status": {"code": "busy"}}) if pending[page] >= 0 and page % 2 else paged(request)

    server = api(handler)
    told = {"on_content": [{"path": "error"}, {"path": "status.code", "value": "busy"}], "backoff": 0.001}
    assert run(config(server.url, {"retry": told}), tmp_path) == list(range(N_PAGES))
    assert len(server.requests) == N_PAGES + 2 * (N_PAGES // 2)


def test_an_answer_that_stays_wrong_is_an_error(api: Any, tmp_path: Path) -> None:
    server = api(lambda request: Answer({"error": "later"}))
    told = {"on_content": {"path": "error"}, "backoff": 0.001, "max_attempts": 3}
    error = error_of(config(server.url, None, {"retry": told}), tmp_path)
    assert isinstance(error, ResourceFailedTransient)
    assert "`retry.on_content` names at `error` after 3 attempts" in str(error)
    assert len(server.requests) == 3


# ---- networks


def test_redirects_stay_with_the_allowed_hosts(faults: Faults, tmp_path: Path) -> None:
    path = f"redirect-to?url=http://localhost:{faults.port}/json"
    made = config(faults.url, {"network": {"allowed_hosts": ["127.0.0.1"]}}, {"path": path, "paginator": "single_page"})
    error = error_of(made, tmp_path)
    assert isinstance(error, ResourceFailed)
    assert "redirected to localhost, which is not one of the allowed hosts" in str(error)
    made["client"]["network"]["allowed_hosts"].append("localhost")
    assert run(made, tmp_path) == [0, 1, 2]


def other_hosts_next(api: Any, wanted: str) -> Any:
    """A server whose next link names it by another host name."""
    server: Any = None

    def handler(request: Request) -> Answer:
        if request.path == "/more":
            return Answer({"items": [{"id": 1}], "next": None})
        return Answer({"items": [{"id": 0}], "next": server.url.replace("127.0.0.1", wanted) + "/more"})

    server = api(handler)
    return server


@pytest.mark.parametrize(
    ("host", "allowed", "has_token"),
    [("localhost", None, False), ("localhost", ["127.0.0.1", "localhost"], True), ("127.0.0.1", None, True)],
)
@pytest.mark.parametrize("kind", ["bearer", "api_key", "header"])
def test_a_token_stays_with_its_origin(
    api: Any, tmp_path: Path, native_only: Any, host: str, allowed: Any, has_token: bool, kind: str
) -> None:
    server = other_hosts_next(api, host)
    client: dict[str, Any] = {
        "bearer": {"auth": {"type": "bearer", "token": "s3cret"}},
        "api_key": {"auth": {"type": "api_key", "name": "X-Key", "api_key": "s3cret"}},
        "header": {"headers": {"Authorization": "s3cret"}},
    }[kind]
    client |= {"network": {"allowed_hosts": allowed}} if allowed else {}
    paginator = {"type": "json_link", "next_url_path": "next"}
    assert run(config(server.url, client, {"paginator": paginator}), tmp_path) == [0, 1]
    tokens = ["s3cret" in str(request.headers) for request in server.requests]
    assert tokens == [True, has_token]


@pytest.mark.parametrize(
    ("host", "allowed", "has_token"),
    [("localhost", None, False), ("localhost", ["127.0.0.1", "localhost"], True), ("127.0.0.1", None, True)],
)
@pytest.mark.parametrize("kind", ["bearer", "api_key", "session_login", "several"])
def test_a_redirect_takes_no_token_to_another_origin(
    api: Any, tmp_path: Path, native_only: Any, host: str, allowed: Any, has_token: bool, kind: str, logged: list[str]
) -> None:
    server: Any = None
    asked: list[str] = []

    def handler(request: Request) -> Answer:
        if request.path == "/login":
            return Answer({"token": "s3cret"})
        asked.append(str(request.headers))
        if request.path == "/items":
            return Answer({}, status=302, headers={"Location": server.url.replace("127.0.0.1", host) + "/more"})
        return Answer({"items": [{"id": 1}]})

    server = api(handler)
    login = {"login_url": f"{server.url}/login", "username": "u", "password": "p", "token_path": "token"}
    key = {"type": "api_key", "name": "X-Key", "api_key": "s3cret"}
    auth = {
        "bearer": {"type": "bearer", "token": "s3cret"},
        "api_key": key,
        "session_login": {"type": "session_login", "header": "X-Session", **login},
        "several": {"type": "several", "auths": [key, {"type": "api_key", "name": "X-App", "api_key": "s3cret"}]},
    }[kind]
    client = {"auth": auth, "headers": {"X-Plain": "p"}} | ({"network": {"allowed_hosts": allowed}} if allowed else {})
    assert run(config(server.url, client, {"paginator": "single_page"}), tmp_path) == [1]
    has_token = has_token and (kind != "bearer" or host == "127.0.0.1")  # Authorization: by the rules of requests
    assert ["s3cret" in headers for headers in asked] == [True, has_token]
    assert "X-Plain" in asked[1]
    assert any("which is asked without credentials" in line for line in logged) == (host == "localhost" and not allowed)


def test_a_next_link_stays_with_the_allowed_hosts(api: Any, tmp_path: Path) -> None:
    server = other_hosts_next(api, "localhost")
    client = {"network": {"allowed_hosts": "127.0.0.1"}}
    error = error_of(
        config(server.url, client, {"paginator": {"type": "json_link", "next_url_path": "next"}}), tmp_path
    )
    assert "localhost is not one of the allowed hosts" in str(error)


def test_a_host_is_asked_where_resolve_says(faults: Faults, tmp_path: Path) -> None:
    made = config(f"http://api.example.invalid:{faults.port}", None, {"path": "json", "paginator": "single_page"})
    made["client"]["network"] = {"resolve": [f"api.example.invalid:{faults.port}:127.0.0.1"], "interface": "127.0.0.1"}
    assert run(made, tmp_path) == [0, 1, 2]


def test_ca_bundle_and_least_tls(faults: Faults, tmp_path: Path) -> None:
    made = config(faults.tls_url, None, {"path": "json", "paginator": "single_page"})
    made["client"]["network"] = {"ca_bundle": faults.cert, "min_tls": "1.3"}
    assert run(made, tmp_path) == [0, 1, 2]


def test_what_fails_of_tls_says_what_to_do(api: Any, faults: Faults, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(faults.cert, faults.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    older, asking = api(paged), api(paged)
    older._server.socket = context.wrap_socket(older._server.socket, server_side=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=faults.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(faults.cert, faults.key)
    listener = asking._server.socket

    def accepted() -> Any:
        """A connection; one that is refused is read to its end: closed with bytes unread, it would take the alert with it."""
        plain, address = listener.accept()
        connection = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        try:
            connection.do_handshake()
        except ssl.SSLError:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
            connection.close()
            raise
        return connection, address

    asking._server.get_request = accepted

    def tls(url: str) -> str:
        return url.replace("http://127.0.0.1", "https://localhost")

    trusted = {"ca_bundle": faults.cert}
    cases = [
        (tls(older.url), {**trusted, "min_tls": "1.3"}, "speaks no TLS as new as network.min_tls wants"),
        (tls(api(paged).url), trusted, "is the URL's scheme or port another?"),
        (tls(asking.url), trusted, "asks for a client certificate: see network.client_cert"),
        (tls(asking.url), {**trusted, "client_cert": "/none.pem"}, "network.client_cert must name a PEM file"),
        (tls(older.url), {"ca_bundle": "/none.pem"}, "network.ca_bundle or REQUESTS_CA_BUNDLE must name a PEM file"),
        (tls(older.url).replace("localhost", "127.0.0.1"), trusted, "ask by that name, with network.resolve"),
        (tls(older.url), {}, "name its CA with network.ca_bundle"),
        (api(paged).url, {"interface": "none0"}, "Check network.interface"),
    ]
    for number, (url, network, expected) in enumerate(cases):
        error = error_of(config(url, {"network": network}), tmp_path, f"p{number}")
        assert expected[1:] in str(error) and type(error) is ResourceFailed, (expected, error)


@pytest.mark.parametrize("by", ["environment", "config"])
@pytest.mark.parametrize(("scheme", "target"), [("socks5h", "api.example.invalid"), ("socks5", "127.0.0.1")])
def test_socks_with_a_password(
    faults: Faults, tmp_path: Path, monkeypatch: Any, by: str, scheme: str, target: str
) -> None:
    with Socks("me", "p@ss", {"api.example.invalid": "127.0.0.1"}) as socks:
        made = config(f"http://{target}:{faults.port}", None, {"path": "json", "paginator": "single_page"})
        proxy = f"{scheme}://me:p%40ss@127.0.0.1:{socks.port}"
        if by == "environment":
            monkeypatch.setenv("ALL_PROXY", proxy)
            monkeypatch.setenv("NO_PROXY", "")
        else:
            made["client"]["network"] = {"proxy": proxy}
        assert run(made, tmp_path) == [0, 1, 2]
        assert socks.asked == [f"{target}:{faults.port}"]
        made["client"]["network"] = {"proxy": f"{scheme}://me:wr0ng@127.0.0.1:{socks.port}"}
        made["client"]["retry"] = {"max_attempts": 1}
        error = error_of(made, tmp_path)
        assert f"127.0.0.1:{socks.port}" in str(error)
        assert "does not let us through" in str(error)
        assert "wr0ng" not in str(error)


def test_a_proxy_of_the_config_is_before_the_environments(
    faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    faults.asked.clear()
    made = config("http://api.example.invalid", None, {"path": "json", "paginator": "single_page"})
    made["client"]["network"] = {"proxy": f"http://me:secret@127.0.0.1:{faults.port}"}
    assert run(made, tmp_path) == [0, 1, 2]
    assert faults.asked == ["GET http://api.example.invalid/json"]


# ---- requests like the last one


@pytest.mark.parametrize("auth", [None, BearerTokenAuth("t"), HttpBasicAuth("u", "p"), APIKeyAuth("X-Key", "k")])
def test_requests_are_prepared_as_by_the_session(auth: Any) -> None:
    client = RESTClient("http://h/v1", headers={"X-A": "b"}, auth=auth)
    sender = Sender(client, settings(), False)
    params: list[Any] = [
        None,
        {"page": 2},
        {"q": "a b&ü/%", "none": None, "flag": True, "x": 1.5, "": ""},
        {"many": [1, None, "é"]},
        {},
    ]
    for url in ("http://h/v1/items", "http://h/v1/it ems/ü?fixed=1#part", "http://H:80/v1/%7Bx%7D"):
        for one in params:
            request = requests.Request("GET", url, headers={"X-C": "d"}, params=one, auth=auth)
            ready, plain = sender.prepare(request), client.session.prepare_request(request)
            assert (ready.method, ready.url, ready.body) == (plain.method, plain.url, plain.body)
            assert list(ready.headers.items()) == list(plain.headers.items())
            sent = sender.arguments(plain)
            assert sender.arguments(ready)[1:] == sent[1:]
    assert isinstance(ready, Ready)


def test_what_changes_is_prepared_anew() -> None:
    client = RESTClient("http://h", auth=BearerTokenAuth("one"))
    sender = Sender(client, settings(), False)

    def tokens(**options: Any) -> str:
        made = {"headers": {}, "auth": client.auth} | options
        return str(sender.prepare(requests.Request("GET", "http://h/x", **made)).headers)

    assert [tokens(), tokens()] == [tokens()] * 2
    client.auth.token = "two"  # type: ignore[union-attr]
    assert "two" in tokens() and "one" not in tokens()
    assert "three" in tokens(headers={"X-A": "three"}) and "three" not in tokens()
    client.session.headers["X-B"] = "four"
    assert "four" in tokens()
    client.session.cookies.set("c", "five", domain="h.local")
    assert not isinstance(sender.prepare(requests.Request("GET", "http://h/x")), Ready)
    client.session.cookies.clear()
    for special in ({"json": {}}, {"data": "x"}, {"cookies": {"a": "b"}}):
        assert not isinstance(sender.prepare(requests.Request("GET", "http://h/x", **special)), Ready)
