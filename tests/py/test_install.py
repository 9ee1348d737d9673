"""`headrace.install()` under whole pipelines: dlt's own run is the oracle."""

from __future__ import annotations

import datetime
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dlt
import duckdb
import headrace
import headrace.sources.rest_api
import pytest
from dlt.common import logger
from dlt.normalize.exceptions import NormalizeJobFailed
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace import _install, _status
from headrace._normalize import items as _items
from headrace._normalize.dlt_versions import dlt_version
from oracle import assert_equal, make_pipeline, schema_of

loads_plugin = pytest.mark.skipif(
    dlt_version() < (1, 27), reason="dlt 1.26 loads plugins of packages named dlt... only"
)


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test starts and ends without the engine."""
    headrace.uninstall()
    yield
    headrace.uninstall()


def orders(first: int = 0, n: int = 50) -> list[dict[str, Any]]:
    """Records as a Python source yields them."""
    return [
        {
            "id": number,
            "Name": f"order {number}",
            "placed": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(minutes=number),
            "day": datetime.date(2024, 1, 1 + number % 28),
            "total": Decimal(number) / 4,
            "mixed": number if number % 3 else f"text {number}",
            "customer": {"name": "é" * (number % 5), "address": {"zip": None if number % 2 else "123"}},
            "lines": [{"sku": f"s{k}", "tags": ["a", "b"][: k + 1]} for k in range(number % 3)],
            "raw": bytes([number % 256]),
        }
        for number in range(first, first + n)
    ]


def run(folder: Path, name: str, formats: str | None, **hints: Any) -> dlt.Pipeline:
    """Two loads of orders, the second with a new column and new types."""
    pipeline = make_pipeline(folder / name, name)

    @dlt.resource(name="orders", primary_key="id", **hints)
    def resource(first: int, more: dict[str, Any]) -> Iterator[Any]:
        yield [{**order, **more} for order in orders(first)]
        yield {"id": 10_000 + first, "late_column": [1, "x", None]}

    for first, more in ((0, {}), (25, {"Name": 7, "New Column": "2024-01-01T00:00:00Z"})):
        pipeline.run(resource(first, more), loader_file_format=formats)  # type: ignore[arg-type]
    return pipeline


def normalized_natively(pipeline: dlt.Pipeline, table: str) -> bool:
    """Whether the engine took the table's records in the last load."""
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    return headrace.status()[load_id]["tables"][table]["native"]


@pytest.mark.parametrize(
    "formats",
    [
        pytest.param(None, marks=pytest.mark.every_dlt),
        pytest.param("parquet", marks=pytest.mark.every_dlt),
        "insert_values",
        pytest.param("jsonl", marks=pytest.mark.every_dlt),
    ],
)
def test_every_file_format_loads_the_same(formats: str | None, tmp_path: Path) -> None:
    by_dlt = run(tmp_path, "by_dlt", formats)
    headrace.install()
    ours = run(tmp_path, "ours", formats)
    assert normalized_natively(ours, "orders")
    assert_equal(by_dlt, ours)


@pytest.mark.parametrize(
    "hints",
    [
        {"write_disposition": "replace"},
        {"write_disposition": "merge"},
        {"write_disposition": {"disposition": "merge", "strategy": "upsert"}},
        pytest.param({"write_disposition": {"disposition": "merge", "strategy": "scd2"}}, marks=pytest.mark.every_dlt),
        pytest.param(
            {"schema_contract": {"columns": "discard_value", "data_type": "discard_row"}}, marks=pytest.mark.every_dlt
        ),
        {"max_table_nesting": 0},
        {"nested_hints": {"lines": dlt.mark.make_nested_hints(primary_key=["sku"], write_disposition="merge")}},
        {
            "write_disposition": "merge",
            "nested_hints": {
                "lines": dlt.mark.make_nested_hints(),
                ("lines", "tags"): dlt.mark.make_nested_hints(columns={"value": {"data_type": "json"}}),
            },
        },
        {"write_disposition": {"disposition": "merge", "strategy": "insert-only"}},
        {"columns": {"total": {"data_type": "text"}, "placed": {"data_type": "timestamp", "timezone": False}}},
        {
            "columns": {
                "placed": {"data_type": "timestamp", "precision": 0},
                "id": {"data_type": "bigint", "precision": 32},
            }
        },
    ],
    ids=str,
)
def test_dispositions_contracts_and_hints_load_the_same(hints: dict[str, Any], tmp_path: Path) -> None:
    by_dlt = run(tmp_path, "by_dlt", "parquet", **hints)
    headrace.install()
    ours = run(tmp_path, "ours", "parquet", **hints)
    assert normalized_natively(ours, "orders")
    assert_equal(by_dlt, ours)


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.every_dlt)])
def test_worker_processes_normalize_with_the_engine(workers: str, tmp_path: Path) -> None:
    by_dlt = run(tmp_path, "by_dlt", "parquet")
    headrace.install()
    with mock.patch.dict(os.environ, {"NORMALIZE__WORKERS": workers}):
        ours = run(tmp_path, "ours", "parquet")
    assert_equal(by_dlt, ours)
    assert normalized_natively(ours, "orders")


