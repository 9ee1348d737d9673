"""dlt's JSON path as the oracle of nested Arrow: the same tables as dicts and as Arrow, schemas, rows and links compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import headrace
import pyarrow as pa
from oracle import make_pipeline, read_tables, trees

_TYPE_PROPS = ("precision", "scale", "timezone", "x-nested-type")
SYSTEM = ("_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_root_id")


def resources(loads: dict[str, list[list[pa.Table]]], number: int, as_arrow: bool, hints: dict[str, Any]) -> list[Any]:
    """The resources of one load, by their names."""

    def yielding(tables: list[pa.Table]) -> Callable[[], Iterator[Any]]:
        def items() -> Iterator[Any]:
            for table in tables:
                yield table if as_arrow else table.to_pylist()

        return items

    made = []
    for name, tables in loads.items():
        resource = dlt.resource(yielding(tables[number]), name=name, **hints)
        made.append(headrace.nested(resource) if as_arrow else resource)
    return made


def source_of(made: list[Any]) -> Any:
    """A source of the resources."""
    return dlt.source(lambda: made, name="s")()


def run(
    folder: Path,
    loads: dict[str, list[list[pa.Table]]],
    as_arrow: bool,
    hints: dict[str, Any] | list[dict[str, Any]],
    configure: Callable[[Any], None] | None = None,
) -> dlt.Pipeline:
    """The pipeline behind its loads. hints: for all loads, or one a load."""
    pipeline = make_pipeline(folder / ("arrow" if as_arrow else "dicts"), "nested")
    for number in range(len(next(iter(loads.values())))):
        made = resources(loads, number, as_arrow, hints[number] if isinstance(hints, list) else hints)
        source = source_of(made)
        if configure is not None:
            configure(source)
        pipeline.run(source, loader_file_format="parquet")
    return pipeline


def columns_of(pipeline: dlt.Pipeline, table: str) -> dict[str, Any]:
    """A table's columns without what only Arrow's types say."""
    return {
        name: {prop: value for prop, value in column.items() if prop not in _TYPE_PROPS or name in SYSTEM}
        for name, column in pipeline.default_schema.tables[table]["columns"].items()
        if "data_type" in column
    }


def assert_same(dicts: dlt.Pipeline, arrow: dlt.Pipeline, in_order: bool) -> None:
    """Same tables, columns, rows and links. A column that is only null is in Arrow's schema alone.

    Args:
        dicts: What dlt's JSON path made.
        arrow: What was made of Arrow.
        in_order: Whether no value is null, so that the order of columns is the same.
    """
    rows = read_tables(arrow)
    assert set(read_tables(dicts)) == set(rows)
    for table in rows:
        want, got = columns_of(dicts, table), columns_of(arrow, table)
        only_null = {name for name in got if all(row.get(name) is None for row in rows[table])} - set(want)
        kept = {name: column for name, column in got.items() if name not in only_null}
        assert kept == want, table
        if in_order:
            assert list(kept) == list(want), table
        of_dicts, of_arrow = (
            {k: v for k, v in p.default_schema.tables[table].items() if k != "columns"} for p in (dicts, arrow)
        )
        assert of_dicts == of_arrow, table
    want_trees, got_trees = trees(dicts), trees(arrow)
    for table in want_trees:
        assert got_trees[table] == want_trees[table], table


def assert_same_ids(dicts: dlt.Pipeline, arrow: dlt.Pipeline) -> None:
    """The ids of all rows are the same, one by one."""
    want, got = read_tables(dicts), read_tables(arrow)
    for table, rows in want.items():
        for column in ("_dlt_id", "_dlt_parent_id", "_dlt_root_id"):
            assert sorted(str(row.get(column)) for row in rows) == sorted(str(row.get(column)) for row in got[table]), (
                table,
                column,
            )


def parse(value: Any) -> Any:
    """JSON text as what it says; nested values as they are."""
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
