"""Incremental loading of resources that depend on others: rows, state, requests and metrics as in dlt's own rest_api."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
from oracle import assert_equal, make_pipeline, read_tables
from servers import Answer, Request

N_PARENTS = 3


def day(number: int) -> str:
    """A day in January."""
    return f"2024-01-{number + 1:02d}T00:00:00Z"


class Server:
    """Parents with pages of children; the second run has newer children, some of the older ones and a changed one."""

    def __init__(self) -> None:
        self.run = 0
        self.queries: list[str] = []
        self.parents_a_page = N_PARENTS

    def __call__(self, request: Request) -> Answer:
        page = int(request.query.get("page", 0))
        if request.path == "/parents":
            first = page * self.parents_a_page
            found = [{"id": n, "since": day(n)} for n in range(first, min(first + self.parents_a_page, N_PARENTS))]
            return Answer({"total": -(-N_PARENTS // self.parents_a_page), "items": found})
        shown = {k: v for k, v in request.query.items() if k != "page"}
        self.queries.append(json.dumps([request.path, shown], sort_keys=True))
        parent = int(request.path.split("/")[2])
        numbers = range(self.run * 5, self.run * 5 + 10)
        found = [
            {"id": number, "at": day(number // 2), "n": number, "deep": {"at": number // 2}, "tags": [number]}
            for number in numbers
            if number % N_PARENTS == parent or number % 4 == 0
        ]
        if self.run:
            found.append({"id": 1000 + parent, "at": day(4), "n": 9, "deep": {"at": 4}, "late": parent})
        return Answer({"total": 2, "items": found[page * 3 : page * 3 + 3] if page == 0 else found[3:]})


def config(url: str, incremental: Any, endpoint: Any = None, **resource: Any) -> Any:
    """Parents and children with an incremental."""
    path = "parents/{resources.parents.id}/events"
    return {
        "client": {"base_url": url, "paginator": {"type": "page_number"}},
        "resources": [
            {"name": "parents", "endpoint": {"path": "parents"}},
            {
                "name": "events",
                "include_from_parent": ["id", "since"],
                "endpoint": {"path": path, "incremental": incremental, **(endpoint or {})},
                **resource,
            },
        ],
    }


def states(pipeline: dlt.Pipeline) -> Any:
    """The incremental's state; hashes are a set."""
    sources = json.loads(json.dumps(pipeline.state.get("sources", {})))
    found = sources.get("api", {}).get("resources", {}).get("events", {}).get("incremental", {})
    for state in found.values():
        state["unique_hashes"] = sorted(state["unique_hashes"])
    return found


KEY = {"primary_key": ["id", "_parents_id"]}
CASES: dict[str, tuple[Any, Any, Any]] = {
    "key": ({"cursor_path": "at", "initial_value": day(1)}, None, KEY),
    "no_key": ({"cursor_path": "at", "initial_value": day(1)}, None, {}),
    "no_initial_value": ({"cursor_path": "n"}, None, KEY),
    "min": ({"cursor_path": "n", "last_value_func": min, "initial_value": 7}, None, KEY),
    "end_value": ({"cursor_path": "n", "initial_value": 4, "end_value": 8}, None, KEY),
    "open_start": ({"cursor_path": "at", "initial_value": day(2), "range_start": "open"}, None, KEY),
    "lag": ({"cursor_path": "n", "initial_value": 4, "lag": 2}, None, KEY),
    "nested": ({"cursor_path": "deep.at", "initial_value": 2}, None, KEY),
    "row_order": ({"cursor_path": "n", "initial_value": 1, "end_value": 6, "row_order": "asc"}, None, KEY),
    "missing": ({"cursor_path": "late", "on_cursor_value_missing": "include"}, None, KEY),
    "missing_excluded": ({"cursor_path": "late", "on_cursor_value_missing": "exclude"}, None, KEY),
    "merge": ({"cursor_path": "at", "initial_value": day(1)}, None, {**KEY, "write_disposition": "merge"}),
    "of_the_parent": ({"cursor_path": "_parents_since", "initial_value": day(1)}, None, KEY),
    "params": (
        {"cursor_path": "at", "initial_value": day(1), "start_param": "since", "convert": lambda value: value[:10]},
        None,
        KEY,
    ),
    "end_param": (
        {"cursor_path": "n", "initial_value": 2, "end_value": 9, "start_param": "from", "end_param": "to"},
        None,
        KEY,
    ),
    "placeholders": (
        {"cursor_path": "n", "initial_value": 2},
        {"params": {"q": "n>={incremental.start_value}|{incremental.initial_value}"}},
        KEY,
    ),
    "in_params": (
        None,
        {"params": {"since": {"type": "incremental", "cursor_path": "at", "initial_value": day(1)}}},
        KEY,
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_as_in_dlt(api: Any, tmp_path: Path, native_only: Any, case: str) -> None:
    incremental, endpoint, resource = CASES[case]
    pipelines, asked, metrics = [], [], []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = Server()
        started = api(server)
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for run in range(2):
            server.run = run
            made = config(started.url, incremental, endpoint, **resource)
            if incremental is None:
                del made["resources"][1]["endpoint"]["incremental"]
            info = pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        found = next(iter(pipeline.last_trace.last_extract_info.metrics.values()))[0]
        metrics.append(found["resource_metrics"]["events"].custom_metrics)
        asked.append(sorted(server.queries))
        pipelines.append(pipeline)
        assert info
    assert_equal(*pipelines)
    assert states(pipelines[0]) == states(pipelines[1])
    assert asked[0] == asked[1]
    ours, dlts = metrics[1]["incremental"][0], metrics[0]["incremental"][0]
    assert ours["unfiltered_items_count"] == dlts["unfiltered_items_count"]
    assert ours["final_unique_hashes_count"] == dlts["final_unique_hashes_count"]


def test_parents_of_several_pages_lose_no_rows(api: Any, tmp_path: Path, native_only: Any) -> None:
    """dlt holds the children of a later page of parents against the highest cursor of the earlier ones, and asks for later
    parents' children from there.
    """
    server = Server()
    server.parents_a_page = 1
    url = api(server).url
    pipeline = make_pipeline(tmp_path, "p")
    placeholder = {"params": {"from": "{incremental.last_value}"}}
    made = config(url, {"cursor_path": "n", "initial_value": 2, "start_param": "since"}, placeholder, **KEY)
    pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    found = sorted((row["_parents_id"], row["n"]) for row in read_tables(pipeline)["events"])
    wanted = [(p, n) for p in range(N_PARENTS) for n in range(2, 10) if n % N_PARENTS == p or n % 4 == 0]
    assert found == wanted
    assert {tuple(json.loads(query)[1].values()) for query in server.queries} == {("2", "2")}


def test_a_missing_cursor_fails_as_in_dlt(api: Any, tmp_path: Path) -> None:
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        source = module.rest_api_source(config(api(Server()).url, {"cursor_path": "nope"}), name="api")
        with pytest.raises(Exception, match="Cursor element with JSON path"):
            pipeline.extract(source)
