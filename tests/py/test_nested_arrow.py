"""`headrace.nested` under whole pipelines: dlt's JSON path on the same data as dicts is the oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import headrace
import nestedgen
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.schema.exceptions import CannotCoerceColumnException, DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed
from nested_oracle import SYSTEM, assert_same, columns_of, parse, run
from oracle import make_pipeline, read_tables, trees

ORDER = pa.schema(
    [
        ("id", pa.int64()),
        ("customer", pa.struct([("name", pa.string()), ("address", pa.struct([("zip", pa.string())]))])),
        ("note", pa.string()),
        ("lines", pa.list_(pa.struct([("sku", pa.string()), ("tags", pa.list_(pa.string()))]))),
        ("grid", pa.list_(pa.list_(pa.int64()))),
        ("last", pa.struct([("at", pa.timestamp("us", "UTC"))])),
    ]
)


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test starts and ends without the engine."""
    headrace.uninstall()
    yield
    headrace.uninstall()


def orders(first: int = 0, n: int = 10) -> pa.Table:
    """Nested rows, the first without a null."""
    rows = [
        {
            "id": number,
            "customer": None
            if number % 4 == 3
            else {"name": f"c{number}", "address": {"zip": "1"} if number % 2 == 0 else None},
            "note": "x",
            "lines": None
            if number % 5 == 4
            else [{"sku": f"s{k}", "tags": ["a", "b"][: k + 1]} for k in range(1 + number % 3)],
            "grid": [[number], []] if number % 2 == 0 else [],
            "last": {"at": number * 10**9},
        }
        for number in range(first, first + n)
    ]
    return pa.Table.from_pylist(rows, ORDER)


def load(
    folder: Path,
    *items: Any,
    runs: int = 1,
    destination: Any = None,
    nested: bool = True,
    source: Any = None,
    **hints: Any,
) -> dlt.Pipeline:
    """A pipeline behind loads of the items of a resource `t`."""
    pipeline = make_pipeline(folder, "p")
    for _ in range(runs):
        resource = dlt.resource(lambda: iter(items), name="t", **hints)
        pipeline.run(headrace.nested(resource) if nested else resource, loader_file_format="parquet")
    return pipeline


def cause(raised: pytest.ExceptionInfo[PipelineStepFailed]) -> BaseException:
    """The first error behind a failed step."""
    error: BaseException = raised.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_tables_columns_and_order_are_dlts(tmp_path: Path) -> None:
    loads = {"orders": [[orders()]]}
    dicts, arrow = run(tmp_path, loads, False, {}), run(tmp_path, loads, True, {})
    assert_same(dicts, arrow, in_order=True)
    assert list(arrow.default_schema.tables["orders"]["columns"]) == [
        "id", "note", "last__at", "customer__name", "customer__address__zip", "_dlt_load_id", "_dlt_id",
    ]  # fmt: skip
    assert sorted(read_tables(arrow)) == [
        "orders",
        "orders__grid",
        "orders__grid__list",
        "orders__lines",
        "orders__lines__tags",
    ]


def test_child_files_are_linked_not_rewritten(tmp_path: Path) -> None:
    pipeline = load(tmp_path, orders(), orders(10))
    package = pipeline.get_load_package_info(pipeline.list_completed_load_packages()[-1])
    files = [
        Path(job.file_path) for job in package.jobs["completed_jobs"] if job.job_file_info.table_name == "t__lines"
    ]
    assert len(files) == 1
    assert pq.read_metadata(files[0]).num_rows == len(read_tables(pipeline)["t__lines"])
    assert pq.read_metadata(files[0]).created_by.startswith("parquet-cpp")


@pytest.mark.parametrize("nesting", [0, 1, 2, 3])
@pytest.mark.parametrize("of", ["source", "resource"])
def test_nesting_limits(tmp_path: Path, nesting: int, of: str) -> None:
    loads = {f"d{seed}": nestedgen.loads(seed, nestedgen.PLAIN, n_loads=1, keys=list("abcdefg")) for seed in range(8)}
    hints = {"max_table_nesting": nesting} if of == "resource" else {}

    def configure(source: Any) -> None:
        if of == "source":
            source.max_table_nesting = nesting

    found = [
        {
            table: sorted(
                json.dumps(
                    {k: parse(v) for k, v in row.items() if not k.startswith("_dlt") and v is not None}, sort_keys=True
                )
                for row in rows
            )
            for table, rows in read_tables(run(tmp_path, loads, as_arrow, hints, configure)).items()
        }
        for as_arrow in (False, True)
    ]
    assert found[0] == found[1]


