"""dlt's own `rest_api` sources under `headrace.install()`: taken over however they are made, and the tables are dlt's."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import headrace
import headrace.plugin
import headrace.sources.rest_api
import pytest
from dlt.extract.reference import SourceReference
from dlt.sources.rest_api import rest_api, rest_api_resources, rest_api_source
from oracle import assert_equal, make_pipeline
from servers import Answer, Request


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    headrace.uninstall()
    yield
    headrace.uninstall()


def handler(request: Request) -> Answer:
    """Two pages of posts with nested lists; comments of each."""
    if request.path == "/posts":
        page = int(request.query["page"])
        rows = [{"id": page * 3 + n, "Title": f"t{n}", "tags": ["a"] * n, "mixed": n or "x"} for n in range(3)]
        return Answer({"total": 2, "items": rows})
    post = int(request.path.split("/")[2])
    return Answer({"total": 1, "items": [{"id": post * 10 + n, "text": "é"} for n in range(post % 3)]})


def config(url: str, **posts: Any) -> Any:
    """Posts and their comments."""
    return {
        "client": {"base_url": url, "paginator": {"type": "page_number"}},
        "resources": [
            {"name": "posts", "endpoint": {"path": "posts"}, "primary_key": "id", **posts},
            {
                "name": "comments",
                "endpoint": {"path": "posts/{resources.posts.id}/comments"},
                "include_from_parent": ["id"],
            },
        ],
    }


def by_wrapped_source(made: Any) -> Any:
    """dlt's documented way for a source with other resources beside."""

    @dlt.source(name="api")
    def own() -> Any:
        yield from rest_api_resources(made)
        yield dlt.resource([{"x": 1, "y": [1, 2]}], name="beside")

    return own()


def by_clone(made: Any) -> Any:
    return rest_api.clone(name="api")(**made)


def by_reference(made: Any) -> Any:
    return SourceReference.from_reference("rest_api", source_kwargs=made, name="api")


WAYS: dict[str, Callable[[Any], Any]] = {
    "rest_api_source": lambda made: rest_api_source(made, name="api"),
    "parallelized": lambda made: rest_api_source(made, name="api", parallelized=True),
    "clone": by_clone,
    "reference": by_reference,
    "resources_in_a_source": by_wrapped_source,
    "a_copy": lambda made: rest_api_source(made, name="api").with_resources("posts", "comments"),
}


def resources(pipeline: dlt.Pipeline) -> Any:
    """The status of the last load's resources."""
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    found = headrace.status().get(load_id, {}).get("resources")
    return found and {name: {k: v for k, v in one.items() if k != "counts"} for name, one in found.items()}


WITH_EVERY_DLT = ("reference", "resources_in_a_source")
NATIVE = {"native": True, "reason": None, "in_python": [], "in_normalize": None, "warnings": [], "skipped": []}


@pytest.mark.parametrize(
    ("way", "formats"),
    [
        *(pytest.param(way, None, marks=[pytest.mark.every_dlt] * (way in WITH_EVERY_DLT)) for way in WAYS),
        ("rest_api_source", "parquet"),
        pytest.param("rest_api_source", "jsonl", marks=pytest.mark.every_dlt),
    ],
)
def test_a_source_is_taken_over(api: Any, tmp_path: Path, way: str, formats: Any) -> None:
    server = api(handler)
    pipelines = []
    for side in ("by_dlt", "ours"):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for _ in range(2):
            pipeline.run(WAYS[way](config(server.url)), loader_file_format=formats, write_disposition="append")
        pipelines.append(pipeline)
        headrace.install()
    assert_equal(*pipelines)
    assert not resources(pipelines[0])
    found = resources(pipelines[1])
    assert found == {"posts": NATIVE, "comments": NATIVE}
    assert not [request for request in server.requests if request.headers["User-Agent"] != f"dlt/{dlt.__version__}"]


@pytest.mark.every_dlt
def test_a_source_made_before_is_taken_over(api: Any, tmp_path: Path) -> None:
    server = api(handler)
    source = rest_api_source(config(server.url), name="api")
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(source)
    assert resources(pipeline) == {"posts": NATIVE, "comments": NATIVE}


@pytest.mark.every_dlt
def test_a_source_made_under_install_is_dlts_after_uninstall(api: Any, tmp_path: Path) -> None:
    server = api(handler)
    headrace.install()
    source = rest_api_source(config(server.url), name="api")
    headrace.uninstall()
    assert not rest_api._postprocessors
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(source)
    why = {**NATIVE, "native": False, "reason": "headrace was uninstalled"}
    assert resources(pipeline) == {"posts": why, "comments": why}


@pytest.mark.parametrize("by", ["argument", "configuration"])
def test_rest_api_can_be_left_out(api: Any, tmp_path: Path, monkeypatch: Any, by: str) -> None:
    server = api(handler)
    if by == "argument":
        headrace.install(rest_api=False)
    else:
        monkeypatch.setattr(headrace._install, "_wanted", None)
        importlib.reload(headrace.plugin)  # as dlt loads it
        monkeypatch.setenv("HEADRACE__ENABLED", "true")
        monkeypatch.setenv("HEADRACE__REST_API", "false")
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api_source(config(server.url), name="api"))
    assert resources(pipeline) == {}
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    assert headrace.status()[load_id]["tables"]["posts"]["native"]


def test_what_is_left_to_dlt_says_why(api: Any, tmp_path: Path, said: list[str]) -> None:
    server = api(handler)
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")
    source = rest_api_source(config(server.url, columns={"id": {"data_type": "wei"}}), name="api")
    pipeline.run(source)
    found = resources(pipeline)
    assert found["posts"] == {**NATIVE, "in_normalize": "column `posts.id` is hinted as wei"}
    assert found["comments"] == NATIVE
    assert not said  # the user asked for no other source: the status says it


def test_headraces_own_source_stays_native_without_install(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    headrace.install()
    source = headrace.sources.rest_api.rest_api_source(config(server.url), name="api")
    headrace.uninstall()
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(source)
    assert resources(pipeline) == {"posts": NATIVE, "comments": NATIVE}


@pytest.mark.every_dlt
def test_reading_a_source_gives_dlts_pages(api: Any) -> None:
    server = api(handler)
    read = [list(rest_api_source(config(server.url), name="api"))]
    headrace.install()
    read.append(list(rest_api_source(config(server.url), name="api")))
    assert read[0] == read[1]


PROGRAM = """
import json, sys
import dlt
from dlt.sources.rest_api import rest_api_source
made = json.loads(sys.argv[1])
source = rest_api_source(made, name="api")  # the first thing that reads dlt's configuration
pipeline = dlt.pipeline("p", pipelines_dir=sys.argv[2], destination=dlt.destinations.duckdb(sys.argv[2] + "/p.duckdb"))
pipeline.run(source)
import headrace
found = next(iter(headrace.status().values()))["resources"]
print(json.dumps({name: {k: v for k, v in one.items() if k != "counts"} for name, one in found.items()}))
"""


def test_by_configuration_alone_the_first_source_is_taken_over(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    server = api(handler)
    monkeypatch.setenv("HEADRACE__ENABLED", "true")
    command = [sys.executable, "-c", PROGRAM, json.dumps(config(server.url)), str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout.splitlines()[-1]) == {"posts": NATIVE, "comments": NATIVE}
