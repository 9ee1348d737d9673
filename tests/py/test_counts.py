"""Records received = rows loaded + left out by the incremental or steps + discarded by contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from oracle import make_pipeline, read_tables
from servers import Answer, Request

PAGES, A_PAGE = 8, 100
KNOWN = {"id": {"data_type": "bigint"}, "n": {"data_type": "bigint"}}


def record(number: int) -> dict[str, Any]:
    """Some have a column that is new, a value of another type, a list."""
    more: dict[str, Any] = {"late": 1} if number % 7 == 3 else {}
    more |= {"tags": ["a"]} if number % 11 == 5 else {}
    return {"id": number, "n": "text" if number % 13 == 6 else number, **more}


ALL = [record(number) for number in range(PAGES * A_PAGE)]
CONTRACTS: dict[str, tuple[Any, int]] = {
    "none": (None, 0),
    "columns": ({"columns": "discard_row"}, sum("late" in one for one in ALL)),
    "types": ({"data_type": "discard_row"}, sum(one["n"] == "text" for one in ALL)),
    "both": (
        {"columns": "discard_row", "data_type": "discard_row"},
        sum("late" in one or one["n"] == "text" for one in ALL),
    ),
    "values": ({"columns": "discard_value", "data_type": "discard_value"}, 0),
    "tables": ({"tables": "discard_row"}, 0),
}


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    yield
    headrace.uninstall()


def counts_of(pipeline: dlt.Pipeline) -> Any:
    return headrace.status()[pipeline.last_trace.last_normalize_info.loads_ids[-1]]


def begin(pipeline: dlt.Pipeline, resource: Any) -> None:
    """A first load, so that the table is there and contracts hold."""
    pipeline.run(resource, loader_file_format="parquet")


@pytest.mark.parametrize("name", list(CONTRACTS))
@pytest.mark.parametrize("by_dlt", [False, True])
def test_a_table_in_the_normalize_step(tmp_path: Path, monkeypatch: Any, name: str, by_dlt: bool) -> None:
    """by_dlt: dlt normalizes all records."""
    contract, discarded = CONTRACTS[name]
    if by_dlt:
        monkeypatch.setenv("HEADRACE__NATIVE", "false")
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")

    def given(rows: Any, contract: Any) -> Any:
        return dlt.resource(rows, name="t", columns=KNOWN, schema_contract=contract)

    begin(pipeline, given([{"id": -1, "n": 0}], None))
    pipeline.run(given([ALL[first : first + A_PAGE] for first in range(0, len(ALL), A_PAGE)], contract))
    found = counts_of(pipeline)["tables"]["t"]
    assert found["native"] != by_dlt
    assert (found["received"], found["discarded"]) == (len(ALL), discarded)
    assert found["rows"] == len(ALL) - discarded == len(read_tables(pipeline)["t"]) - 1
    assert pipeline.last_trace.last_normalize_info.row_counts["t"] == found["rows"]


@pytest.mark.parametrize("name", ["columns", "both", "values"])
def test_a_resource_with_an_incremental(api: Any, tmp_path: Path, native_only: Any, name: str) -> None:
    contract, _ = CONTRACTS[name]

    def handler(request: Request) -> Answer:
        if request.path == "/first":
            return Answer([{"id": 99, "n": 0}])
        page = int(request.query["page"])
        return Answer({"total": PAGES, "items": ALL[page * A_PAGE : (page + 1) * A_PAGE]})

    url = api(handler).url

    def made(path: str) -> Any:
        first = path == "first"
        paginator: Any = "single_page" if first else {"type": "page_number", "base_page": 0, "total_path": "total"}
        endpoint = {"path": path, "paginator": paginator, "data_selector": "$" if first else "items"}
        endpoint["incremental"] = {"cursor_path": "id", "initial_value": 0}
        resource = {"name": "t", "endpoint": endpoint, "columns": KNOWN, "schema_contract": contract}
        return rest_api.rest_api_source({"client": {"base_url": url}, "resources": [resource]}, name="api")

    pipeline = make_pipeline(tmp_path, "p")
    begin(pipeline, made("first"))
    pipeline.run(made("all"))
    status = counts_of(pipeline)
    resource, table = status["resources"]["t"]["counts"], status["tables"]["t"]
    n_loaded = len(read_tables(pipeline)["t"]) - 1
    assert resource["records"] == len(ALL) == resource["left_out"] + table["discarded"] + n_loaded
    assert (resource["left_out"], table["received"], table["rows"]) == (99, resource["rows"], n_loaded)
    assert table["discarded"] == (0 if name == "values" else sum(_violates(one, name) for one in ALL[99:]))


def _violates(one: dict[str, Any], name: str) -> bool:
    return "late" in one or (name == "both" and one["n"] == "text")
