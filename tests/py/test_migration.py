"""One pipeline, by dlt and by headrace in turn: state, schema and tables go on as if it had been dlt all the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
from oracle import assert_equal, make_pipeline
from servers import Answer, Request


def test_the_import_may_change_between_runs(api: Any, tmp_path: Path, native_only: Any) -> None:
    run = 0

    def handler(request: Request) -> Answer:
        if request.path != "/items":
            return Answer([{"n": run, "of": request.path}])
        page, since = int(request.query["page"]), int(request.query["since"])
        rows = [{"id": number, "at": number, "tags": ["a"] * (number % 3)} for number in range((run + 1) * 10)]
        rows = [{**row, "late": run} if run else row for row in rows if row["at"] >= since]
        return Answer({"total": 2, "items": rows[page * 5 : page * 5 + 5] if page == 0 else rows[5:]})

    url = api(handler).url
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    incremental = {"cursor_path": "at", "initial_value": 0}
    items = {
        "name": "items",
        "primary_key": "id",
        "write_disposition": "merge",
        "endpoint": {
            "path": "items",
            "params": {"since": "{incremental.start_value}"},
            "data_selector": "items",
            "paginator": paginator,
            "incremental": incremental,
        },
    }
    children = {
        "name": "children",
        "endpoint": {"path": "items/{resources.items.id}", "paginator": "single_page"},
        "include_from_parent": ["at"],
    }
    pipelines = []
    for name, modules in (("dlts", (dlt_rest_api,) * 3), ("mixed", (dlt_rest_api, rest_api, dlt_rest_api))):
        pipeline = make_pipeline(tmp_path / name, name)
        for run, module in enumerate(modules):
            made: Any = {"client": {"base_url": url}, "resources": [items, children]}
            pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    states = [pipeline.state["sources"]["api"]["resources"]["items"]["incremental"]["at"] for pipeline in pipelines]
    assert [state["last_value"] for state in states] == [29, 29]
    assert states[0] == states[1]
