"""Incremental loading: rows, state and requests as dlt's own rest_api makes them, over two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
from oracle import assert_equal, make_pipeline
from servers import Answer, Request

PAGES = 5


def day(number: int) -> str:
    """A day in January."""
    return f"2024-01-{number + 1:02d}T00:00:00Z"


def events(run: int, n: int = 20) -> list[dict[str, Any]]:
    """Records of a run: those of the run before overlap, several share a cursor value, one changes at the boundary."""
    out: list[dict[str, Any]] = []
    for number in range(run * n // 2, run * n // 2 + n):
        out.append(
            {"id": number, "at": day(number // 3), "n": number, "deep": {"at": number // 2}, "tags": ["a", number]}
        )
    if run:
        out.append({"id": 1000, "at": day(6), "n": 19, "deep": {"at": 9}, "late": True})
    return out


class Server:
    """Pages of the run's records; keeps the queries it got."""

    def __init__(self, order: str = "asc") -> None:
        self.run = 0
        self.order = order
        self.queries: list[str] = []

    def __call__(self, request: Request) -> Answer:
        page = int(request.query["page"])
        self.queries.append(json.dumps({k: v for k, v in request.query.items() if k != "page"}, sort_keys=True))
        found = events(self.run)
        if self.order == "desc":
            found.reverse()
        size = -(-len(found) // PAGES)
        return Answer({"total": PAGES, "items": found[page * size : (page + 1) * size]})


def config(url: str, incremental: dict[str, Any], **resource: Any) -> Any:
    """One resource with an incremental."""
    return {
        "client": {"base_url": url, "paginator": {"type": "page_number"}},
        "resources": [{"name": "items", "endpoint": {"path": "items", "incremental": incremental}, **resource}],
    }


def states(pipeline: Any) -> Any:
    """The incremental's state; hashes are a set."""
    found = json.loads(json.dumps(pipeline.state["sources"]["api"]["resources"]["items"]["incremental"]))
    for state in found.values():
        state["unique_hashes"] = sorted(state["unique_hashes"])
    return found


KEY = {"primary_key": "id"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing in the first run": ({"cursor_path": "at", "initial_value": day(10)}, {}),
    "nothing in both runs": ({"cursor_path": "at", "initial_value": day(30), "row_order": "desc"}, {}),
    "key": ({"cursor_path": "at", "initial_value": day(1)}, KEY),
    "no_key": ({"cursor_path": "at", "initial_value": day(1)}, {}),
    "no_initial_value": ({"cursor_path": "n"}, KEY),
    "compound_key": ({"cursor_path": "at", "initial_value": day(0)}, {"primary_key": ["id", "n"]}),
    "no_deduplication": ({"cursor_path": "at", "initial_value": day(0), "primary_key": []}, {}),
    "min": ({"cursor_path": "n", "last_value_func": min, "initial_value": 15}, KEY),
    "own_function": ({"cursor_path": "n", "last_value_func": lambda values: max(values), "initial_value": 3}, KEY),
    "end_value": ({"cursor_path": "n", "initial_value": 4, "end_value": 12}, KEY),
    "closed_end": ({"cursor_path": "n", "initial_value": 4, "end_value": 12, "range_end": "closed"}, KEY),
    "open_start": ({"cursor_path": "at", "initial_value": day(2), "range_start": "open"}, KEY),
    "lag": ({"cursor_path": "n", "initial_value": 4, "lag": 2}, KEY),
    "nested": ({"cursor_path": "deep.at", "initial_value": 2}, KEY),
    "missing": ({"cursor_path": "late", "on_cursor_value_missing": "include"}, KEY),
    "missing_excluded": ({"cursor_path": "late", "on_cursor_value_missing": "exclude"}, KEY),
    "merge": ({"cursor_path": "at", "initial_value": day(1)}, {**KEY, "write_disposition": "merge"}),
    "convert": (
        {"cursor_path": "at", "initial_value": day(1), "start_param": "since", "convert": lambda value: value[:10]},
        KEY,
    ),
    "end_param": (
        {"cursor_path": "n", "initial_value": 4, "end_value": 12, "start_param": "since", "end_param": "until"},
        KEY,
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_two_runs_are_as_dlts(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    incremental, resource = CASES[name]
    pipelines, seen = [], []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server()
        url = api(server).url
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for run in range(2):
            server.run = run
            made = config(url, dict(incremental), **resource)
            pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
        seen.append(server.queries)
    assert_equal(*pipelines)
    if "end_value" not in incremental:
        assert states(pipelines[0]) == states(pipelines[1])
    assert set(seen[0]) == set(seen[1])


def test_placeholders(api: Any, tmp_path: Path, native_only: Any) -> None:
    seen = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server()
        url = api(server).url
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for run in range(2):
            server.run = run
            made = config(url, {"cursor_path": "at", "initial_value": day(1)}, **KEY)
            made["resources"][0]["endpoint"]["params"] = {"since": "{incremental.start_value}"}
            pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        seen.append(server.queries)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 2


@pytest.mark.parametrize(
    ("order", "incremental"),
    [
        ("asc", {"cursor_path": "n", "initial_value": 0, "end_value": 6, "row_order": "asc"}),
        ("desc", {"cursor_path": "n", "initial_value": 12, "row_order": "desc"}),
    ],
    ids=["asc", "desc"],
)
def test_row_order_stops_the_pages(api: Any, tmp_path: Path, order: str, incremental: Any, native_only: Any) -> None:
    pipelines, asked = [], []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server(order)
        url = api(server).url
        made = config(url, dict(incremental), **KEY)
        # a cursor: its next page is asked for after the last one was looked at
        made["client"]["paginator"] = {"type": "cursor", "cursor_path": "next", "cursor_param": "page"}
        made["resources"][0]["endpoint"]["params"] = {"page": 0}

        def with_cursor(request: Request, server: Server = server) -> Answer:
            answer = server(request)
            page = int(request.query["page"]) + 1
            return Answer({**answer.body, "next": page if page < PAGES else None})

        made["client"]["base_url"] = api(with_cursor).url
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
        asked.append(len(server.queries))
    assert_equal(*pipelines)
    assert asked[0] == asked[1] < PAGES


def test_one_source_object_runs_twice(api: Any, tmp_path: Path, native_only: Any) -> None:
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server()
        source = module.rest_api_source(config(api(server).url, {"cursor_path": "at"}, **KEY), name="api")
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for run in range(2):
            server.run = run
            pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert states(pipelines[0]) == states(pipelines[1])


def test_metrics_are_dlts(api: Any, tmp_path: Path, native_only: Any) -> None:
    found = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server()
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        made = config(api(server).url, {"cursor_path": "at", "initial_value": day(1)}, **KEY)
        info = pipeline.extract(module.rest_api_source(made, name="api"))
        metrics = next(iter(info.metrics.values()))[0]
        custom = dict(metrics["resource_metrics"]["items"].custom_metrics)
        assert (custom.pop("headrace", None) is not None) == (side == "headrace")
        found.append(custom)
    assert found[0]["incremental"]
    assert found[0] == found[1]


def test_a_missing_cursor_fails_as_in_dlt(api: Any, tmp_path: Path) -> None:
    texts = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        made = config(api(Server()).url, {"cursor_path": "nope"}, **KEY)
        with pytest.raises(Exception) as caught:
            pipeline.extract(module.rest_api_source(made, name="api"))
        texts.append(str(caught.value))
    assert all("IncrementalCursorPathMissing" in text or "Cursor element with JSON path" in text for text in texts)
