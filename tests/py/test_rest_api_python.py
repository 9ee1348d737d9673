"""Resources of which Python does a part (steps, sessions, selectors): the rest is the engine's, and the tables are dlt's."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
import requests
from dlt.common.configuration import configspec
from dlt.sources.helpers.rest_client.auth import AuthConfigBase
from dlt.sources.helpers.rest_client.client import RESTClient
from headrace._rest_api.sessions import Sessions
from oracle import assert_equal, make_pipeline, read_tables
from requests.adapters import HTTPAdapter
from servers import Answer, Request

PAGES, SIZE = 5, 4


def handler(request: Request) -> Answer:
    """Pages of items with nested lists, and of parts of each item."""
    page = int(request.query.get("page", 0))
    if request.path == "/items":
        first = page * SIZE
        rows = [
            {"id": n, "at": f"2024-01-{n + 1:02d}T00:00:00Z", "name": f"n{n}", "tags": ["x"] * (n % 3), "o": {"k": n}}
            for n in range(first, first + SIZE)
        ]
        return Answer({"total": PAGES, "items": rows, "meta": {"list": [{"items": [{"z": page}]}]}})
    item = int(request.path.split("/")[2])
    return Answer({"total": 1, "items": [{"part": f"{item}-{n}", "l": [n]} for n in range(item % 3)]})


def config(url: str, client: Any = None, endpoint: Any = None, parts: bool = False, **resource: Any) -> Any:
    """Items, and their parts when wanted."""
    made: Any = {
        "client": {"base_url": url, "paginator": {"type": "page_number"}, **(client or {})},
        "resources": [
            {"name": "items", "endpoint": {"path": "items", "data_selector": "items", **(endpoint or {})}, **resource}
        ],
    }
    if parts:
        made["resources"].append(
            {
                "name": "parts",
                "endpoint": {"path": "items/{resources.items.id}/parts", "data_selector": "items"},
                "include_from_parent": ["id"],
            }
        )
    return made


def in_python(pipeline: dlt.Pipeline) -> dict[str, list[str]]:
    """By resource, what Python did in the last load."""
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    found = headrace.status()[load_id]["resources"]
    assert all(resource["native"] for resource in found.values()), found
    return {name: resource["in_python"] for name, resource in found.items()}


def run_both(folder: Path, make: Callable[[], Any], change: Callable[[Any], Any] | None = None, runs: int = 1) -> Any:
    """The configuration through dlt and headrace; tables compared. Returns headrace's pipeline."""
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(folder / side, f"{side}_pipeline")
        for _ in range(runs):
            source = module.rest_api_source(make(), name="api")
            if change is not None:
                change(source)
            pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    return pipelines[1]


def split(record: Any) -> Iterator[Any]:
    """Several records of one, a list among them, and none of some."""
    if record["id"] % 4 == 1:
        return
    yield {**record, "half": 1}
    yield [{"id": record["id"], "half": 2}, {"id": record["id"], "half": "three"}]


def python_values(record: Any) -> Any:
    """Values that JSON does not have."""
    n = record["id"]
    return {
        **record,
        "at": datetime(2024, 1, 1, n, tzinfo=timezone.utc),
        "price": Decimal(n) / 4,
        "raw": bytes([n]),
        "deep": {"at": datetime(2024, 1, 2, tzinfo=timezone.utc)},
    }


STEPS: dict[str, Any] = {
    "map": [{"map": lambda record: {**record, "more": [record["id"]] * 2}}],
    "map_to_values": [{"map": lambda record: record["name"]}],
    "filter": [{"filter": lambda record: record["id"] % 2 == 0}],
    "filter_all": [{"filter": lambda record: False}],
    "filter_first_pages": [{"filter": lambda record: record["id"] > 9}],
    "yield_map": [{"yield_map": split}],
    "all": [
        {"filter": lambda record: record["id"] != 3},
        {"map": lambda record: {**record, "Weird Key": record["o"]["k"]}},
        {"yield_map": split},
        {"filter": lambda record: record["half"] != 2},
    ],
    "python_values": [{"map": python_values}],
}


@pytest.mark.parametrize("name", list(STEPS))
def test_processing_steps(api: Any, tmp_path: Path, native_only: Any, name: str) -> None:
    server = api(handler)
    pipeline = run_both(tmp_path, lambda: config(server.url, processing_steps=STEPS[name]))
    (line,) = in_python(pipeline)["items"]
    assert line.startswith("records pass steps in Python (")
    counts = read_tables(pipeline)
    assert counts or name == "filter_all"