@pytest.mark.every_dlt
def test_records_of_earlier_loads_are_counted_once(tmp_path: Path) -> None:
    """Forked worker processes have their parent's memory: what it had noted is not theirs to tell."""
    headrace.install()
    first = run(tmp_path, "first", "parquet")
    load_id = first.last_trace.last_normalize_info.loads_ids[-1]
    noted = headrace.status()[load_id]["tables"]["orders"]
    assert noted["records"] == 51
    with mock.patch.dict(os.environ, {"NORMALIZE__WORKERS": "2", "NORMALIZE__START_METHOD": "fork"}):
        again = make_pipeline(tmp_path / "again", "again")
        tables = [dlt.resource([{"id": 1}, {"id": 2}], name=name) for name in "ab"]
        again.run(tables)
    assert headrace.status()[load_id]["tables"]["orders"] == noted
    load_id = again.last_trace.last_normalize_info.loads_ids[-1]
    assert [headrace.status()[load_id]["tables"][table]["records"] for table in "ab"] == [2, 2]


SPAWNED = """
import multiprocessing, sys
import dlt
{install}
@dlt.resource(name="a")
def a():
    yield [{{"id": 1, "l": [1, 2]}}]
@dlt.resource(name="b")
def b():
    yield [{{"id": 1, "l": [1, 2]}}]
if __name__ == "__main__":
    pipeline = dlt.pipeline("p", pipelines_dir={folder!r}, destination=dlt.destinations.duckdb({folder!r} + "/p.duckdb"))
    pipeline.run([a(), b()])
    print(pipeline.last_trace.last_normalize_info.row_counts)
"""


