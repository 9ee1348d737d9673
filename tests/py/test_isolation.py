"""`on_error`: what fails is left out, said, and asked for again; the rest is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import headrace
import headrace.cli
import headrace.sources.rest_api as rest_api
import pytest
import requests
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables
from servers import Answer, Request


class Server:
    """Parents with children; those in `broken` answer 403, those in `cut` with half a body."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.cut: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request.path)
        if request.path in self.broken:
            return Answer({"error": "no"}, status=403)
        if request.path in self.cut:
            return Answer(b'{"items": [{"id": 1}, {"i')
        if request.path == "/parents":
            return Answer({"items": [{"id": n, "at": n} for n in range(6)]})
        if request.path == "/others":
            return Answer({"items": [{"id": n} for n in range(3)]})
        parent = int(request.path.split("/")[2])
        return Answer({"items": [{"id": parent * 10 + n, "at": parent * 10 + n} for n in range(2)]})


def config(url: str, on_error: str, **children: Any) -> Any:
    """Parents, children and others."""
    return {
        "client": {"base_url": url, "paginator": "single_page", "on_error": on_error},
        "resource_defaults": {"endpoint": {"data_selector": "items"}},
        "resources": [
            {"name": "parents", "endpoint": {"path": "parents"}},
            {
                "name": "children",
                "primary_key": "id",
                "endpoint": {"path": "parents/{resources.parents.id}/children", **children.pop("endpoint", {})},
                "include_from_parent": ["at"],
                **children,
            },
            {"name": "others", "endpoint": {"path": "others"}},
        ],
    }


def run(pipeline: dlt.Pipeline, made: Any, *names: str) -> dict[str, Any]:
    """One load; the status of its resources."""
    source = rest_api.rest_api_source(made, name="api")
    info = pipeline.run(source.with_resources(*names) if names else source)
    return headrace.status()[info.loads_ids[0]]["resources"]


def ids(pipeline: dlt.Pipeline, table: str) -> list[int]:
    return sorted(row["id"] for row in read_tables(pipeline)[table])


def children_of(*parents: int) -> list[int]:
    return sorted(parent * 10 + n for parent in parents for n in range(2))


def state(pipeline: dlt.Pipeline, resource: str) -> Any:
    return pipeline.state.get("sources", {}).get("api", {}).get("resources", {}).get(resource, {})


def test_keys_of_a_url_are_not_in_the_state(tmp_path: Path, logged: list[str]) -> None:
    """requests' own texts have the URL; the state goes to the destination."""
    made = config("http://127.0.0.1:9", "skip_resource")
    made["client"]["session"] = requests.Session()
    made["resources"][0]["endpoint"]["params"] = {"api_key": "5ecret", "q": 1}
    pipeline = make_pipeline(tmp_path, "p")
    (left,) = run(pipeline, made, "parents")["parents"]["skipped"]
    assert "/parents?api_key=***&q=1" in left["error"] and left["url"].endswith("/parents?api_key=***&q=1")
    assert "5ecret" not in str(state(pipeline, "parents")) + " ".join(logged)


@pytest.mark.parametrize("kind", ["broken", "cut"])
def test_parents_that_fail_are_left_out_and_asked_again(api: Any, tmp_path: Path, native_only: Any, kind: str) -> None:
    server = Server()
    url = api(server).url
    getattr(server, kind).update({"/parents/2/children", "/parents/4/children"})
    pipeline = make_pipeline(tmp_path, "p")
    found = run(pipeline, config(url, "skip_parent"))
    assert ids(pipeline, "children") == children_of(0, 1, 3, 5)
    assert ids(pipeline, "parents") == list(range(6))
    skipped = sorted(found["children"]["skipped"], key=lambda one: str(one["url"]))  # they fail side by side
    assert [one["parent"] for one in skipped] == [{"at": 2, "id": 2}, {"at": 4, "id": 4}]
    assert skipped[0]["url"].endswith("/parents/2/children")
    assert ("403 Client Error" if kind == "broken" else "decode: ") in skipped[0]["error"]
    assert found["children"]["counts"]["skipped"] == 2
    assert not found["others"]["skipped"]
    assert len(state(pipeline, "children")["headrace_skipped"]) == 2
    trace = pipeline.last_trace.last_extract_info
    metrics = next(iter(trace.metrics.values()))[0]["resource_metrics"]["children"].custom_metrics
    assert metrics["headrace"]["skipped"] == 2

    # the next run asks for them first, and once
    server.broken.clear()
    server.cut.clear()
    server.asked.clear()
    run(pipeline, config(url, "skip_parent"))
    asked = [path for path in server.asked if path.endswith("/children")]
    assert sorted(asked) == [f"/parents/{n}/children" for n in range(6)]
    assert "headrace_skipped" not in state(pipeline, "children")
    assert set(ids(pipeline, "children")) == set(children_of(*range(6)))