CHANGES: dict[str, Callable[[Any], Any]] = {
    "add_map": lambda source: source.items.add_map(lambda record: {**record, "m": 1}),
    "add_filter": lambda source: source.items.add_filter(lambda record: record["id"] > 1),
    "add_limit": lambda source: source.items.add_limit(2),
    "add_limit_of_rows": lambda source: source.items.add_limit(6, count_rows=True),
    "add_limit_0": lambda source: source.items.add_limit(0),
    "two_tables": lambda source: source.items.add_map(
        lambda record: dlt.mark.with_table_name(record, "odd") if record["id"] % 2 else record
    ),
}


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "two_tables"])
def test_steps_added_to_a_source(api: Any, tmp_path: Path, native_only: Any, name: str) -> None:
    server = api(handler)
    pipeline = run_both(tmp_path, lambda: config(server.url, primary_key="id"), CHANGES[name], runs=2)
    assert name == "add_limit_0" or in_python(pipeline)["items"]


def test_steps_of_parents_and_children(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)

    def make() -> Any:
        made = config(server.url, parts=True, processing_steps=[{"filter": lambda record: record["id"] != 5}])
        made["resources"][1]["processing_steps"] = [
            {"map": lambda record: {**record, "double": record["_items_id"] * 2}}
        ]
        return made

    pipeline = run_both(tmp_path, make)
    found = in_python(pipeline)
    assert found["items"] and found["parts"]
    assert not any("/items/5/" in request.path for request in server.requests)


