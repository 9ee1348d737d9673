"""POST searches whose pages are asked for in the body: every paginator that can, natively, as dlt asks and with its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import assert_equal, make_pipeline
from servers import Answer, Request
from test_rest_api_requests import config

TOTAL, SIZE = 23, 5


def records(first: int, last: int) -> list[dict[str, Any]]:
    """Nested records [first, last)."""
    return [
        {"id": number, "tags": [{"t": number}], "deep": {"at": "2024-01-02T03:04:05Z"}}
        for number in range(first, min(last, TOTAL))
    ]


def dig(body: Any, path: str, default: int) -> int:
    """The number at a path of names."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return default if body is None else int(body)


def search(path: str, step: int, base: int = 0) -> Any:
    """A search whose body says at `path` where the page begins, in steps of so many records."""

    def handler(request: Request) -> Answer:
        kind = request.headers.get("Content-Type", "")
        body = (
            json.loads(request.body)
            if "json" in kind
            else {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        )
        query = {**request.query, **body}
        first = (dig(query, path, base) - base) * step
        found = records(first, first + SIZE)
        more = first + SIZE < TOTAL
        answer: dict[str, Any] = {
            "hits": {"items": found, "total": TOTAL, "pages": -(-TOTAL // SIZE)},
            "next": str(first // step + SIZE // step) if more else None,
            "more": more,
            "asked": request.method,
        }
        return Answer(answer, headers={"X-Next": answer["next"]} if more else {})

    return handler


# name: (what the server reads, records a step, first value, paginator, endpoint)
CASES: dict[str, tuple[str, int, int, Any, dict[str, Any]]] = {
    "cursor": ("paging.after", 1, 0, {"type": "cursor", "cursor_path": "next", "cursor_body_path": "paging.after"}, {}),
    "cursor in the query": ("after", 1, 0, {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}, {}),
    "cursor of a header": (
        "after",
        1,
        0,
        {"type": "header_cursor", "cursor_key": "X-Next", "cursor_param": "after"},
        {},
    ),
    "offset": (
        "page.from",
        1,
        0,
        {
            "type": "offset",
            "limit": SIZE,
            "offset_body_path": "page.from",
            "limit_body_path": "page.size",
            "total_path": "hits.total",
        },
        {},
    ),
    "offset until an empty page": (
        "from",
        1,
        0,
        {"type": "offset", "limit": SIZE, "offset_body_path": "from", "limit_body_path": "size", "total_path": None},
        {},
    ),
    "page number": (
        "page",
        SIZE,
        1,
        {"type": "page_number", "base_page": 1, "page_body_path": "page", "total_path": "hits.pages"},
        {},
    ),
    "page number, has_more": (
        "search.page",
        SIZE,
        0,
        {"type": "page_number", "page_body_path": "search.page", "total_path": None, "has_more_path": "more"},
        {"json": {"search": {"text": "ä", "filters": [{"f": 1}]}}},
    ),
    "a form, page in the query": (
        "page",
        SIZE,
        0,
        {"type": "page_number", "total_path": "hits.pages"},
        {"data": {"text": "a b&c"}, "json": None},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_paginator(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    path, step, base, paginator, more = CASES[name]
    endpoint = {"method": "POST", "json": {"text": "a"}, "data_selector": "hits.items", "paginator": paginator, **more}
    endpoint = {key: value for key, value in endpoint.items() if value is not None}

    asked: list[list[str]] = []
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = api(search(path, step, base))
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        source = module.rest_api_source(config(server.url, None, json.loads(json.dumps(endpoint))), name="api")
        load_id = pipeline.run(source, loader_file_format="parquet").loads_ids[0]
        asked.append([repr((r.method, r.query, r.headers.get("Content-Type"), r.body)) for r in server.requests])
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert len(asked[0]) == (6 if name == "offset until an empty page" else 5)
    is_ahead = "offset" in name or "page" in name  # pages are asked for side by side, maybe some beyond the last
    assert set(asked[0]) <= set(asked[1]) if is_ahead else asked[0] == asked[1]
    status = headrace.status()[load_id]["resources"]["items"]
    assert (status["native"], status["in_python"], status["in_normalize"]) == (True, [], None)


def test_incremental_and_parents_in_the_body(api: Any, tmp_path: Path, native_only: Any) -> None:
    """Placeholders keep their type in JSON bodies; each parent's pages are in its own body."""

    def handler(request: Request) -> Answer:
        body = json.loads(request.body)
        if request.path == "/groups":
            return Answer({"items": [{"id": 7, "at": "2024-01-02"}, {"id": 8, "at": "2024-01-03"}]})
        assert isinstance(body["group"], int)
        return Answer({"items": [{"id": body["page"], "group": body["group"]}] if body["page"] < 3 else []})

    def make(url: str) -> Any:
        groups = {
            "path": "groups",
            "method": "POST",
            "json": {"since": "{incremental.start_value}"},
            "incremental": {"cursor_path": "at", "initial_value": "2024-01-01"},
            "paginator": "single_page",
        }
        items = {
            "path": "items",
            "method": "POST",
            "json": {"group": "{resources.groups.id}", "fixed": [1, None]},
            "paginator": {"type": "page_number", "page_body_path": "page", "total_path": None},
        }
        return {
            "client": {"base_url": url},
            "resources": [{"name": "groups", "endpoint": groups}, {"name": "items", "endpoint": items}],
        }

    server = api(handler)
    pipeline = make_pipeline(tmp_path, "bodies")
    pipeline.run(rest_api.rest_api_source(make(server.url), name="api"), loader_file_format="parquet")
    assert pipeline.last_trace.last_normalize_info.row_counts["items"] == 6
    assert json.loads(server.requests[0].body) == {"since": "2024-01-01"}


def test_a_post_is_made_again_only_when_told(api: Any, tmp_path: Path) -> None:
    """A refusal (503) is no doubt; an error of the server (502) may have had an effect."""
    seen: list[int] = []

    def run(status: int, **more: Any) -> None:
        def handler(request: Request) -> Answer:
            seen.append(len(seen))
            return Answer({"items": [{"id": 1}]}, status=status if len(seen) == 1 else 200)

        seen.clear()
        endpoint = {"method": "POST", "json": {"q": 1}, "paginator": "single_page", **more}
        source = rest_api.rest_api_source(config(api(handler).url, None, endpoint), name="api")
        make_pipeline(tmp_path / str(status), "again").extract(source)

    told = {"methods": ["GET", "POST"], "backoff": 0.01}
    run(503, retry=told)
    assert len(seen) == 2
    run(502, retry=told)
    assert len(seen) == 2
    with pytest.raises(PipelineStepFailed, match="502"):
        run(502, retry={"backoff": 0.01})
    assert len(seen) == 1
