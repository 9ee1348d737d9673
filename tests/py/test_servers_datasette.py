"""Datasette, an API over SQLite: each way that it pages, through dlt's rest_api and headrace, tables equal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace
import headrace.sources.rest_api as rest_api
import programs
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables, run_both

pytestmark = pytest.mark.skipif(not programs.has("datasette"), reason="requirements-servers.txt")

ITEMS, PARENTS = 1_234, 12
SIZE = {"_shape": "objects", "_size": 100}


def name(number: int) -> str:
    return f'n{number} "ü", {"x" * (number % 7)}'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server, over items with a price, and parents with notes."""
    database = tmp_path_factory.mktemp("datasette") / "shop.db"
    with sqlite3.connect(database) as db:
        db.execute("create table items (id integer primary key, name text, price real, note text)")
        rows = [(n, name(n), n / 4, None if n % 3 else "two\nlines") for n in range(ITEMS)]
        db.executemany("insert into items values (?, ?, ?, ?)", rows)
        db.execute("create table parents (id integer primary key, name text)")
        db.executemany("insert into parents values (?, ?)", [(n, name(n)) for n in range(PARENTS)])
        db.execute("create table notes (id integer primary key, parent integer, text text)")
        notes = [(n, n % PARENTS, name(n)) for n in range(300)]
        db.executemany("insert into notes values (?, ?, ?)", notes)
    db.close()
    with programs.datasette(database) as server:
        yield f"{server.url}/shop"


def resource(name: str, path: str, **endpoint: Any) -> Any:
    return {"name": name, "endpoint": {"path": path, "data_selector": "rows", "params": SIZE, **endpoint}}


def test_each_way_to_page_is_dlts(url: str, tmp_path: Path, native_only: Any) -> None:
    """A link in the body, a cursor in it, a `Link` header, all of it in one array, what dlt detects, and a resource of parents."""
    rows = {"_shape": "array", "_size": 100}
    only_since = {"cursor_path": "id", "initial_value": 1_000}
    cursor = {"type": "cursor", "cursor_path": "next", "cursor_param": "_next"}

    def made() -> Any:
        parents = resource("parents", "parents.json", paginator="single_page")
        notes = {**SIZE, "_size": 7, "parent": "{resources.parents.id}"}
        return {
            "client": {"base_url": url},
            "resources": [
                resource("linked", "items.json", paginator={"type": "json_link", "next_url_path": "next_url"}),
                resource("cursors", "items.json", paginator=cursor),
                resource("headers", "items.json", params=rows, data_selector="$", paginator="header_link"),
                resource("detected", "items.json", data_selector=None),
                resource("since", "items.json", paginator=cursor, incremental=only_since),
                parents,
                {**resource("notes", "notes.json", params=notes, paginator=cursor), "include_from_parent": ["name"]},
            ],
        }

    def without_nothing() -> Any:
        config = made()
        for one in config["resources"]:
            one["endpoint"] = {key: value for key, value in one["endpoint"].items() if value is not None}
        return config

    _, ours = run_both(without_nothing, tmp_path)
    tables = read_tables(ours)
    for table in ("linked", "cursors", "headers", "detected"):
        assert [row["id"] for row in tables[table]] == list(range(ITEMS)), table
    assert [row["name"] for row in tables["linked"]] == [name(number) for number in range(ITEMS)]
    assert [row["id"] for row in tables["since"]] == list(range(1_000, ITEMS))
    assert sorted(row["id"] for row in tables["notes"]) == list(range(300))


def test_its_lines_and_its_csv_have_the_same_rows(url: str, tmp_path: Path, native_only: Any) -> None:
    lines = {"_shape": "array", "_nl": "on", "_size": 100}
    config = {
        "client": {"base_url": url},
        "resources": [
            resource("lines", "items.json", params=lines, data_selector="$", response="jsonl", paginator="header_link"),
            resource(
                "csv", "items.csv", params={"_stream": "on"}, data_selector="$", response="csv", paginator="single_page"
            ),
        ],
    }
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api.rest_api_source(config, name="api"), loader_file_format="parquet")
    expected = [(n, name(n), n / 4, None if n % 3 else "two\nlines") for n in range(ITEMS)]
    for table in ("lines", "csv"):
        found = [(row["id"], row["name"], row["price"], row["note"]) for row in read_tables(pipeline)[table]]
        assert [(key, text, price, note and note.replace("\r", "")) for key, text, price, note in found] == expected


def test_what_is_missing_or_not_there_is_told(url: str, tmp_path: Path) -> None:
    """One page of many, by the number of rows that the answer names; a cursor that is none; a table that is not there."""
    total = {"total_count_path": "filtered_table_rows_count", "on_incomplete": "raise"}
    cases = {
        "expected 1234 records by `filtered_table_rows_count`, found 100": resource(
            "items", "items.json", paginator="single_page", **total
        ),
        "expected 1234 records by `filtered_table_rows_count`, found 0": resource(
            "items", "items.json", params={**SIZE, "_next": "none"}, paginator="single_page", **total
        ),
        "404 Client Error: Not Found": resource("items", "none.json"),
    }
    for number, (expected, one) in enumerate(cases.items()):
        config = {"client": {"base_url": url}, "resources": [one]}
        with pytest.raises(PipelineStepFailed) as caught:
            make_pipeline(tmp_path, f"p{number}").extract(rest_api.rest_api_source(config, name="api"))
        assert expected in str(caught.value)


def test_dlts_own_source_under_install(url: str, tmp_path: Path, native_only: Any) -> None:
    from dlt.sources.rest_api import rest_api_source

    config = {"client": {"base_url": url}, "resources": [resource("items", "items.json", paginator="header_link")]}
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(rest_api_source(config, name="api"))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(ITEMS))