CHILD = pa.struct([("k", pa.int64()), ("sub", pa.list_(pa.int64()))])
WIDER = pa.struct(
    [("k", pa.int64()), ("sub", pa.list_(pa.int64())), ("more", pa.string()), ("new", pa.list_(pa.int64()))]
)


def contract_loads() -> list[list[pa.Table]]:
    """The second load has a column and a table that the first has not."""
    first = [{"id": 1, "items": [{"k": 1, "sub": [1, 2]}]}]
    second = [
        {
            "id": 2,
            "items": [{"k": 2, "sub": [3], "more": None, "new": None}, {"k": 3, "sub": [4], "more": "m", "new": [5]}],
        },
        {"id": 3, "items": [{"k": 4, "sub": [6], "more": "n", "new": []}]},
    ]
    kinds = [pa.schema([("id", pa.int64()), ("items", pa.list_(kind))]) for kind in (CHILD, WIDER)]
    return [[pa.Table.from_pylist(rows, kind)] for rows, kind in zip((first, second), kinds, strict=True)]


@pytest.mark.parametrize(
    "contract",
    [
        {"tables": "discard_row"}, {"tables": "discard_value"}, {"columns": "discard_row"}, {"columns": "discard_value"},
        {"tables": "discard_value", "columns": "discard_row"}, "evolve",
    ],
)  # fmt: skip
def test_contracts_on_child_tables(tmp_path: Path, contract: Any) -> None:
    loads = {"t": contract_loads()}
    dicts, arrow = (run(tmp_path, loads, as_arrow, [{}, {"schema_contract": contract}]) for as_arrow in (False, True))
    assert_same(dicts, arrow, in_order=False)


@pytest.mark.parametrize(
    ("contract", "table", "column"),
    [({"tables": "freeze"}, "t__items__new", None), ({"columns": "freeze"}, "t__items", "more")],
)
def test_contracts_that_freeze(tmp_path: Path, contract: Any, table: str, column: str | None) -> None:
    with pytest.raises(PipelineStepFailed) as raised:
        run(tmp_path, {"t": contract_loads()}, True, [{}, {"schema_contract": contract}])
    error = cause(raised)
    assert isinstance(error, DataValidationError)
    assert (error.table_name, error.column_name) == (table, column)


def test_rows_that_a_contract_leaves_out_take_their_children_along(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("items", pa.list_(pa.int64()))])
    first = pa.Table.from_pylist([{"id": 1, "items": [1]}], schema)
    rows = [
        {"id": 2, "items": [2, 3], "more": "x"},
        {"id": 3, "items": [4], "more": None},
        {"id": 4, "items": [5], "more": "y"},
    ]
    second = pa.Table.from_pylist(rows, schema.append(pa.field("more", pa.string())))
    hints = {"schema_contract": {"columns": "discard_row"}}
    pipeline = make_pipeline(tmp_path, "p")
    for table in (first, second):
        pipeline.run(headrace.nested(dlt.resource([table], name="t", **hints)), loader_file_format="parquet")
    tables = read_tables(pipeline)
    assert [row["id"] for row in tables["t"]] == [1, 3]
    assert [row["value"] for row in tables["t__items"]] == [1, 4]


def test_a_whole_table_that_a_contract_leaves_out(tmp_path: Path) -> None:
    pipeline = load(tmp_path, orders(), schema_contract={"tables": "discard_value"})
    assert not {"t", "t__lines"} & set(pipeline.default_schema.tables)


def test_nested_hints(tmp_path: Path) -> None:
    nested_hints = {
        "lines": dlt.mark.make_nested_hints(columns=[{"name": "sku", "data_type": "text", "nullable": False}])
    }
    loads = {"t": [[orders()]]}
    dicts = run(tmp_path, loads, False, {"nested_hints": nested_hints})
    arrow = run(tmp_path, loads, True, {"nested_hints": nested_hints})
    assert_same(dicts, arrow, in_order=False)
    assert arrow.default_schema.tables["t__lines"]["columns"]["sku"]["nullable"] is False