def test_parents_that_come_no_more_are_asked_again(api: Any, tmp_path: Path, native_only: Any) -> None:
    """The parents have an incremental: those that were left out do not come with the next run."""
    server = Server()
    url = api(server).url
    server.broken.add("/parents/2/children")

    def make() -> Any:
        made = config(url, "skip_parent", write_disposition="merge")
        incremental = {"cursor_path": "at", "initial_value": 0, "primary_key": []}
        made["resources"][0]["endpoint"]["incremental"] = incremental
        return made

    pipeline = make_pipeline(tmp_path, "p")
    run(pipeline, make())
    assert ids(pipeline, "children") == children_of(0, 1, 3, 4, 5)
    server.broken.clear()
    server.asked.clear()
    run(pipeline, make())
    asked = [path for path in server.asked if path.endswith("/children")]  # side by side
    assert sorted(asked) == ["/parents/2/children", "/parents/5/children"]
    assert ids(pipeline, "children") == children_of(*range(6))


def test_parents_left_out_are_asked_again_where_no_parent_comes(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    server.broken.add("/parents/2/children")

    def make() -> Any:
        made = config(url, "skip_parent", write_disposition="merge")
        made["resources"][0]["endpoint"]["incremental"] = {"cursor_path": "at", "initial_value": 0}
        return made

    pipeline = make_pipeline(tmp_path, "p")
    run(pipeline, make())
    server.broken.clear()
    server.asked.clear()
    found = run(pipeline, make())
    assert found["parents"]["counts"]["rows"] == 0
    assert [path for path in server.asked if path.endswith("/children")] == ["/parents/2/children"]
    assert set(ids(pipeline, "children")) == set(children_of(*range(6)))
    assert "headrace_skipped" not in state(pipeline, "children")
    server.asked.clear()
    run(pipeline, make())
    assert not [path for path in server.asked if path.endswith("/children")]


def test_an_incremental_does_not_go_past_what_is_left_out(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    server.broken.add("/parents/0/children")
    endpoint = {"incremental": {"cursor_path": "at", "initial_value": 0}}
    pipeline = make_pipeline(tmp_path, "p")
    made = config(url, "skip_parent", endpoint=endpoint, write_disposition="merge")
    run(pipeline, made)
    assert ids(pipeline, "children") == children_of(*range(1, 6))
    server.broken.clear()
    run(pipeline, config(url, "skip_parent", endpoint=endpoint, write_disposition="merge"))
    assert ids(pipeline, "children") == children_of(*range(6))
    assert state(pipeline, "children")["incremental"]["at"]["last_value"] == 51


def test_a_resource_that_fails_is_left_out(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    url = api(server).url
    server.broken.update({"/others", "/parents/3/children"})
    pipeline = make_pipeline(tmp_path, "p")
    found = run(pipeline, config(url, "skip_resource"))
    assert ids(pipeline, "parents") == list(range(6))
    tables = read_tables(pipeline)
    assert {row["id"] for row in tables.get("children", [])} <= set(
        children_of(0, 1, 2)
    )  # or none: all are under way at once
    assert "others" not in tables
    assert found["others"]["skipped"][0]["parent"] is None
    assert found["children"]["skipped"][0]["url"].endswith("/parents/3/children")
    server.broken.clear()
    run(pipeline, config(url, "skip_resource"))
    assert ids(pipeline, "others") == [0, 1, 2]
    assert not state(pipeline, "others")


def test_a_replaced_resource_is_not_left_out(api: Any, tmp_path: Path) -> None:
    """Its table would be emptied."""
    server = Server()
    url = api(server).url
    pipeline = make_pipeline(tmp_path, "p")

    def make() -> Any:
        made = config(url, "skip_resource")
        made["resources"][2]["write_disposition"] = "replace"
        return made

    run(pipeline, make())
    server.broken.add("/others")
    with pytest.raises(PipelineStepFailed, match="403 Client Error"):
        run(pipeline, make())
    assert ids(pipeline, "others") == [0, 1, 2]


@pytest.mark.parametrize("on_error", ["raise", "skip_parent"])
def test_what_is_not_to_be_left_out_fails(api: Any, tmp_path: Path, on_error: str) -> None:
    server = Server()
    server.broken.add("/parents" if on_error == "skip_parent" else "/parents/1/children")
    with pytest.raises(PipelineStepFailed, match="403 Client Error"):
        run(make_pipeline(tmp_path, "p"), config(api(server).url, on_error))


def test_an_error_of_the_configuration_is_not_left_out(api: Any, tmp_path: Path) -> None:
    made = config(api(Server()).url, "skip_parent", endpoint={"path": "parents/{resources.parents.nope}/children"})
    made["resources"][1]["endpoint"]["path"] = "parents/{resources.parents.nope}/children"
    with pytest.raises(PipelineStepFailed, match="nope"):
        run(make_pipeline(tmp_path, "p"), made)


def test_a_host_that_is_down_is_left_alone(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """The circuit breaker: after three requests without any answer the other parents' fail at once."""
    monkeypatch.setenv("HEADRACE__MAX_IN_FLIGHT_PER_HOST", "1")
    n_parents = 200

    def handler(request: Request) -> Answer:
        if request.path == "/parents":
            return Answer([{"id": number} for number in range(n_parents)])
        return Answer(raw=b"")  # closed without a word

    server = api(handler)
    retry = {"max_attempts": 2, "backoff": 0.001, "breaker": {"requests": 3, "seconds": 600}}
    endpoint = {"path": "parents/{resources.parents.id}", "paginator": "single_page", "on_error": "skip_parent"}
    made: Any = {
        "client": {"base_url": server.url, "retry": retry},
        "resources": [
            {"name": "parents", "endpoint": {"path": "parents", "paginator": "single_page"}},
            {"name": "children", "endpoint": endpoint},
        ],
    }
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    found = headrace.status()[pipeline.last_trace.last_extract_info.loads_ids[-1]]["resources"]["children"]
    assert len(found["skipped"]) == n_parents
    assert "circuit breaker" in found["skipped"][-1]["error"], found["skipped"][-1]
    asked = [request for request in server.requests if request.path != "/parents"]
    assert 3 <= len(asked) <= 12, len(asked)  # of 400


def test_missing_pages_of_a_parent_are_left_out_too(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        answer = Server()(request)
        if request.path == "/parents/1/children":
            answer.headers["X-Total-Count"] = "5"
        return answer

    made = config(api(handler).url, "skip_parent", endpoint={"on_incomplete": "raise"})
    pipeline = make_pipeline(tmp_path, "p")
    found = run(pipeline, made)
    assert "expected 5 records by header X-Total-Count, found 2" in found["children"]["skipped"][0]["error"]
    assert ids(pipeline, "children") == children_of(0, 2, 3, 4, 5)


def test_a_session_of_the_users_and_steps(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = Server()
    server.broken.add("/parents/2/children")
    made = config(api(server).url, "skip_parent", processing_steps=[{"map": lambda record: {**record, "m": 1}}])
    made["client"]["session"] = requests.Session()
    pipeline = make_pipeline(tmp_path, "p")
    found = run(pipeline, made)
    assert ids(pipeline, "children") == children_of(0, 1, 3, 4, 5)
    assert found["children"]["skipped"][0]["parent"] == {"at": 2, "id": 2}


def test_what_was_left_out_is_in_the_trace_the_state_and_the_exit_status(
    api: Any, tmp_path: Path, capsys: Any, native_only: Any
) -> None:
    server = Server()
    url = api(server).url
    server.broken.add("/parents/2/children")
    pipeline = make_pipeline(tmp_path, "p")
    found = run(pipeline, config(url, "skip_parent"))["children"]["skipped"]
    assert [(one["parent"], one["url"]) for one in found] == [({"at": 2, "id": 2}, f"{url}/parents/2/children")]
    (metrics,) = pipeline.last_trace.last_extract_info.metrics.values()
    assert metrics[0]["resource_metrics"]["children"].custom_metrics["headrace_skipped"] == found
    assert "headrace_skipped" not in metrics[0]["resource_metrics"]["others"].custom_metrics
    assert headrace.skipped(pipeline) == {"api.children": found}

    arguments = ["skipped", "p", "--pipelines-dir", str(tmp_path / "pipelines")]
    assert headrace.cli.main(arguments) == 3
    out = capsys.readouterr().out
    assert f"api.children: 1 left out\n  parent {{'at': 2, 'id': 2}}, {url}/parents/2/children: 403 Client Error" in out
    assert "(the next run asks for it first)" in out

    server.broken.clear()
    run(pipeline, config(url, "skip_parent"))
    assert headrace.skipped(pipeline) == {}
    assert headrace.cli.main(arguments) == 0 and capsys.readouterr().out == ""
    arguments[1] = "q"
    assert headrace.cli.main(arguments) == 2 and "headrace skipped: " in capsys.readouterr().err
