"""dlt as the oracle: the same configuration through dlt's rest_api and headrace's, schemas and rows compared."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import duckdb
import headrace.sources.rest_api as headrace_rest_api

_IDS = {"_dlt_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_list_idx", "_dlt_load_id"}


def make_pipeline(folder: Path, name: str, **options: Any) -> dlt.Pipeline:
    """A pipeline of its own folder into a DuckDB file."""
    folder.mkdir(parents=True, exist_ok=True)
    return dlt.pipeline(
        name,
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / f"{name}.duckdb")),
        dataset_name="data",
        **options,
    )


def read_tables(pipeline: dlt.Pipeline) -> dict[str, list[dict[str, Any]]]:
    """All data tables' rows in the order they lie in the file."""
    path = pipeline.destination_client().config.credentials.database  # type: ignore[attr-defined]
    with duckdb.connect(path, read_only=True) as connection:
        names = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'data' order by 1"
        ).fetchall()
        out = {}
        for (name,) in names:
            if name.startswith("_dlt"):
                continue
            result = connection.execute(f'select * from data."{name}" order by rowid')
            columns = [column[0] for column in result.description]
            out[name] = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
        return out


def trees(pipeline: dlt.Pipeline) -> dict[str, list[str]]:
    """A root table's rows as text, each with its child rows by table and list position inside: ids are in no text, but a
    wrong link changes it. Sorted."""
    tables = read_tables(pipeline)
    schema = pipeline.default_schema
    children: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    loads = sorted({row["_dlt_load_id"] for rows in tables.values() for row in rows if "_dlt_load_id" in row})
    for name, rows in tables.items():
        parent = schema.tables[name].get("parent")
        for row in rows:
            if parent:
                children[row["_dlt_parent_id"]].append((name, row))

    def text(name: str, row: dict[str, Any], root_id: Any) -> str:
        own = {
            column: value
            for column, value in row.items()
            if column not in _IDS and not column.startswith("_dlt_valid") and value is not None
        }
        if "_dlt_load_id" in row:
            own["load"] = loads.index(row["_dlt_load_id"])
        if "_dlt_root_id" in row and "_dlt_parent_id" in row:  # else the table was broken out of its chain
            assert row["_dlt_root_id"] == root_id
        found = sorted(children.get(row["_dlt_id"], []), key=lambda c: (c[0], c[1]["_dlt_list_idx"]))
        below = [(child, c["_dlt_list_idx"], text(child, c, root_id)) for child, c in found]
        return repr((sorted(own.items(), key=lambda item: item[0]), below))

    out = {}
    seen = 0
    for name, rows in tables.items():
        if not schema.tables[name].get("parent"):
            out[name] = sorted(text(name, row, row["_dlt_id"]) for row in rows)
        else:
            seen += len(rows)
    linked = sum(len(found) for found in children.values())
    assert linked == seen
    ids = {row["_dlt_id"] for rows in tables.values() for row in rows}
    assert all(key in ids for key in children), "a child row's parent does not exist"
    return out


def schema_of(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """The stored tables; columns as lists, so that their order counts."""
    tables = pipeline.default_schema.to_dict()["tables"]
    return {
        name: {**table, "columns": list(table["columns"].items())}
        for name, table in tables.items()
        if not name.startswith("_dlt")
    }


def assert_equal(a: dlt.Pipeline, b: dlt.Pipeline) -> None:
    """Both hold the same tables: schemas with their columns in order, rows with their links."""
    schema_a, schema_b = schema_of(a), schema_of(b)
    assert set(schema_a) == set(schema_b)
    for name in schema_a:
        assert schema_a[name] == schema_b[name], name
    rows_a, rows_b = trees(a), trees(b)
    assert set(rows_a) == set(rows_b)
    for name in rows_a:
        assert rows_a[name] == rows_b[name], name


def run_both(
    make_config: Callable[[], Any],
    folder: Path,
    *,
    runs: int = 1,
    native: bool = True,
    caplog: Any = None,
    **source_options: Any,
) -> tuple[dlt.Pipeline, dlt.Pipeline]:
    """Runs the configuration through both, `runs` times, and compares. native: no resource may have taken dlt's path."""
    pipelines = []
    for name, module in (("dlt", dlt_rest_api), ("headrace", headrace_rest_api)):
        pipeline = make_pipeline(folder / name, f"{name}_pipeline")
        for _ in range(runs):
            source = module.rest_api_source(make_config(), name="api", **source_options)
            pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    return pipelines[0], pipelines[1]


logging.getLogger("dlt").setLevel(logging.WARNING)