def test_a_child_that_a_key_breaks_out(tmp_path: Path) -> None:
    nested_hints = {"lines": dlt.mark.make_nested_hints(primary_key="sku", write_disposition="merge")}
    hints = {"nested_hints": nested_hints, "primary_key": "id", "write_disposition": "merge"}
    loads = {"t": [[orders(n=2)], [orders(n=3)]]}
    dicts, arrow = run(tmp_path, loads, False, hints), run(tmp_path, loads, True, hints)
    for table, rows in read_tables(dicts).items():
        assert columns_of(arrow, table) == columns_of(dicts, table)
        assert _plain(rows) == _plain(read_tables(arrow)[table]), table
    loads_of_lines = {row["_dlt_load_id"] for row in read_tables(arrow)["t__lines"]}
    assert loads_of_lines == {row["_dlt_load_id"] for row in read_tables(arrow)["t"]}


def _plain(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str({k: v for k, v in row.items() if k not in SYSTEM or k == "_dlt_list_idx"}) for row in rows)


def test_column_hints_cast_exactly(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["2024-01-01", None], "o": [{"n": "5"}, {"n": None}]})
    columns: Any = {"a": {"data_type": "text"}, "b": {"data_type": "date"}, "o__n": {"data_type": "bigint"}}
    rows = read_tables(load(tmp_path, table, columns=columns))["t"]
    assert [(row["a"], str(row["b"]), row["o__n"]) for row in rows] == [("1", "2024-01-01", 5), ("2", "None", None)]


def test_a_type_that_does_not_fit_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    ints, wholes, floats = (pa.table({"v": [[value]]}) for value in (1, 2.0, 2.5))
    pipeline = load(tmp_path, ints, wholes)
    assert [row["value"] for row in read_tables(pipeline)["t__v"]] == [1, 2]
    with pytest.raises(PipelineStepFailed) as raised:
        load(tmp_path, floats)
    error = raised.value.exception
    assert isinstance(error, CannotCoerceColumnException)
    assert "`t__v` column `value`" in str(error)
    assert "the Arrow type double does not fit the column, which is data_type bigint" in str(error)
    assert [row["value"] for row in read_tables(pipeline)["t__v"]] == [1, 2]


def test_small_and_large_integers_meet(tmp_path: Path) -> None:
    small, large = (
        pa.table({"v": pa.array([[1]], pa.list_(pa.int32()))}),
        pa.table({"v": pa.array([[2]], pa.list_(pa.int64()))}),
    )
    assert [row["value"] for row in read_tables(load(tmp_path / "a", small, large))["t__v"]] == [1, 2]
    assert [row["value"] for row in read_tables(load(tmp_path / "b", large, small))["t__v"]] == [2, 1]
    beyond = pa.table({"v": pa.array([[2**40]], pa.list_(pa.int64()))})
    with pytest.raises(PipelineStepFailed):
        load(tmp_path / "a", beyond)


def test_replace_empties_children(tmp_path: Path) -> None:
    pipeline = load(tmp_path, orders(), write_disposition="replace")
    assert read_tables(pipeline)["t__lines"]
    load(tmp_path, orders().slice(0, 0), write_disposition="replace")
    assert {name: len(rows) for name, rows in read_tables(pipeline).items() if rows} == {}


def test_ids_that_come_with_the_data(tmp_path: Path) -> None:
    table = orders(n=3).append_column("_dlt_id", pa.array(["one", "", None]))
    loads = {"t": [[table]]}
    dicts, arrow = run(tmp_path, loads, False, {}), run(tmp_path, loads, True, {})
    assert_same(dicts, arrow, in_order=False)
    assert read_tables(arrow)["t"][0]["_dlt_id"] == "one"
    assert all(len(row["_dlt_id"]) == 14 for row in read_tables(arrow)["t"][1:])


def test_several_tables_and_batches_at_once(tmp_path: Path) -> None:
    tables = [orders(), orders(10).to_batches()[0]]
    assert len(read_tables(load(tmp_path, tables))["t"]) == 20