def test_steps_of_a_parent_that_is_not_selected(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    steps = [{"map": lambda record: {"id": record["id"] % 7}}]
    run_both(tmp_path, lambda: config(server.url, parts=True, processing_steps=steps, selected=False))


def test_a_limited_parent(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    run_both(tmp_path, lambda: config(server.url, parts=True), lambda source: source.items.add_limit(1))


@pytest.mark.parametrize("order", [None, "asc", "desc"])
def test_steps_and_an_incremental(api: Any, tmp_path: Path, native_only: Any, order: Any) -> None:
    server = api(handler)
    incremental = {"cursor_path": "moved", "initial_value": "2024-01-03", "row_order": order}
    if order == "asc":
        incremental["end_value"] = "2024-01-12"
    steps = [{"map": lambda record: {**record, "moved": record["at"][:10]}}]

    def make() -> Any:
        return config(server.url, endpoint={"incremental": incremental}, processing_steps=steps, primary_key="id")

    run_both(tmp_path, make, runs=2)


def test_a_step_that_fails_is_dlts_error(api: Any, tmp_path: Path) -> None:
    server = api(handler)
    texts = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        source = module.rest_api_source(config(server.url, processing_steps=[{"map": lambda record: record["no"]}]))
        pipeline = make_pipeline(tmp_path / side, "failing")
        with pytest.raises(Exception) as caught:
            pipeline.extract(source)
        texts.append(str(caught.value).partition("with exception")[2])
    assert texts[0] == texts[1]


def test_steps_see_the_state_of_their_resource(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)

    def count(record: Any) -> Any:
        state = dlt.current.resource_state()
        state["n"] = state.get("n", 0) + 1
        return {**record, "n": state["n"]}

    run_both(tmp_path, lambda: config(server.url, processing_steps=[{"map": count}]), runs=2)


# ---- selectors

SELECTORS = [
    "items[?id > 1]",
    "meta.list[*].items[*]",
    "$..z",
    "items[0:2]",
    "items[*].o",
    "items[*].tags[*]",
    "(items)",
]


@pytest.mark.parametrize("selector", SELECTORS)
def test_selectors(api: Any, tmp_path: Path, native_only: Any, selector: str) -> None:
    server = api(handler)
    run_both(tmp_path, lambda: config(server.url, endpoint={"data_selector": selector}))


# ---- sessions


class Counting(requests.Session):
    """A session of the user's own."""

    sent = 0

    def send(self, request: Any, **settings: Any) -> Any:
        Counting.sent += 1
        request.headers["X-Own"] = "yes"
        return super().send(request, **settings)


@configspec
class Digest(AuthConfigBase):
    """HTTP digest authentication: it answers to the server's challenge."""

    username: str = None  # type: ignore[assignment]
    password: str = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._digest: Any = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", lambda response, **_: response)
        self._digest = self._digest or requests.auth.HTTPDigestAuth(self.username, self.password)
        return self._digest(request)


def digest_handler(request: Request) -> Answer:
    """Asks for digest authentication."""
    text = request.headers.get("Authorization", "")
    if not text.startswith("Digest "):
        challenge = 'Digest realm="r", nonce="n0", qop="auth", algorithm=MD5'
        return Answer({}, status=401, headers={"WWW-Authenticate": challenge})
    found = dict(part.strip().split("=", 1) for part in text[7:].split(","))
    found = {name: value.strip('"') for name, value in found.items()}

    def md5(value: str) -> str:
        return hashlib.md5(value.encode()).hexdigest()

    parts = [md5("me:r:pw"), found["nonce"], found["nc"], found["cnonce"], "auth", md5(f"GET:{found['uri']}")]
    assert found["response"] == md5(":".join(parts))
    return handler(request)


class Adapter(HTTPAdapter):
    """An adapter of the user's own."""


def own_adapter() -> requests.Session:
    session = requests.Session()
    session.mount("http://", Adapter())
    return session


CLIENTS: dict[str, tuple[Callable[[], Any], Callable[[Request], Answer], str]] = {
    "session": (lambda: {"session": Counting()}, handler, "session of its own"),
    "adapter": (lambda: {"session": own_adapter()}, handler, "session of its own"),
    "digest": (lambda: {"auth": Digest("me", "pw")}, digest_handler, "`Digest` answers to responses"),
}


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("name", list(CLIENTS))
def test_sessions(api: Any, tmp_path: Path, native_only: Any, name: str, parts: bool) -> None:
    make, serve, line = CLIENTS[name]
    server = api(serve)
    Counting.sent = 0
    pipeline = run_both(tmp_path, lambda: config(server.url, client=make(), parts=parts))
    found = in_python(pipeline)
    assert line in found["items"][0]
    assert server.most_in_flight == 1  # a session need not bear more
    if name == "session":
        assert Counting.sent == len(server.requests) == 2 * (PAGES + (PAGES * SIZE if parts else 0))
        assert all(request.headers["X-Own"] == "yes" for request in server.requests)


def test_a_parallelized_resource_uses_its_session_in_parallel(api: Any, tmp_path: Path, native_only: Any) -> None:
    import threading

    together = threading.Barrier(2)

    def serve(request: Request) -> Answer:
        if request.path in ("/items/0/parts", "/items/1/parts"):
            together.wait(20)
        return handler(request)

    server = api(serve)
    made = config(server.url, client={"session": requests.Session()}, parts=True)
    made["resources"][1]["parallelized"] = True
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert len(read_tables(pipeline)["parts"]) == sum(n % 3 for n in range(PAGES * SIZE))


def test_a_session_with_response_actions(api: Any, tmp_path: Path, native_only: Any) -> None:
    def serve(request: Request) -> Answer:
        if request.path == "/items/7/parts":
            return Answer({"error": "gone"}, status=404)
        return handler(request)

    server = api(serve)

    def change(response: Any, *args: Any, **kwargs: Any) -> Any:
        response._content = response.content.replace(b'"part"', b'"piece"')
        return response

    def make() -> Any:
        made = config(server.url, client={"session": requests.Session()}, parts=True)
        made["resources"][1]["endpoint"]["response_actions"] = [{"status_code": 404, "action": "ignore"}, change]
        return made

    pipeline = run_both(tmp_path, make)
    assert "piece" in read_tables(pipeline)["parts"][0]


@pytest.mark.parametrize("status", [404, 500])
def test_a_session_with_an_error(api: Any, tmp_path: Path, status: int) -> None:
    server = api(lambda request: Answer({}, status=status) if request.query.get("page") == "2" else handler(request))
    made = config(server.url, client={"session": requests.Session()})
    pipeline = make_pipeline(tmp_path, "failing")
    with pytest.raises(Exception, match=f"{status} (Client|Server) Error"):
        pipeline.run(rest_api.rest_api_source(made, name="api"))


@pytest.mark.parametrize("place", [requests.Session, HTTPAdapter], ids=["session", "adapter"])
def test_a_stand_in_for_requests_is_asked(tmp_path: Path, monkeypatch: Any, native_only: Any, place: Any) -> None:
    """As `requests_mock` and `responses` put themselves in place: nothing leaves the machine."""

    def send(self: Any, request: Any, **settings: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 200
        response._content = b'{"items": [{"id": 1}], "total": 1}'
        response.request, response.url = request, request.url
        return response

    monkeypatch.setattr(place, "send", send)
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(config("https://api.example.invalid"), name="api"))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == [1]


def test_a_session_that_cannot_connect(tmp_path: Path) -> None:
    made = config("http://127.0.0.1:9", client={"session": requests.Session()})
    pipeline = make_pipeline(tmp_path, "failing")
    with pytest.raises(Exception, match="refused"):
        pipeline.run(rest_api.rest_api_source(made, name="api"))


def test_a_request_that_is_to_be_made_later_ends_with_its_run(tmp_path: Path) -> None:
    client = RESTClient("http://127.0.0.1:9", session=requests.Session())
    answers: list[Any] = []
    sessions = Sessions()
    request = requests.Request("GET", "http://127.0.0.1:9/items")
    sessions.ask(client, request, False, answers.append, delay_s=600)
    (timer,) = [thread for thread in threading.enumerate() if thread.name == "headrace-session-delay"]
    sessions.close()
    timer.join(20)
    assert not timer.is_alive()
    sessions.ask(client, request, False, answers.append)  # as a timer that is late would
    assert sessions._pools == {} and answers == []