@pytest.mark.every_dlt
@pytest.mark.parametrize(
    ("install", "environment"),
    [
        ("import headrace; headrace.install()", {}),
        ("import headrace; headrace.install()", {"NORMALIZE__WORKERS": "2", "NORMALIZE__START_METHOD": "spawn"}),
        pytest.param("", {"HEADRACE__ENABLED": "true"}, marks=loads_plugin),
        pytest.param(
            "",
            {"HEADRACE__ENABLED": "true", "NORMALIZE__WORKERS": "2", "NORMALIZE__START_METHOD": "spawn"},
            marks=loads_plugin,
        ),
    ],
)
def test_a_new_process_is_told_by_code_or_configuration(
    install: str, environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SPAWNED.format(install=install, folder=str(tmp_path)))
    log = {"RUNTIME__LOG_LEVEL": "INFO", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **log, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "'a__l': 2" in done.stdout
    for table in "ab":
        assert f"`{table}` in the engine" in done.stderr
    n_lines = sum("headrace: load " in line for line in done.stderr.splitlines())
    assert n_lines == int(environment.get("NORMALIZE__WORKERS", "1"))


@pytest.mark.every_dlt
@loads_plugin
def test_configuration_file_enables_it(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text('[headrace]\nenabled = true\n[runtime]\nlog_level = "INFO"\n')
    script = tmp_path / "script.py"
    script.write_text(SPAWNED.format(install="", folder=str(tmp_path)))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert "`a` in the engine" in done.stderr


def test_other_sources_do_not_load_what_serves_rest_api(tmp_path: Path) -> None:
    code = (
        "import sys, dlt, headrace; headrace.install();"
        " dlt.pipeline('p', pipelines_dir='.', destination='duckdb').extract([{'id': 1}], table_name='t');"
        " assert 'headrace._rest_api.plan' not in sys.modules and 'pyarrow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file_format", ["insert_values", "parquet"])
def test_normalizing_does_not_load_pandas(tmp_path: Path, file_format: str) -> None:
    pytest.importorskip("pandas")  # pyarrow imports it for some conversions where it is installed: 0.2 s
    code = (
        "import sys, dlt, headrace; headrace.install();"
        " p = dlt.pipeline('p', pipelines_dir='.', destination='duckdb');"
        f" p.extract([{{'id': 1, 'at': '2024-01-01T00:00:00Z'}}], table_name='t', loader_file_format='{file_format}');"
        " p.normalize(); (load,) = headrace.status().values(); assert load['tables']['t']['native'], load;"
        " assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_uninstalled_is_dlts_own(tmp_path: Path) -> None:
    headrace.install()
    headrace.install()
    assert os.environ["HEADRACE__ENABLED"] == "true"
    headrace.uninstall()
    headrace.uninstall()
    assert "HEADRACE__ENABLED" not in os.environ
    pipeline = run(tmp_path, "p", "parquet")
    assert pipeline.last_trace.last_normalize_info.loads_ids[-1] not in headrace.status()


@pytest.mark.parametrize("version", ["1.25.0", "1.32.0", "1.99.0rc1", "2.0.0a1"])
def test_an_untested_dlt_is_refused(version: str, tmp_path: Path) -> None:
    """By code with an error; when configured, dlt's own normalizer takes the records and the log says why."""
    told = f"tested with dlt 1.26 to 1.31, not with {version}: dlt stays as it is"
    with mock.patch("importlib.metadata.version", return_value=version):
        with pytest.raises(headrace.UnsupportedDltVersion, match=told):
            headrace.install()
        with pytest.raises(headrace.UnsupportedDltVersion, match=told):
            importlib.reload(headrace.sources.rest_api)
        _install._wanted = None
        _install.place()  # as dlt's plugin does
        with (
            mock.patch.dict(os.environ, {"HEADRACE__ENABLED": "true"}),
            mock.patch.object(logger, "warning") as warning,
        ):
            pipeline = make_pipeline(tmp_path, "p")
            pipeline.run([{"id": 1}], table_name="t")
    assert any(told in call.args[0] for call in warning.call_args_list)
    assert pipeline.last_trace.last_normalize_info.row_counts["t"] == 1
    assert pipeline.last_trace.last_normalize_info.loads_ids[-1] not in headrace.status()


def test_what_takes_dlts_way_says_why(tmp_path: Path) -> None:
    headrace.install()

    @dlt.resource(name="t", columns={"w": {"data_type": "decimal", "precision": 8, "scale": 9}})
    def resource() -> Iterator[Any]:
        yield {"w": 1}

    pipeline = make_pipeline(tmp_path, "p")
    pipeline.extract(resource(), loader_file_format="jsonl")
    pipeline.normalize()  # DuckDB would not load it
    load_id = pipeline.last_trace.last_normalize_info.loads_ids[-1]
    assert headrace.status()[load_id]["tables"]["t"] == {
        "native": False,
        "reason": "column `t.w` is a decimal(8, 9)",
        "records": 0,
        "by_dlt": 0,
        "received": 1,
        "rows": 1,
        "discarded": 0,
        "by_rows": None,
    }
    with mock.patch.object(logger, "info") as info:
        _status.tell(load_id)
    (call,) = info.call_args_list
    assert call.args[0].startswith(f"headrace: load {load_id}: ")
    assert "`t` by dlt: column `t.w` is a decimal(8, 9)" in call.args[0]


ID_LENGTHS = """
import sys, duckdb, dlt, headrace
folder = sys.argv[1]
items = [{"id": n, "name": f"n{n}", "l": [{"x": k, "m": [k]} for k in range(n)]} for n in range(5)]

def rows(name):
    path = folder + "/" + name + ".duckdb"
    pipeline = dlt.pipeline(name, pipelines_dir=folder, destination=dlt.destinations.duckdb(path), dataset_name="data")
    upsert = {"disposition": "merge", "strategy": "upsert"}
    pipeline.run(dlt.resource(items, name="u", primary_key="id", write_disposition=upsert), loader_file_format="parquet")
    pipeline.run(dlt.resource(items, name="r"), loader_file_format="jsonl")
    with duckdb.connect(path, read_only=True) as connection:
        tables = [
            connection.execute(f"select * exclude (_dlt_load_id) from data.{table} order by all").fetchall()
            if table == "u" else connection.execute(f"select * from data.{table} order by all").fetchall()
            for table in ("u", "u__l", "u__l__m")
        ]
        lengths = connection.execute(
            "select distinct length(_dlt_id) from data.r union select length(_dlt_id) from data.r__l__m"
        ).fetchall()
    return tables, lengths

by_dlt = rows("by_dlt")
headrace.install()
assert rows("ours") == by_dlt
table = [load["tables"]["r"] for load in headrace.status().values() if "r" in load["tables"]][-1]
print(table["native"], table["reason"], by_dlt[1])
"""


@pytest.mark.parametrize(
    ("n_bytes", "told"),
    [
        ("1", "True None [(2,)]"),
        ("6", "True None [(8,)]"),
        ("16", "True None [(22,)]"),
        ("64", "True None [(86,)]"),
        ("65", "False DLT_DLT_ID_LENGTH_BYTES is 65 [(87,)]"),
    ],
)
def test_ids_have_the_length_that_is_asked_for(n_bytes: str, told: str, tmp_path: Path) -> None:
    """dlt reads the length when it is imported. Ids made of keys and of links are dlt's."""
    done = subprocess.run(
        [sys.executable, "-c", ID_LENGTHS, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "DLT_DLT_ID_LENGTH_BYTES": n_bytes, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, told), done.stderr


NAMING = """
from dlt.common.normalizers.naming.naming import NamingConvention as Base

class NamingConvention(Base):
    @property
    def is_case_sensitive(self):
        return False

    def normalize_identifier(self, identifier):
        name = super().normalize_identifier(identifier).replace(" ", "-").{case}()
        return self.shorten_identifier(name, identifier, self.max_length)
"""


@pytest.mark.parametrize(
    ("case", "reason"), [("lower", None), ("upper", "the naming convention changes `_dlt_id`")], ids=["lower", "upper"]
)
def test_a_naming_convention_of_ones_own(
    case: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine asks it for names; one that gives dlt's own columns other names falls back to dlt."""
    (tmp_path / f"naming_{case}.py").write_text(NAMING.format(case=case))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SCHEMA__NAMING", f"naming_{case}")

    def run_named(name: str) -> tuple[dlt.Pipeline, Any]:
        pipeline = make_pipeline(tmp_path / name, "p")
        for first in (0, 25):
            items = [{**order, "Ship To": {"Zip Code": 1, "List Of": [[1], "x"]}} for order in orders(first)]
            pipeline.run(dlt.resource(items, name="Some Orders"), loader_file_format="parquet")
        path = pipeline.destination_client().config.credentials.database  # type: ignore[attr-defined]
        found = {}
        with duckdb.connect(path, read_only=True) as connection:
            for table, of in pipeline.default_schema.tables.items():
                names = [column for column in of["columns"] if not column.lower().startswith("_dlt")]
                if not table.lower().startswith("_dlt") and names:
                    columns = ", ".join(f'"{column}"' for column in names)
                    found[table] = connection.execute(f'select {columns} from data."{table}" order by all').fetchall()
        return pipeline, found

    by_dlt, rows_by_dlt = run_named("by_dlt")
    headrace.install()
    ours, rows = run_named("ours")
    load_id = ours.last_trace.last_normalize_info.loads_ids[-1]
    table = headrace.status()[load_id]["tables"][getattr("some-orders", case)()]
    assert (table["native"], table["reason"], table["by_dlt"]) == (reason is None, reason, 0)
    assert rows == rows_by_dlt
    assert len(rows[getattr("some-orders", case)()]) == 100
    assert schema_of(ours) == schema_of(by_dlt)


@pytest.mark.parametrize("n_parts", [3, 3000])
def test_lines_are_cut_between_records(n_parts: int, tmp_path: Path) -> None:
    """Lists of 3000 objects that begin with the records' own key are longer than what a cut looks at: it is made again."""
    n_records = 20 if n_parts == 3000 else 9000

    def run_long(name: str) -> dlt.Pipeline:
        @dlt.resource(name="orders")
        def resource() -> Iterator[Any]:
            for first in (0, n_records):
                parts = [{"id": number, "text": '},{"id":'} for number in range(n_parts)]
                yield [{"id": number, "parts": parts, "text": "x" * 80} for number in range(first, first + n_records)]

        pipeline = make_pipeline(tmp_path / name, name)
        with mock.patch.dict(os.environ, {"DATA_WRITER__BUFFER_MAX_ITEMS": str(n_records)}):
            pipeline.run(resource(), loader_file_format="parquet")
        return pipeline

    by_dlt = run_long("by_dlt")
    headrace.install()
    with mock.patch.object(
        _items._Pieces, "cut_again", autospec=True, side_effect=_items._Pieces.cut_again
    ) as cut_again:
        by_engine = run_long("by_engine")
    n_again = cut_again.call_count
    assert (n_again > 0) is (n_parts == 3000)
    table = headrace.status()[by_engine.last_trace.last_normalize_info.loads_ids[-1]]["tables"]["orders"]
    assert (table["native"], table["records"], table["by_dlt"]) == (True, 2 * n_records, 0)
    assert_equal(by_dlt, by_engine)


def failure(pipeline: dlt.Pipeline, items: Any, **hints: Any) -> BaseException:
    """What a run of these items ends in."""
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(dlt.resource(items, name="t", **hints))
    failed = caught.value.__cause__
    assert isinstance(failed, NormalizeJobFailed)
    return failed.__cause__ or failed


def without_id(ex: BaseException) -> str:
    """The message without the random id that it shows."""
    return re.sub("_dlt_id: [^ ]+", "_dlt_id", str(ex))


@pytest.mark.every_dlt
@pytest.mark.parametrize(
    ("items", "hints"),
    [
        ([{"a": 1}, {"a": "x"}], {"schema_contract": {"data_type": "freeze"}}),
        ([{"a": 1}, {"a": None}], {"columns": {"a": {"nullable": False, "data_type": "bigint"}}}),
        ([{"v": 1, "v__v_text": 1}, {"v": "x"}], {}),
    ],
)
def test_failures_are_dlts_and_a_repeat_works(items: Any, hints: Any, tmp_path: Path) -> None:
    """The same exception class, the record named, the package as dlt leaves it."""
    dlts_pipeline = make_pipeline(tmp_path / "dlt", "dlt_side")
    by_dlt = failure(dlts_pipeline, items, **hints)
    headrace.install()
    pipeline = make_pipeline(tmp_path / "ours", "ours_side")
    ours = failure(pipeline, items, **hints)
    assert type(ours) is type(by_dlt)
    assert without_id(ours).replace("ours_side", "dlt_side").startswith(f"{without_id(by_dlt)} (record 1 of line 1)")
    assert len(dlts_pipeline.list_extracted_load_packages()) == len(pipeline.list_extracted_load_packages()) == 1
    pipeline.drop_pending_packages()
    pipeline.run([{"a": 1}], table_name="t2")
    assert pipeline.last_trace.last_normalize_info.row_counts["t2"] == 1


def test_contract_violations_are_told_together(tmp_path: Path) -> None:
    headrace.install()
    pipeline = make_pipeline(tmp_path, "p")
    contract = {"schema_contract": {"columns": "freeze", "data_type": "freeze", "tables": "freeze"}}
    items = dlt.resource([{"id": n, "a": 1} for n in range(100)], name="t")
    pipeline.run(items)
    bad = [{"id": n, "a": 1} for n in range(100)]
    bad[3]["new"] = "v" * 100
    bad[50]["a"] = "x"
    bad[51]["l"] = [{"x": 1}]
    for n in range(60, 90):
        bad[n]["later"] = n
    told = str(failure(pipeline, bad, **contract))
    assert told.startswith("In schema `p`: In Table: `t` Column: `new` . Contract on `columns` with")
    assert "(record 3 of line 1)\n33 records of the file violate contracts, the first of them:\n" in told
    assert f"record 3 of line 1: a new column `t.new` = '{'v' * 59}...\n" in told
    assert "record 50 of line 1: a value of another type makes the column `t.a__v_text` = 'x'\n" in told
    assert "record 51 of line 1: a new table `t__l`\n" in told
    assert "record 76 of line 1: a new column `t.later` = 76\n" in told
    assert "record 77" not in told
    assert told.endswith(
        "To load such records, give the resource of `t` schema_contract={'columns': 'evolve'} (add what is new),"
        " 'discard_value' or 'discard_row' (leave it out); else mend the source."
    )


def loaded_formats(pipeline: dlt.Pipeline, table: str) -> set[str]:
    """The file formats that the table was loaded from."""
    jobs = pipeline.last_trace.last_load_info.load_packages[-1].jobs["completed_jobs"]
    return {job.job_file_info.file_format for job in jobs if job.job_file_info.table_name == table}


def test_parquet_is_preferred_when_asked_for(tmp_path: Path) -> None:
    headrace.install()
    as_dlt_chooses = run(tmp_path, "as_dlt_chooses", None)
    with mock.patch.dict(os.environ, {"HEADRACE__PREFER_PARQUET": "true"}):
        parquet = run(tmp_path, "parquet", None)
        asked_for = run(tmp_path, "asked_for", "jsonl")
    assert loaded_formats(as_dlt_chooses, "orders__lines") == {"insert_values"}
    assert loaded_formats(parquet, "orders__lines") == {"parquet"}
    assert loaded_formats(asked_for, "orders__lines") == {"jsonl"}
    assert_equal(as_dlt_chooses, parquet)
