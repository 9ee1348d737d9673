"""Resources that depend on others: chains of three, parents that come in many pieces, parents that are no tables.

dlt takes the children of several pages of parents in turns, headrace one after the other: columns that come to be on the way
may stand in another order.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dlt
import oracle
import pytest
from headrace._rest_api.job import Job
from headrace.sources.rest_api import rest_api_source
from oracle import run_both
from servers import Answer, Request

N_ORGS = 9


def tree(request: Request) -> Answer:
    """orgs -> orgs/N/teams -> orgs/N/teams/M/people; values change their types from parent to parent."""
    parts = request.path.strip("/").split("/")
    page = int(request.query.get("page", 0))
    if len(parts) == 1:
        found: Any = [{"id": n, "orgName": f"org {n}", "tags": ["x"] * (n % 2)} for n in range(page * 3, page * 3 + 3)]
        return Answer({"total": N_ORGS // 3, "items": found if page * 3 < N_ORGS else []})
    org = int(parts[1])
    if len(parts) == 3:
        teams = [{"id": f"{org}-{n}", "mixed": org if org % 3 else "text", "l": [{"v": n}]} for n in range(org % 3)]
        return Answer({"total": 1, "items": teams})
    people = [{"who": f"{parts[3]}/{n}", "late": {f"c{org % 4}": 1.5 if org % 2 else 1}} for n in range(2)]
    return Answer({"total": 1, "items": people})


def config(url: str, **orgs: Any) -> Any:
    """Three levels."""
    return {
        "client": {"base_url": url, "paginator": {"type": "page_number"}},
        "resource_defaults": {"endpoint": {"data_selector": "items"}},
        "resources": [
            {"name": "orgs", "endpoint": {"path": "orgs"}, **orgs},
            {
                "name": "teams",
                "endpoint": {"path": "orgs/{resources.orgs.id}/teams"},
                "include_from_parent": ["id", "orgName"],
            },
            {
                "name": "people",
                "endpoint": {"path": "orgs/{resources.teams._orgs_id}/teams/{resources.teams.id}/people"},
                "include_from_parent": ["_orgs_orgName", "id"],
            },
        ],
    }


@pytest.fixture(autouse=True)
def any_column_order(monkeypatch: Any) -> None:
    """Lets columns stand in any order."""
    in_order = oracle.schema_of

    def sorted_columns(pipeline: Any) -> Any:
        tables = in_order(pipeline)
        return {name: {**table, "columns": dict(table["columns"])} for name, table in tables.items()}

    monkeypatch.setattr(oracle, "schema_of", sorted_columns)


@pytest.mark.parametrize("selected", [True, False])
def test_three_levels(api: Any, tmp_path: Path, selected: bool, native_only: Any) -> None:
    server = api(tree)
    run_both(lambda: config(server.url, selected=selected), tmp_path, runs=2)


def test_the_middle_is_not_selected(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(tree)

    def make() -> Any:
        made = config(server.url)
        made["resources"][1]["selected"] = False
        return made

    run_both(make, tmp_path)


def test_parents_that_leave_in_many_tables(api: Any, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "1")
    server = api(tree)
    run_both(lambda: config(server.url), tmp_path)


@pytest.mark.parametrize("piece", [1, 2, 100])
def test_python_parents_in_pieces(api: Any, tmp_path: Path, piece: int, native_only: Any) -> None:
    server = api(tree)

    def make() -> Any:
        @dlt.resource(name="orgs", selected=False)
        def orgs() -> Any:
            found = [{"id": n, "orgName": f"org {n}"} for n in range(N_ORGS)]
            for start in range(0, N_ORGS, piece):
                yield found[start : start + piece]

        made = config(server.url)
        made["resources"][0] = orgs()
        return made

    run_both(make, tmp_path)


def test_pieces_of_parents_are_asked_side_by_side(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADRACE__FIRST_IN_FLIGHT_PER_HOST", "16")
    together = threading.Barrier(4)

    def handler(request: Request) -> Answer:
        if int(request.path.split("/")[2]) < 4:
            together.wait(10)  # or this breaks
        return tree(request)

    server = api(handler)

    @dlt.resource(name="orgs", selected=False)
    def orgs() -> Any:
        for n in range(N_ORGS):
            yield [{"id": n, "orgName": ""}]

    made = config(server.url)
    made["resources"] = [orgs(), made["resources"][1]]
    source = headrace_source(made)
    pipeline = dlt.pipeline("pieces", pipelines_dir=str(tmp_path), destination="duckdb")
    info = pipeline.extract(source)
    assert info.metrics


def headrace_source(made: Any) -> Any:
    """The configuration's source."""
    import headrace.sources.rest_api as rest_api

    return rest_api.rest_api_source(made, name="api")


def test_a_parent_without_records(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(lambda request: Answer({"total": 0, "items": []}))
    run_both(lambda: config(server.url), tmp_path)


def test_a_child_that_is_not_found_ends_the_run_or_is_ignored(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/orgs/4/teams":
            return Answer({"error": "gone"}, status=404)
        return tree(request)

    server = api(handler)

    def make() -> Any:
        made = config(server.url)
        made["resources"][1]["endpoint"]["response_actions"] = [{"status_code": 404, "action": "ignore"}]
        return made

    run_both(make, tmp_path)
    with pytest.raises(Exception, match="404 Client Error"):
        run_both(lambda: config(server.url), tmp_path / "fails")


def test_a_missing_parent_field_is_dlts_error(api: Any, tmp_path: Path) -> None:
    server = api(tree)
    made = config(server.url)
    made["resources"] = made["resources"][:2]
    made["resources"][1]["endpoint"]["path"] = "orgs/{resources.orgs.nope}/teams"
    pipeline = dlt.pipeline("missing", pipelines_dir=str(tmp_path), destination="duckdb")
    with pytest.raises(Exception, match="expects a field `nope` to be present"):
        pipeline.extract(headrace_source(made))


def test_siblings_and_children_together(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(tree)

    def make() -> Any:
        made = config(server.url)
        made["resources"].insert(0, {"name": "orgs_again", "endpoint": {"path": "orgs"}})
        made["resources"].append(
            {"name": "teams_again", "endpoint": {"path": "orgs/{resources.orgs_again.id}/teams"}, "primary_key": "id"}
        )
        return made

    run_both(make, tmp_path)


def test_parents_that_come_one_by_one_are_not_waited_for_in_each_turn(
    api: Any, tmp_path: Path, native_only: Any, monkeypatch: Any
) -> None:
    gate = threading.Event()  # nothing is answered before many have come

    def handler(request: Request) -> Answer:
        gate.wait(30)
        return Answer([{"id": int(request.path.rpartition("/")[2])}])

    server = api(handler)
    waits: list[int] = []
    original = Job.next

    def noted(self: Job, timeout_ms: int) -> Any:
        waits.append(timeout_ms)
        if len(waits) == 40:
            gate.set()
        return original(self, timeout_ms)

    monkeypatch.setattr(Job, "next", noted)
    parents = dlt.resource([{"number": number} for number in range(50)], name="parents", selected=False)
    endpoint: Any = {"path": "children/{resources.parents.number}", "paginator": "single_page"}
    config: Any = {
        "client": {"base_url": server.url},
        "resources": [parents, {"name": "children", "endpoint": endpoint}],
    }
    pipeline = dlt.pipeline("one_by_one", pipelines_dir=str(tmp_path), destination="duckdb")
    pipeline.extract(rest_api_source(config, name="api"))
    assert len(server.requests) == 50
    assert waits[:40] == [0] * 40