def test_root_key_of_a_source(tmp_path: Path) -> None:
    def configure(source: Any) -> None:
        source.root_key = True

    loads = {"t": [[orders()]]}
    dicts, arrow = (run(tmp_path, loads, as_arrow, {}, configure) for as_arrow in (False, True))
    assert "_dlt_root_id" in read_tables(arrow)["t__lines__tags"][0]
    assert_same(dicts, arrow, in_order=True)


def test_names_longer_than_the_destination_has(tmp_path: Path) -> None:
    schema = pa.schema([("x" * 50, pa.list_(pa.struct([("y" * 50, pa.struct([("z" * 30, pa.int64())]))])))])
    table = pa.Table.from_pylist([{"x" * 50: [{"y" * 50: {"z" * 30: 1}}]}], schema)
    found = []
    for nested, item in ((True, table), (False, table.to_pylist())):
        destination = dlt.destinations.duckdb(str(tmp_path / f"{nested}.duckdb"), max_identifier_length=40)
        pipeline = dlt.pipeline(
            "p", pipelines_dir=str(tmp_path / str(nested)), destination=destination, dataset_name="data"
        )
        resource = dlt.resource([item], name="t")
        pipeline.run(headrace.nested(resource) if nested else resource, loader_file_format="parquet")
        found.append(
            {
                name: list(table["columns"])
                for name, table in pipeline.default_schema.tables.items()
                if name[:4] != "_dlt"
            }
        )
    assert found[0] == found[1]
    assert max(len(name) for name in found[0]) == 40


def test_a_failing_resource_leaves_nothing(tmp_path: Path) -> None:
    @dlt.resource(name="t")
    def failing() -> Iterator[Any]:
        yield orders()
        raise RuntimeError("gone")

    pipeline = make_pipeline(tmp_path, "p")
    with pytest.raises(PipelineStepFailed):
        pipeline.run(headrace.nested(failing()))
    assert not pipeline.list_extracted_load_packages()
    pipeline.run(headrace.nested(dlt.resource([orders()], name="t")))
    assert len(read_tables(pipeline)["t"]) == 10


