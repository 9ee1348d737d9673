"""`headrace.sources.rest_api` beside dlt's own, on the same server."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import assert_equal, make_pipeline, run_both
from servers import Answer, Request

N_PAGES, PAGE_SIZE = 7, 5


def records(page: int) -> list[dict[str, Any]]:
    """A page of records that gain columns, child tables and a variant on the way."""
    out = []
    for i in range(PAGE_SIZE):
        number = page * PAGE_SIZE + i
        record: dict[str, Any] = {
            "id": number,
            "userName": f"user {number}",
            "at": "2024-01-15T10:00:00Z",
            "labels": [{"name": f"l{k}", "w": k / 2} for k in range(i % 3)],
            "tags": ["a", "b"][: i % 3],
            "nested": {"x": 1, "deep": {"y": [1, [2, 3]]}},
            "nothing": None,
        }
        if page >= 2:
            record["late"] = True
        if page >= 3:
            record["id2"] = number if number % 2 else "x"
            record["more"] = [{"k": {"v": number}}]
        out.append(record)
    return out


def paged(request: Request) -> Answer:
    """All kinds of pagination over the same records."""
    query = request.query
    body = json.loads(request.body) if request.body else {}
    kind = request.path.strip("/")
    if kind == "offset":
        page = int(query["offset"]) // PAGE_SIZE
    elif kind == "body":
        page = int(body["page"])
    else:
        page = int(query.get("page") or query.get("cursor") or 0)
    data = records(page) if page < N_PAGES else []
    more = page + 1 < N_PAGES
    following = f"/{kind}?page={page + 1}"
    headers: dict[str, str] = {}
    answer: Any = {"items": data}
    if kind in ("page_number", "body"):
        answer["total"] = N_PAGES
    elif kind == "offset":
        answer["total"] = N_PAGES * PAGE_SIZE
    elif kind == "cursor":
        answer["cursors"] = {"next": str(page + 1) if more else None}
    elif kind == "json_link":
        answer["next"] = following if more else None
    elif kind == "has_more":
        answer["meta"] = {"more": more}
    elif kind == "link" and more:
        headers["Link"] = f'<{following}>; rel="next"'
    elif kind == "header_cursor" and more:
        headers["X-Next"] = str(page + 1)
    elif kind == "root":
        answer = data
    return Answer(answer, headers=headers, compress=page % 2 == 1)


PAGINATORS: dict[str, Any] = {
    "page_number": {"type": "page_number"},
    "has_more": {"type": "page_number", "total_path": None, "has_more_path": "meta.more"},
    "root": {"type": "page_number", "total_path": None},
    "unknown_total": {"type": "page_number", "total_path": None, "maximum_page": 4},
    "body": {"type": "page_number", "page_body_path": "page"},
    "offset": {"type": "offset", "limit": PAGE_SIZE},
    "cursor": {"type": "cursor"},
    "json_link": {"type": "json_link"},
    "link": {"type": "header_link"},
    "header_cursor": {"type": "header_cursor", "cursor_key": "X-Next"},
    "single": "single_page",
}


def config(url: str, name: str = "page_number", **resource: Any) -> Any:
    """One resource with its paginator."""
    endpoint: dict[str, Any] = {"path": name, "paginator": PAGINATORS.get(name)}
    if name == "body":
        endpoint |= {"method": "POST", "json": {"page": 0, "size": 5}}
    return {
        "client": {"base_url": url},
        "resources": [{"name": "items", "endpoint": endpoint, **resource}],
    }


@pytest.mark.parametrize("name", list(PAGINATORS))
def test_paginators(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    server = api(paged)
    run_both(lambda: config(server.url, name), tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param("link", marks=pytest.mark.every_dlt), "json_link", "cursor", "single", "root"]
)
def test_detected_paginators_and_selectors(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    server = api(paged)
    run_both(
        lambda: {
            "client": {"base_url": server.url},
            "resources": [{"name": "items", "endpoint": {"path": name}}],
        },
        tmp_path,
    )


@pytest.mark.parametrize(
    "disposition",
    [
        "append",
        "replace",
        "merge",
        {"disposition": "merge", "strategy": "upsert"},
        pytest.param({"disposition": "merge", "strategy": "scd2"}, marks=pytest.mark.every_dlt),
        {"disposition": "merge", "strategy": "insert-only"},
    ],
    ids=str,
)
def test_write_dispositions_over_two_runs(api: Any, tmp_path: Path, disposition: Any, native_only: Any) -> None:
    server = api(paged)
    key = {} if disposition == "append" else {"primary_key": "id"}
    run_both(lambda: config(server.url, write_disposition=disposition, **key), tmp_path, runs=2)


@pytest.mark.parametrize("nesting", [0, 1, 2])
def test_nesting_limits(api: Any, tmp_path: Path, nesting: int, native_only: Any) -> None:
    server = api(paged)
    run_both(lambda: config(server.url, max_table_nesting=nesting), tmp_path)


@pytest.mark.every_dlt
def test_column_hints(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(paged)
    columns = {
        "late": {"data_type": "text"},
        "at": {"data_type": "text"},
        "nested": {"data_type": "json"},
        "id": {"data_type": "double"},
        "userName": {"nullable": False},
    }
    run_both(lambda: config(server.url, columns=columns), tmp_path)


def parent_child(request: Request) -> Answer:
    """Parents in pages; each has two pages of children."""
    parts = request.path.strip("/").split("/")
    if len(parts) == 1:
        return paged(Request("GET", "/page_number", request.query, {}, b""))
    page = int(request.query.get("page", 0))
    number = int(parts[1])
    children = [{"n": page * 2 + i, "of": number, "list": [{"a": 1}, {"b": 2}]} for i in range(number % 3)]
    return Answer({"total": 2, "data": children})


def test_dependent_resources_in_parent_order(api: Any, tmp_path: Path, native_only: Any) -> None:
    together = threading.Barrier(2)

    def handler(request: Request) -> Answer:
        first = request.path in ("/parents/0/children", "/parents/1/children") and request.query["page"] == "0"
        if first and ours:
            together.wait(10)  # both are in flight at once, or this breaks
        return parent_child(request)

    ours: list[bool] = []
    server = api(handler)

    def make() -> Any:
        if server.requests:  # dlt was here before
            ours.append(True)
        return {
            "client": {"base_url": server.url, "paginator": {"type": "page_number"}},
            "resources": [
                {"name": "parents", "endpoint": {"path": "parents", "data_selector": "items"}},
                {
                    "name": "children",
                    "endpoint": {"path": "parents/{resources.parents.id}/children", "data_selector": "data"},
                    "include_from_parent": ["id", "userName"],
                },
            ],
        }

    run_both(make, tmp_path)
    assert ours


def parents_and_children(url: str, **parent: Any) -> Any:
    """Two resources, one depending on the other."""
    return {
        "client": {"base_url": url, "paginator": {"type": "page_number"}},
        "resources": [
            {"name": "parents", "endpoint": {"path": "parents", "data_selector": "items"}, **parent},
            {
                "name": "children",
                "endpoint": {"path": "parents/{resources.parents.id}/children", "data_selector": "data"},
                "include_from_parent": ["id"],
            },
        ],
    }


def test_a_parent_that_is_not_selected_leaves_no_tables(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(parent_child)
    run_both(lambda: parents_and_children(server.url, selected=False), tmp_path)


def test_a_filtered_parent_still_has_native_children(api: Any, tmp_path: Path) -> None:
    server = api(parent_child)
    steps = [{"filter": lambda record: record["id"] % 2 == 0}]
    run_both(lambda: parents_and_children(server.url, processing_steps=steps), tmp_path)


@pytest.mark.parametrize("change", ["transformer", "limit", "default file format"])
def test_what_users_do_with_a_source(api: Any, tmp_path: Path, change: str) -> None:
    server = api(paged)

    @dlt.transformer(name="seen")
    def seen(items: Any) -> Any:
        yield [{"got": item["id"]} for item in items]

    pipelines = []
    for module in (dlt_rest_api, rest_api):
        source = module.rest_api_source(config(server.url), name="api")
        if change == "transformer":
            source.resources["seen"] = source.items | seen
        elif change == "limit":
            source.add_limit(2)
        pipeline = make_pipeline(tmp_path / module.__name__, "changed")
        pipeline.run(source, loader_file_format=None if change == "default file format" else "parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)


def test_parents_that_are_python_objects(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(parent_child)

    def make() -> Any:
        parents = dlt.resource([[{"id": n, "name": f"p{n}"} for n in range(9)]], name="parents", selected=False)
        return {
            "client": {"base_url": server.url},
            "resources": [
                parents,
                {
                    "name": "children",
                    "endpoint": {
                        "path": "parents/{id}/children",
                        "params": {"id": {"type": "resolve", "resource": "parents", "field": "id"}},
                        "paginator": {"type": "page_number"},
                        "data_selector": "data",
                    },
                    "include_from_parent": ["name"],
                },
            ],
        }

    run_both(make, tmp_path)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"type": "bearer", "token": "s3cret"}, "Bearer s3cret"),
        ({"type": "api_key", "name": "Authorization", "api_key": "s3cret"}, "s3cret"),
        (
            {"type": "http_basic", "username": "u", "password": "s3cret"},
            "Basic " + base64.b64encode(b"u:s3cret").decode(),
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_authentication(api: Any, tmp_path: Path, auth: Any, expected: str, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.headers.get("Authorization") != expected:
            return Answer({"error": "who?"}, status=401)
        return paged(request)

    server = api(handler)

    def make() -> Any:
        made = config(server.url)
        made["client"]["auth"] = dict(auth)
        return made

    run_both(make, tmp_path)


# ---------------------------------------------------------------------------------------------------- the normalize step


def assert_normalized_later(make: Any, tmp_path: Path, ways: list[str], reason: str) -> None:
    """The tables are right and one line says why they are made in dlt's normalize step."""
    run_both(make, tmp_path)
    assert len(ways) == 1, ways
    assert "in dlt's normalize step" in ways[0]
    assert reason in ways[0]


