"""What the normalize door once left to dlt and now does itself: whole pipelines equal dlt's, and the engine had the table."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dlt
import headrace
import pytest
from dlt.common.wei import Wei
from headrace._normalize import reasons as _normalize_reasons
from headrace._normalize.dlt_versions import dlt_version
from oracle import assert_equal, make_pipeline

Change = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test starts and ends without the engine."""
    headrace.uninstall()
    yield
    headrace.uninstall()


def users(first: int) -> list[dict[str, Any]]:
    """Records with nested objects and lists."""
    return [
        {
            "id": number,
            "name": f"user {number}",
            "secret": "s" * (number % 4) or None,
            "address": {"city": "Å", "geo": {"lat": number / 2, "lon": 1}, "secret": number},
            "tags": ["a", "b"][: number % 3],
            "orders": [{"sku": k, "secret": "x", "lines": [{"n": k}]} for k in range(number % 3)],
            "logs": [{"at": number, "more": [1, 2], "deep": {"x": None}}, {"at": None, "deep": {}}],
        }
        for number in range(first, first + 200)
    ]


def load(folder: Path, name: str, change: Change, **hints: Any) -> tuple[dlt.Pipeline, dict[str, Any]]:
    """Two loads of users. Returns the pipeline and what `status` says of the last one."""

    @dlt.source(schema=dlt.Schema("people"))
    def people(first: int) -> Any:
        return dlt.resource(users(first), name="users", **hints)

    pipeline = make_pipeline(folder / name, name)
    for first in (0, 100):
        source = people(first)
        change(source)
        pipeline.run(source, loader_file_format="parquet")
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    return pipeline, dict(headrace.status().get(load_id, {}).get("tables", {}).get("users", {}))


def filters(**lists: list[str]) -> Change:
    """A source with row filters on its table."""
    return lambda source: source.schema.update_table({"name": "users", "columns": {}, "filters": lists})


CHANGES: dict[str, tuple[Change, int]] = {  # and how many records of the last load dlt takes
    "filter of columns": (filters(excludes=["re:secret", "re:^address__geo"]), 0),
    "filter of a table": (filters(excludes=["re:^logs", "re:^orders__lines"]), 0),
    "filter with exceptions": (
        filters(
            excludes=["re:^orders", "re:^logs", "re:^name$"],
            includes=["re:^orders__sku$", "re:^orders__secret$", "re:^orders___dlt_"],
        ),
        0,
    ),
    "not_null by pattern": (lambda source: source.schema.merge_hints({"not_null": ["re:^address__city$", "name"]}), 0),
    "a preferred type json": (
        lambda source: source.schema.update_preferred_types({"re:^(logs|address__geo)$": "json"}),
        0,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_settings_by_column_name_are_native(name: str, tmp_path: Path) -> None:
    change, n_by_dlt = CHANGES[name]
    by_dlt, _ = load(tmp_path, "by_dlt", change)
    headrace.install()
    ours, status = load(tmp_path, "ours", change)
    assert (status["native"], status["by_dlt"]) == (True, n_by_dlt), status
    assert_equal(by_dlt, ours)


def values(number: int) -> dict[str, Any]:
    """A record whose columns have seen other types before."""
    zone = datetime.timezone(datetime.timedelta(hours=number % 5))
    moment = datetime.datetime(2024, 1, 1, 12, 30, 15, number % 2 * 500, [None, zone][number % 3 == 1])
    return {
        "text": [moment, b"b" * (number % 4), Decimal(number) / 8, moment.date(), moment.time()][number % 5],
        "day": [moment, moment.date(), "2024-02-29"][number % 3],
        "number": [Decimal(number), Decimal("1E+2"), number][number % 3],
        "wei": [Wei.from_int256(2**100 + number), number, "0x1f", Decimal(number)][number % 4],
        "new_wei": Wei.from_int256(number) if number > 50 else None,
    }


@pytest.mark.every_dlt
@pytest.mark.parametrize("formats", ["parquet", "insert_values", "jsonl"])
def test_typed_values_are_native(formats: str, tmp_path: Path) -> None:
    hints: dict[str, Any] = {
        "text": {"data_type": "text"},
        "day": {"data_type": "date"},
        "number": {"data_type": "bigint"},
    }
    hints["wei"] = {"data_type": "wei"}

    def load_values(name: str) -> dlt.Pipeline:
        pipeline = make_pipeline(tmp_path / name, name)
        resource = dlt.resource([values(number) for number in range(500)], name="t", columns=hints)
        pipeline.run(resource, loader_file_format=formats)  # type: ignore[arg-type]
        return pipeline

    by_dlt = load_values("by_dlt")
    headrace.install()
    ours = load_values("ours")
    table = headrace.status()[ours.last_trace.last_normalize_info.loads_ids[-1]]["tables"]["t"]
    if dlt_version() >= (1, 31):
        assert (table["native"], table["by_dlt"]) == (True, 0)
    assert_equal(by_dlt, ours)


def test_rows_that_lose_dlts_own_columns_are_dlts(tmp_path: Path) -> None:
    """`re:^orders` takes their ids too; what `includes` lets in has none."""
    change = filters(excludes=["re:^orders"], includes=["re:^orders__sku$"])
    by_dlt, _ = load(tmp_path, "by_dlt", change)
    headrace.install()
    ours, status = load(tmp_path, "ours", change)
    assert status["by_dlt"] > 0
    assert rows(ours) == rows(by_dlt)


def test_other_marks_of_typed_text_are_dlts(tmp_path: Path) -> None:
    headrace.install()
    with mock.patch.object(_normalize_reasons, "PUA_START", 0xE000):
        _, status = load(tmp_path, "ours", lambda source: None)
    assert (status["native"], status["reason"]) == (False, "DLT_JSON_TYPED_PUA_START")


def rows(pipeline: dlt.Pipeline) -> list[Any]:
    """What is in the table without links."""
    with pipeline.sql_client() as client:
        return list(client.execute_sql("SELECT * FROM users__orders ORDER BY ALL") or [])