def test_parquet_files_that_are_imported(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pq.write_table(orders(n=1000), path, row_group_size=100)

    @dlt.resource(name="t", primary_key="id", write_disposition="merge")
    def files() -> Iterator[Any]:
        yield dlt.mark.with_file_import(str(path), "parquet", 1000)

    pipeline = make_pipeline(tmp_path / "a", "p")
    pipeline.run(headrace.nested(files()), loader_file_format="parquet")
    want = load(tmp_path / "b", orders(n=1000), primary_key="id", write_disposition="merge")
    assert_same(want, pipeline, in_order=True)


def test_a_variant_gets_tables_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pq.write_table(orders(), path)

    @dlt.resource(name="t")
    def items() -> Iterator[Any]:
        hints = dlt.mark.make_hints(
            table_name="other", columns=[{"name": "note", "data_type": "text", "nullable": False}]
        )
        yield dlt.mark.with_hints(orders(), hints, create_table_variant=True)
        yield dlt.mark.with_table_name(orders(5), "other")

    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(headrace.nested(items()), loader_file_format="parquet")
    assert sorted(read_tables(pipeline)) == [
        "other",
        "other__grid",
        "other__grid__list",
        "other__lines",
        "other__lines__tags",
    ]
    assert len(read_tables(pipeline)["other"]) == 20


def test_incremental_steps_come_first(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, "p")
    for table in (orders(), orders(5)):

        @dlt.resource(name="t")
        def items(table: Any, last: Any = dlt.sources.incremental("id")) -> Iterator[Any]:
            yield table

        pipeline.run(headrace.nested(items(table)), loader_file_format="parquet")
    tables = read_tables(pipeline)
    assert [row["id"] for row in tables["t"]] == list(range(15))
    parents = {row["_dlt_id"] for row in tables["t"]}
    assert {row["_dlt_parent_id"] for row in tables["t__lines"]} <= parents


@pytest.mark.parametrize("formats", ["insert_values", "jsonl"])
def test_other_load_formats(tmp_path: Path, formats: Any) -> None:
    pipeline = make_pipeline(tmp_path / "a", "p")
    pipeline.run(headrace.nested(dlt.resource([orders()], name="t")), loader_file_format=formats)
    assert trees(load(tmp_path / "b", orders())) == trees(pipeline)


# ---- asking for it


def test_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__NESTED_ARROW", "tables")
    assert "t__lines" not in load(tmp_path / "off", orders(), nested=False).default_schema.tables  # not enabled
    headrace.install()
    pipeline = load(tmp_path / "on", orders(), orders().select(["id"]), nested=False)
    assert len(read_tables(pipeline)["t__lines"]) == len(read_tables(load(tmp_path / "marked", orders()))["t__lines"])
    assert all(row["_dlt_id"] for row in read_tables(pipeline)["t"])
    flat = load(tmp_path / "flat", pa.table({"id": [1]}), nested=False)
    assert list(flat.default_schema.tables["t"]["columns"]) == ["id"]  # flat Arrow is dlt's as ever


def test_a_setting_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__NESTED_ARROW", "table")
    headrace.install()
    with pytest.raises(PipelineStepFailed, match='nested_arrow = "table"'):
        load(tmp_path, orders(), nested=False)


def test_a_whole_source() -> None:
    source = dlt.source(lambda: [dlt.resource([orders()], name=name) for name in "ab"], name="s")()
    assert headrace.nested(source) is source
    assert [len(list(resource)) for resource in source.resources.values()] == [
        1,
        1,
    ]  # items are as yielded outside a pipeline
    with pytest.raises(TypeError, match="takes a dlt resource or source, not `list`"):
        headrace.nested([])  # type: ignore[type-var]


def test_unmarked_resources_stay_dlts(tmp_path: Path) -> None:
    headrace.nested(dlt.resource([orders()], name="other"))
    assert sorted(load(tmp_path, orders(), nested=False).default_schema.data_table_names()) == ["t"]


# ---- what bad input gets


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({" ": [[1]]}), "table `t`: a list under a blank key"),
        (pa.table({"a__b": [1], "a": [{"b": "x"}]}), "same name `a__b` but types int64 and string"),
        (pa.table({"a": pa.array([[1]], pa.list_(pa.duration("s")))}), "`duration[s]` for field `value` in table `t__a`"),
    ],
)  # fmt: skip
def test_errors_say_where(tmp_path: Path, table: pa.Table, message: str) -> None:
    with pytest.raises(PipelineStepFailed) as raised:
        load(tmp_path, table)
    assert message in str(raised.value)


def test_ids_by_dlt_as_well_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID", "true")
    with pytest.raises(PipelineStepFailed, match="add_dlt_id gives every Arrow table other ids: switch it off"):
        load(tmp_path, orders())


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    disposition: Any = {"disposition": "merge", "strategy": "upsert"}
    with pytest.raises(PipelineStepFailed, match="primary key column `key` is not in the data"):
        load(tmp_path, orders(), write_disposition=disposition, primary_key="key")


def test_memory_does_not_grow_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", str(1 << 20))
    path = tmp_path / "wide.parquet"
    rows = pa.table({"id": range(20_000), "v": [list(range(20))] * 20_000, "s": ["x" * 100] * 20_000})
    with pq.ParquetWriter(path, rows.schema) as writer:
        for _ in range(5):
            writer.write_table(rows, row_group_size=5000)
    pool = pa.default_memory_pool()
    pipeline = make_pipeline(tmp_path, "p")
    del rows

    @dlt.resource(name="t")
    def files() -> Iterator[Any]:
        yield dlt.mark.with_file_import(str(path), "parquet", 100_000)

    held = []
    write = headrace._writer.PackageWriter.write  # type: ignore[attr-defined]

    def watching(self: Any, name: str, table: pa.Table) -> None:
        held.append(pool.bytes_allocated())
        write(self, name, table)

    monkeypatch.setattr("headrace._writer.PackageWriter.write", watching)
    pipeline.extract(headrace.nested(files()))
    assert len(held) > 20
    assert max(held[len(held) // 2 :]) < 1.3 * max(held[: len(held) // 2]) + (8 << 20)
    assert max(held) < 100 << 20