def test_contracts_are_dlts_in_the_normalize_step(api: Any, tmp_path: Path, ways: list[str]) -> None:
    server = api(paged)
    contract = {"data_type": "freeze"}
    assert_normalized_later(
        lambda: config(server.url, "single", schema_contract=contract), tmp_path, ways, "schema contract"
    )


@pytest.mark.parametrize("hint", [{"data_type": "wei"}, {"data_type": "timestamp", "precision": 3}], ids=str)
def test_other_column_types_are_made_in_the_normalize_step(
    api: Any, tmp_path: Path, ways: list[str], hint: Any
) -> None:
    server = api(paged)
    column = "id" if hint["data_type"] == "wei" else "at"
    assert_normalized_later(lambda: config(server.url, columns={column: hint}), tmp_path, ways, f".{column}`")


def incremental_config(url: str, **incremental: Any) -> Any:
    """The records with an incremental over them."""
    made = config(url, "since", **({"primary_key": "id"} if incremental.pop("keyed", True) else {}))
    made["resources"][0]["endpoint"] = {
        "path": "page_number",
        "paginator": {"type": "page_number"},
        "incremental": {"cursor_path": "id", "initial_value": 3, **incremental},
        "params": {"since": "{incremental.start_value}"},
    }
    return made


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"keyed": False}, marks=pytest.mark.every_dlt),
        {"end_value": 20},
        {"cursor_path": "userName", "initial_value": "user 2"},
        {"range_start": "open"},
    ],
    ids=str,
)
def test_incremental_over_two_runs(api: Any, tmp_path: Path, options: Any, native_only: Any) -> None:
    server = api(paged)
    a, b = run_both(lambda: incremental_config(server.url, **options), tmp_path, runs=2)
    states = [p.state.get("sources", {}).get("api", {}).get("resources", {}) for p in (a, b)]
    assert bool(states[0]) == ("end_value" not in options)
    states = [state.get("items", {}).get("incremental", {}) for state in states]
    for state in states:
        for cursor in state.values():
            cursor["unique_hashes"] = sorted(cursor["unique_hashes"])
    assert states[0] == states[1]
    asked = {r.query.get("since") for r in server.requests}
    assert asked <= {"3", "34", "user 2", "user 9"}


