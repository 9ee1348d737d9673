"""What goes over the wire and what is read from the answers: sources, authentication, paginators, cookies, charsets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import jsonpath_ng
import pytest
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from headrace._rest_api.request import selector_steps
from headrace._rest_api.run import Run
from oracle import assert_equal, make_pipeline, run_both
from requests import Request as ToSend
from requests import Response
from servers import Answer, Request


def config(url: str, client: Any = None, endpoint: Any = None, **resource: Any) -> Any:
    """One resource."""
    return {
        "client": {"base_url": url, **(client or {})},
        "resources": [{"name": "items", "endpoint": {"path": "items", **(endpoint or {})}, **resource}],
    }


def seen(server: Any) -> list[Any]:
    """What the server was asked, without what tells the clients apart."""
    own = {"host", "connection", "accept-encoding"}
    return [
        (r.method, r.path, r.query, {k.lower(): v for k, v in r.headers.items() if k.lower() not in own}, r.body)
        for r in server.requests
    ]


def both_ask_the_same(api: Any, tmp_path: Path, handler: Any, make: Any) -> list[Any]:
    """Runs both, each against a server of its own; compares requests and tables."""
    asked, pipelines = [], []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = api(handler)
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(module.rest_api_source(make(server.url), name="api"), loader_file_format="parquet")
        asked.append(seen(server))
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert asked[0] == asked[1]
    return asked[1]


def cursor_pages(request: Request) -> Answer:
    """Three pages by cursor."""
    query = {**request.query, **(json.loads(request.body) if request.body[:1] == b"{" else {})}
    page = int(query.get("cursor") or 0)
    return Answer(
        {"data": [{"id": page * 2 + i} for i in range(2)], "cursors": {"next": page + 1 if page < 2 else None}}
    )


def test_requests_are_the_same(api: Any, tmp_path: Path, native_only: Any) -> None:
    def make(url: str) -> Any:
        return config(
            url,
            {"headers": {"X-Client": "c", "User-Agent": "mine"}, "auth": {"type": "bearer", "token": "t"}},
            {
                "headers": {"X-Endpoint": "e f"},
                "params": {"q": "a b&c=d/é", "list": [1, 2], "none": None, "yes": True, "{{braces}}": "{{x}}"},
                "paginator": {"type": "cursor", "cursor_path": "cursors.next"},
            },
        )

    assert len(both_ask_the_same(api, tmp_path, cursor_pages, make)) == 3


@pytest.mark.parametrize("kind", ["json", "data", "text"])
def test_bodies_are_the_same(api: Any, tmp_path: Path, kind: str, native_only: Any) -> None:
    def make(url: str) -> Any:
        endpoint: dict[str, Any] = {"method": "POST", "paginator": "single_page"}
        if kind == "json":
            endpoint |= {
                "json": {"query": "é", "filter": {"a": [1, None]}},
                "paginator": {"type": "cursor", "cursor_path": "cursors.next", "cursor_body_path": "cursor"},
            }
        elif kind == "data":
            endpoint |= {"data": {"a": "1", "b": "é ü"}}
        else:
            endpoint |= {"data": "plain text"}
        return config(url, None, endpoint)

    both_ask_the_same(api, tmp_path, cursor_pages, make)


def test_oauth2_client_credentials(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/token":
            return Answer({"access_token": "fresh", "expires_in": 3600})
        if request.headers.get("Authorization") != "Bearer fresh":
            return Answer({}, status=401)
        return cursor_pages(request)

    def make(url: str) -> Any:
        auth = {
            "type": "oauth2_client_credentials",
            "access_token_url": f"{url}/token",
            "client_id": "me",
            "client_secret": "s3cret",
        }
        return config(url, {"auth": auth}, {"paginator": {"type": "cursor", "cursor_path": "cursors.next"}})

    asked = both_ask_the_same(api, tmp_path, handler, make)
    assert [path for _, path, *_ in asked] == ["/token", "/items", "/items", "/items"]


@pytest.mark.parametrize("location", ["header", "query"])
def test_api_key(api: Any, tmp_path: Path, location: str, native_only: Any) -> None:
    auth = {"type": "api_key", "name": "X-Key", "api_key": "s3cret", "location": location}
    both_ask_the_same(
        api, tmp_path, cursor_pages, lambda url: config(url, {"auth": dict(auth)}, {"paginator": "single_page"})
    )


def test_cookies_are_sent_back(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        answer = cursor_pages(request)
        answer.headers["Set-Cookie"] = f"seen={request.query.get('cursor', 'none')}; Path=/"
        return answer

    asked = both_ask_the_same(
        api,
        tmp_path,
        handler,
        lambda url: config(url, None, {"paginator": {"type": "cursor", "cursor_path": "cursors.next"}}),
    )
    assert [headers.get("cookie") for *_, headers, _ in asked] == [None, "seen=none", "seen=1"]


def test_redirects(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/items":
            return Answer({}, status=302, headers={"Location": "/moved?x=1"})
        return Answer({"data": [{"id": 1}]})

    server = api(handler)
    run_both(lambda: config(server.url, None, {"paginator": "single_page"}), tmp_path)


class ByLastRecord(BasePaginator):
    """Asks for what comes behind the last record."""

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        self._has_next_page = bool(data)
        if data:
            assert response.json()["data"] == data
            self.last = data[-1]["id"]

    def update_request(self, request: ToSend) -> None:
        request.params = {**(request.params or {}), "after": getattr(self, "last", None)}


def test_a_paginator_of_the_users(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        after = int(request.query.get("after", -1))
        return Answer({"data": [{"id": n, "deep": [n]} for n in range(after + 1, min(after + 3, 7))]})

    asked = both_ask_the_same(api, tmp_path, handler, lambda url: config(url, None, {"paginator": ByLastRecord()}))
    assert len(asked) == 5


@pytest.mark.parametrize("path", ["data[-1].id", "$.data[-1].id"])
def test_a_cursor_inside_of_the_records(api: Any, tmp_path: Path, path: str, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        after = int(request.query.get("cursor", -1))
        return Answer({"data": [{"id": n} for n in range(after + 1, min(after + 3, 7))]})

    paginator = {"type": "cursor", "cursor_path": path}
    asked = both_ask_the_same(api, tmp_path, handler, lambda url: config(url, None, {"paginator": dict(paginator)}))
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ('{"data": [{"a": "naïve"}]}'.encode("utf-16"), {"Content-Type": "application/vnd.api+json"}),
        ('{"data": [{"a": "naïve"}]}'.encode("utf-32-le"), {"Content-Type": "application/octet-stream"}),
        ('{"data": [{"a": "naïve"}]}'.encode("utf-8-sig"), {}),
        ('{"data": [{"a": "naïve"}]}'.encode("utf-8-sig"), {"Content-Type": "application/vnd.api+json"}),
        ('{"data": [{"a": "naïve"}]}'.encode("latin-1"), {"Content-Type": "text/plain"}),
        ('{"data": [{"a": "naïve"}]}'.encode("cp1252"), {"Content-Type": "application/json; charset=windows-1252"}),
        ('{"data": [{"a": "日本"}]}'.encode("shift_jis"), {"Content-Type": "application/json; charset=Shift_JIS"}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_charsets(api: Any, tmp_path: Path, body: bytes, headers: dict[str, str], native_only: Any) -> None:
    server = api(lambda _: Answer(body, headers=headers))
    run_both(lambda: config(server.url, None, {"paginator": "single_page"}), tmp_path)


def set_encoding(response: Response, *args: Any, **kwargs: Any) -> Response:
    """Says what the server does not."""
    response.encoding = "cp1252"
    return response


def drop_secret(response: Response, *args: Any, **kwargs: Any) -> Response:
    """Takes a field out."""
    body = response.json()
    for record in body["data"]:
        record.pop("secret", None)
    response._content = json.dumps(body).encode()
    return response


@pytest.mark.parametrize(
    "actions",
    [
        [set_encoding],
        [{"status_code": 200, "action": drop_secret}],
        [{"content": "naive", "action": [drop_secret]}],
        [{"content": "stop here", "action": "ignore"}],
    ],
    ids=["encoding", "content", "by content", "ignore"],
)
def test_response_actions(api: Any, tmp_path: Path, actions: Any, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        page = int(request.query.get("page", 0))
        text = "stop here" if page == 2 else "naive"
        body = {"data": [{"id": page, "secret": 1, "text": text}], "total": 4}
        return Answer(json.dumps(body).encode().replace(b"naive", "naïve naive".encode("cp1252")))

    server = api(handler)
    endpoint = {"paginator": {"type": "page_number"}, "response_actions": actions}
    run_both(lambda: config(server.url, None, dict(endpoint)), tmp_path)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", []),
        ("data", ["data"]),
        ("$.data.items", ["data", "items"]),
        ("data[*].list", ["data", None, "list"]),
        ("data[0]", ["data", 0]),
        ("data[-1]", ["data", -1]),
        ("data[1:]", None),
        ("data[?x > 1]", None),
        ("a.*", None if isinstance(jsonpath_ng.parse("a.*").right, jsonpath_ng.Fields) else ["a", None]),  # up to 1.8
        ("a[*].b[*]", None),
        ("$..a", None),
        ("a|b", None),
        ("a,b", None),
    ],
)
def test_selectors_as_steps(path: str, steps: Any) -> None:
    assert selector_steps(path) == steps


@pytest.mark.parametrize(
    "selector",
    [
        "a.b[*]",
        "a.b",
        "a.b[*].c",
        "a.b[0]",
        "a.b[1].c[*]",
        "a[*]",
        "a.b[*].c[*]",
        "a.b[0].e[*]",
        "a.null[*]",
        "nope[*]",
        "nope",
        "a.null",
        "a",
        "$",
    ],
)
def test_selectors(api: Any, tmp_path: Path, native_only: Any, selector: str) -> None:
    body = {"a": {"b": [{"c": [{"d": 1}, {"d": 2}]}, {"c": [{"d": 3}], "e": 4}], "null": None}}
    server = api(lambda _: Answer(body))
    run_both(lambda: config(server.url, None, {"data_selector": selector, "paginator": "single_page"}), tmp_path)


def test_the_source_function_and_its_clones(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(cursor_pages)
    made = config(server.url, None, {"paginator": "single_page"})
    for number, source in enumerate(
        [
            rest_api.rest_api(**made),
            rest_api.rest_api.clone(name="cloned", max_table_nesting=1)(**made),
        ]
    ):
        pipeline = make_pipeline(tmp_path / str(number), "source")
        pipeline.run(source, loader_file_format="parquet")
        assert pipeline.last_trace.last_normalize_info.row_counts["items"] == 2
        assert source.name == ("cloned" if number else "rest_api")


CONFIG_TOML = """
[runtime]
dlthub_telemetry = false
[sources.rest_api]
client = {{ base_url = "{url}", auth = {{ type = "bearer", token = "t" }} }}
resources = [{{ name = "items", endpoint = {{ path = "items" }} }}]
"""


def test_configuration_from_config_toml(api: Any, tmp_path: Path) -> None:
    server = api(cursor_pages)
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(CONFIG_TOML.format(url=server.url))
    code = (
        "import dlt, headrace.sources.rest_api as h; print(dlt.pipeline('p', pipelines_dir='.').extract(h.rest_api()))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert [r.path for r in server.requests] == ["/items"] * 3
    assert server.requests[0].headers["Authorization"] == "Bearer t"


def test_dlts_own_source_stays_its_own(api: Any, tmp_path: Path) -> None:
    server = api(cursor_pages)
    (resource,) = dlt_rest_api.rest_api(**config(server.url)).resources.values()
    assert not hasattr(resource._pipe.gen, "__headrace_plan__")


def source_of(resources: list[Any]) -> Any:
    """A source with these resources."""

    @dlt.source(name="mine")
    def mine() -> Any:
        return resources

    return mine()


def test_resources_in_a_source_of_the_users(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(cursor_pages)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        made = module.rest_api_resources(config(server.url, None, {"paginator": "single_page"}))
        pipeline.run(source_of([*made, dlt.resource([{"own": 1}], name="own")]), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)


def test_a_bare_resource(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(cursor_pages)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        (resource,) = module.rest_api_resources(config(server.url, None, {"paginator": "single_page"}))
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(resource.with_name("renamed"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert set(pipelines[1].default_schema.data_table_names()) == {"renamed"}


def test_header_values_leave_as_requests_sends_them(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        answer = cursor_pages(request)
        if not request.query.get("after"):
            answer.headers["X-Next"] = "Größe"  # the server sends latin-1
        return answer

    def make(url: str) -> Any:
        headers = {"X-Latin": "Größe", "X-Empty": ""}
        paginator = {"type": "header_cursor", "cursor_key": "X-Next", "cursor_param": "after"}
        return config(url, {"headers": headers}, {"paginator": paginator})

    asked = both_ask_the_same(api, tmp_path, handler, make)
    assert [query.get("after") for _, _, query, *_ in asked] == [None, "Größe"]
    assert asked[0][3]["x-latin"] == "Größe"


@pytest.mark.parametrize("failure", ["close", "500", "503", "429"])
def test_only_a_busy_host_is_asked_less(api: Any, tmp_path: Path, monkeypatch: Any, failure: str) -> None:
    narrowed: list[str] = []
    monkeypatch.setattr(Run, "_say_throttled", narrowed.append)
    failed: list[str] = []

    def handler(request: Request) -> Answer:
        if not failed:
            failed.append(request.path)
            return Answer(raw=b"") if failure == "close" else Answer({}, status=int(failure))
        return cursor_pages(request)

    made = config(api(handler).url, None, {"paginator": {"type": "cursor", "cursor_path": "cursors.next"}})
    pipeline = make_pipeline(tmp_path, "busy")
    pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    assert pipeline.last_trace.last_normalize_info.row_counts["items"] == 6
    assert bool(narrowed) == (failure in ("503", "429"))


@pytest.mark.parametrize("n_pages", [0, 1])
def test_a_page_that_is_ignored_makes_no_table(api: Any, tmp_path: Path, native_only: Any, n_pages: int) -> None:
    """An empty page makes one; a status that is ignored before the first page does not."""

    def handler(request: Request) -> Answer:
        page = int(request.query["page"])
        return Answer([], status=200) if page < n_pages else Answer({}, status=404)

    server = api(handler)
    endpoint = {
        "path": "items",
        "paginator": {"type": "page_number", "base_page": 0, "total_path": None},
        "response_actions": [{"status_code": 404, "action": "ignore"}],
    }
    pipelines = run_both(
        lambda: {"client": {"base_url": server.url}, "resources": [{"name": "items", "endpoint": endpoint}]}, tmp_path
    )
    assert ("items" in pipelines[1].default_schema.tables) == (n_pages > 0)


def test_encodings_and_connections_of_the_users(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(lambda request: Answer([{"id": 1}]))
    headers = {"Accept-Encoding": "identity", "Connection": "close"}
    made = {"client": {"base_url": server.url, "headers": headers}, "resources": ["items"]}
    run_both(lambda: made, tmp_path)
    for request in server.requests:
        assert (request.headers["Accept-Encoding"], request.headers["Connection"]) == ("identity", "close")