def test_outside_of_a_pipeline_records_are_dicts(api: Any) -> None:
    server = api(paged)
    (resource,) = rest_api.rest_api_resources(config(server.url))
    assert [record["id"] for record in resource] == list(range(N_PAGES * PAGE_SIZE))


# ---------------------------------------------------------------------------------------------------- bad input


def run_bad(api: Any, tmp_path: Path, answer: Answer, name: str = "single") -> str:
    """The error text of a run whose one page is this answer."""
    server = api(lambda _: answer)
    pipeline = make_pipeline(tmp_path, "bad")
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.extract(rest_api.rest_api_source(config(server.url + "/?api_key=s3cret&x=1", name), name="api"))
    text = str(caught.value)
    assert "s3cret" not in text
    return text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"items": [{"a": 1}', "expected ',' or ']'"),
        (b"<html>please log in</html>", "expected a value, found '<' at byte 0"),
        (b"", "the body is empty"),
        (b'{"items": [' + b"[" * 100_000, "nested deeper than 1024 levels"),
        (b'{"items": [{"a": NaN}]}', "expected a value"),
        (b'{"items": [{"a": ' + b"9" * 10_000 + b"}]}", "integer of 10000 digits exceeds 64 bits"),
        (b'{"items": [{"a": "\\ud800"}]}', "lone surrogate"),
    ],
    ids=["truncated", "html", "empty", "deep", "nan", "digits", "surrogate"],
)
def test_bad_bodies(api: Any, tmp_path: Path, body: bytes, expected: str) -> None:
    text = run_bad(api, tmp_path, Answer(body))
    assert expected in text
    assert "resource `items`" in text


def test_short_body(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    assert "cut short" in run_bad(api, tmp_path, Answer(raw=raw))


def test_statuses(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    assert "404 Client Error" in run_bad(api, tmp_path / "a", Answer({}, status=404))
    assert "503 Server Error" in run_bad(api, tmp_path / "b", Answer({}, status=503))


def test_errors_that_recover(api: Any, tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def handler(request: Request) -> Answer:
        key = str(request.query)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 1:
            return Answer({}, status=503)
        return paged(request)

    server = api(handler)
    pipeline = make_pipeline(tmp_path, "recover")
    pipeline.run(rest_api.rest_api_source(config(server.url), name="api"), loader_file_format="parquet")
    assert pipeline.last_trace.last_normalize_info.row_counts["items"] == N_PAGES * PAGE_SIZE


def test_redirect_loop(api: Any, tmp_path: Path) -> None:
    assert "redirected more than 30 times" in run_bad(
        api, tmp_path, Answer({}, status=302, headers={"Location": "/again"})
    )


def test_unreachable_host(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    pipeline = make_pipeline(tmp_path, "bad")
    with pytest.raises(PipelineStepFailed, match=r"127\.0\.0\.1:9"):
        pipeline.extract(rest_api.rest_api_source(config("http://127.0.0.1:9"), name="api"))


def test_gzip_bomb(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADRACE__MAX_BODY_BYTES", "1000000")
    text = run_bad(api, tmp_path, Answer(b'["' + b"a" * 50_000_000 + b'"]', compress=True))
    assert "larger than max_body_bytes (1000000 bytes after decompression)" in text


def test_a_paginator_that_repeats_its_page(api: Any, tmp_path: Path) -> None:
    text = run_bad(api, tmp_path, Answer({"items": [{"a": 1}], "next": "/json_link?page=1"}), "json_link")
    assert "repeats a request" in text


def test_duplicate_keys_and_colliding_names(api: Any, tmp_path: Path, native_only: Any) -> None:
    body = b'{"items": [{"a": 1, "b": 2, "a": 3, "Name": "x", "name": "y", "c": {"d": 1}, "c__d": 2}]}'
    server = api(lambda _: Answer(body))
    run_both(lambda: config(server.url, "single"), tmp_path)


def test_invalid_utf8_reads_as_dlt_reads_it(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(lambda _: Answer(b'{"items": [{"a": "caf\xe9"}]}'))
    run_both(lambda: config(server.url, "single"), tmp_path)


def test_latin1_by_header(api: Any, tmp_path: Path, native_only: Any) -> None:
    answer = Answer(b'{"items": [{"a": "caf\xe9"}]}', headers={"Content-Type": "application/json; charset=iso-8859-1"})
    server = api(lambda _: answer)
    run_both(lambda: config(server.url, "single"), tmp_path)


def test_an_object_where_a_list_was(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(lambda _: Answer({"items": {"a": 1, "list": [1, 2]}}))

    def make() -> Any:
        made = config(server.url, "single")
        made["resources"][0]["endpoint"]["data_selector"] = "items"
        return made

    run_both(make, tmp_path)


def test_server_that_refuses_parallel_requests(api: Any, tmp_path: Path) -> None:
    server: Any = None
    refused: list[str] = []

    def handler(request: Request) -> Answer:
        if server.in_flight > 1:
            refused.append(request.path)
            return Answer({"code": 0}, status=429)
        return paged(request)

    server = api(handler)
    pipeline = make_pipeline(tmp_path, "serial")
    pipeline.run(rest_api.rest_api_source(config(server.url), name="api"), loader_file_format="parquet")
    assert pipeline.last_trace.last_normalize_info.row_counts["items"] == N_PAGES * PAGE_SIZE
    assert len(refused) <= 3


def test_workers_memory_and_batches_do_not_change_the_tables(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    server = api(paged)
    pipelines = []
    for workers, memory_limit, batch_bytes in (
        ("1", "268435456", "8388608"),
        ("6", "268435456", "8388608"),
        ("3", "1000", "100"),
    ):
        monkeypatch.setenv("HEADRACE__WORKERS", workers)
        monkeypatch.setenv("HEADRACE__MEMORY_LIMIT", memory_limit)
        monkeypatch.setenv("HEADRACE__BATCH_BYTES", batch_bytes)
        pipeline = make_pipeline(tmp_path / workers, f"w{workers}")
        pipeline.run(rest_api.rest_api_source(config(server.url), name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(pipelines[0], pipelines[1])
    assert_equal(pipelines[0], pipelines[2])


@pytest.mark.parametrize("progress", ["log", "tqdm", "enlighten", "alive_progress"])
def test_progress_displays(api: Any, tmp_path: Path, progress: str, capfd: Any) -> None:
    server = api(paged)
    pipeline = make_pipeline(tmp_path, "shown", progress=progress)
    pipeline.extract(rest_api.rest_api_source(config(server.url), name="api"))
    out, err = capfd.readouterr()
    if progress == "log":
        assert "items pages" in out + err
        assert "items requests" in out + err


CTRL_C = """
import sys, threading
sys.path.insert(0, sys.argv[2])
import headrace.sources.rest_api as rest_api
from oracle import make_pipeline
from pathlib import Path
config = {"client": {"base_url": sys.argv[1]}, "resources": [{"name": "items", "endpoint": {"path": "hang"}}]}
pipeline = make_pipeline(Path(sys.argv[3]), "interrupted")
try:
    pipeline.extract(rest_api.rest_api_source(config, name="api"))
except BaseException as error:
    print(type(error).__name__, threading.active_count(), flush=True)
"""


def test_ctrl_c_ends_a_run_whose_server_hangs(api: Any, tmp_path: Path) -> None:
    asked, over = threading.Event(), threading.Event()

    def handler(_: Request) -> Answer:
        asked.set()
        over.wait(30)
        return Answer({})

    server = api(handler)
    arguments = [sys.executable, "-c", CTRL_C, server.url, str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.wait(30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)  # the server still hangs: only the interrupt can have ended it
    over.set()
    assert out.split()[:2] in (
        ["KeyboardInterrupt", "1"],
        ["PipelineStepFailed", "1"],
        ["SignalReceivedException", "1"],
    ), err
