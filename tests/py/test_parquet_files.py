"""Parquet load files of the normalize step: those of the engine's writer have dlt's columns and rows, whatever the settings;
what it does not write, dlt's writer does.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import headrace
import pendulum
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrow_rows import arrow_type, rows_of
from dlt.common.data_writers.writers import ParquetDataWriter
from dlt.common.destination import DestinationCapabilitiesContext
from headrace._core import ParquetWriter
from headrace._normalize.parquet_columns import native_columns, native_options, settings_of
from headrace._normalize.parquet_files import ParquetFile
from headrace._normalize.parquet_rows import RowCheck
from headrace._parquet import is_complete


def capabilities(**changes: Any) -> DestinationCapabilitiesContext:
    """Generic ones with changes."""
    caps = DestinationCapabilitiesContext.generic_capabilities("parquet")
    caps.update(changes)
    return caps


COLUMNS = [
    *({"data_type": name} for name in ("text", "double", "bool", "bigint", "binary", "json", "decimal", "wei", "date")),
    *({"data_type": name, "precision": n} for name in ("timestamp", "time") for n in (None, 0, 1, 3, 4, 6, 7, 9)),
    *({"data_type": "timestamp", "timezone": has} for has in (True, False)),
    *({"data_type": "bigint", "precision": n} for n in (8, 16, 32, 33, 64)),
    *({"data_type": "decimal", "precision": p, "scale": s} for p, s in ((1, 0), (10, 2), (38, 38), (39, 0), (76, 9))),
    {"data_type": "decimal", "precision": 5},
    {"data_type": "decimal", "scale": 5},
    {"data_type": "binary", "precision": 4},
    {"data_type": "text", "precision": 10, "nullable": False},
    {"data_type": "date", "nullable": True},
]
CAPABILITIES = [
    {},
    {"decimal_precision": (20, 4), "timestamp_precision": 3},
    {"decimal_precision": (76, 10), "timestamp_precision": 9},
    {"timestamp_precision": 4, "supports_tz_aware_datetime": False},
    {"supports_naive_datetime": False},
]


@pytest.mark.every_dlt
@pytest.mark.parametrize("changes", CAPABILITIES, ids=str)
@pytest.mark.parametrize("zone", [None, "", "UTC", "Europe/Berlin"])
def test_columns_are_those_that_dlt_makes(changes: Any, zone: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if zone is not None:
        monkeypatch.setenv("DATA_WRITER__TIMESTAMP_TIMEZONE", zone)
    caps = capabilities(**changes)
    settings, timezone = settings_of(caps)
    if native_options(settings) is None:
        pytest.skip("this dlt's settings are not known: dlt writes all files")
    n_native = 0
    for column in COLUMNS:
        one: Any = {"a b": {"name": "a b", **{name: value for name, value in column.items() if value is not None}}}
        by_dlt = ParquetDataWriter(io.BytesIO(), caps)
        by_dlt.write_header(one)
        ours = native_columns(one, caps, timezone)
        if ours is None:
            continue
        n_native += 1
        (name, fmt, nullable), (field,) = ours[0], by_dlt.schema
        assert (name, arrow_type(fmt), nullable) == (field.name, field.type, field.nullable), column
    assert n_native >= 15


@pytest.mark.every_dlt
@pytest.mark.parametrize(
    "name, value, is_native",
    [
        ("COMPRESSION", "zstd", False),
        ("COMPRESSION", "none", True),
        ("ROW_GROUP_SIZE", "7", True),
        ("ROW_GROUP_SIZE", "3000000000", True),
        ("ROW_GROUP_SIZE", "-1", False),
        ("DATA_PAGE_SIZE", "100", True),
        ("VERSION", "2.6", True),
        ("VERSION", "1.0", False),
        ("FLAVOR", "spark", False),
        ("COERCE_TIMESTAMPS", "ms", False),
        ("WRITE_PAGE_INDEX", "true", False),
        ("USE_CONTENT_DEFINED_CHUNKING", "true", False),
    ],
)
@pytest.mark.parametrize("section", ["DATA_WRITER", "NORMALIZE__DATA_WRITER"])
def test_settings_are_those_that_dlt_finds(
    section: str, name: str, value: str, is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{section}__{name}", value)
    caps = capabilities()
    by_dlt = ParquetDataWriter(io.BytesIO(), caps)
    settings, _ = settings_of(caps)
    theirs = getattr(by_dlt, "parquet_format", None)
    if theirs is None:
        pytest.skip("this dlt keeps its settings elsewhere: dlt writes all files")
    assert dict(settings) == dict(theirs)
    if section == "DATA_WRITER" and is_complete(settings):
        options = native_options(settings)
        assert (options is not None) == is_native
        if options is not None:
            ParquetWriter([], bytes, **options)  # takes them


def test_a_destinations_settings_are_merged_with_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_WRITER__ROW_GROUP_SIZE", "11")
    caps = capabilities()
    caps.parquet_format = type(settings_of(caps)[0])()
    caps.parquet_format.compression = "zstd"
    by_dlt = ParquetDataWriter(io.BytesIO(), caps)
    assert dict(settings_of(caps)[0]) == dict(by_dlt.parquet_format)
    assert native_options(settings_of(caps)[0]) is None
    caps.parquet_format.compression = None
    assert native_options(settings_of(caps)[0]) == {"page_bytes": 1 << 20, "group_rows": 11, "compress": False}


def test_rows_of_dlt_and_of_the_engine_share_a_file() -> None:
    columns: Any = {
        "id": {"name": "id", "data_type": "bigint", "nullable": False},
        "more": {"name": "more", "data_type": "json"},
        "price": {"name": "price", "data_type": "decimal"},
        "at": {"name": "at", "data_type": "timestamp"},
    }
    moment = pendulum.datetime(2024, 1, 2, 3, 4, 5, 6)
    out, caps = io.BytesIO(), capabilities()
    check = RowCheck("t", caps, lambda: "here")
    file = ParquetFile(ParquetDataWriter, check, settings_of, out, caps)
    file.write_header(columns)
    file.write_data([rows_of(id=[1, 2]), {"id": 3, "more": {"a": 1}, "price": Decimal("1.5"), "at": moment}, {"id": 4}])
    narrow = pa.array([Decimal("2.25")], pa.decimal128(10, 2))  # another type than the file's: it is cast
    file.write_data([rows_of(price=narrow, id=[5]), rows_of(id=[6], more=["[]"])])
    file.write_footer()
    file.close()
    assert file.items_count == 6
    table = pq.read_table(io.BytesIO(out.getvalue()))
    by_dlt = ParquetDataWriter(io.BytesIO(), caps)
    by_dlt.write_header(columns)
    assert table.schema.equals(by_dlt.schema)
    nothing = {"more": None, "price": None, "at": None}
    assert table.to_pylist() == [
        {"id": 1, **nothing},
        {"id": 2, **nothing},
        {"id": 3, "more": '{"a":1}', "price": Decimal("1.5"), "at": moment},
        {"id": 4, **nothing},
        {"id": 5, **nothing, "price": Decimal("2.25")},
        {"id": 6, **nothing, "more": "[]"},
    ]


def test_a_null_in_a_column_without_nulls_is_dlts_error() -> None:
    columns: Any = {"id": {"name": "id", "data_type": "bigint", "nullable": False}}
    caps = capabilities()
    theirs = ParquetDataWriter(io.BytesIO(), caps)
    theirs.write_header(columns)
    with pytest.raises(pa.ArrowInvalid, match="Column 'id' is declared non-nullable but contains nulls"):
        theirs.write_data([{"id": None}])
    ours = ParquetFile(ParquetDataWriter, RowCheck("t", caps, str), settings_of, io.BytesIO(), caps)
    ours.write_header(columns)
    with pytest.raises(pa.ArrowInvalid, match="Column 'id' is declared non-nullable but contains nulls"):
        ours.write_data([{"id": None}])
    ours.close()
    of_the_engine = ParquetFile(ParquetDataWriter, RowCheck("t", caps, str), settings_of, io.BytesIO(), caps)
    of_the_engine.write_header(columns)
    with pytest.raises(
        pa.ArrowInvalid,
        match=r"table `t`: Column 'id' is declared non-nullable but contains nulls\. Take `nullable: False` off",
    ):
        of_the_engine.write_data([rows_of(id=pa.array([None], pa.int64()))])


RECORDS = [
    {
        "id": number,
        "name": f"name {number % 5}",
        "score": number / 7,
        "ok": number % 3 == 0 if number % 4 else None,
        "at": f"2024-01-{number % 28 + 1:02}T10:00:00.25Z",
        "tags": [{"tag": f"t{place}", "n": place} for place in range(number % 4)],
    }
    for number in range(3000)
]
SETTINGS: list[dict[str, str]] = [
    {},
    {"COMPRESSION": "none"},
    {"COMPRESSION": "zstd"},
    {"ROW_GROUP_SIZE": "700"},
    {"DATA_PAGE_SIZE": "512"},
    {"VERSION": "1.0"},
    {"FLAVOR": "spark"},
    {"COERCE_TIMESTAMPS": "ms", "ALLOW_TRUNCATED_TIMESTAMPS": "true"},
    {"FILE_MAX_ITEMS": "1000"},
    {"FILE_MAX_BYTES": "20000"},
]


def load_files(folder: Path, name: str) -> dict[str, pa.Table]:
    """The tables in the load files of a pipeline's normalize step, sorted by what both sides share."""

    @dlt.resource(name="things", columns={"price": {"data_type": "decimal", "precision": 10, "scale": 2}})
    def things() -> Any:
        yield RECORDS[:2000]
        yield [{**record, "late": "x", "price": "1.25"} for record in RECORDS[2000:]]

    pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(folder),
        destination=dlt.destinations.duckdb(str(folder / f"{name}.duckdb")),
        dataset_name="d",
    )
    pipeline.extract(things(), loader_file_format="parquet")
    pipeline.normalize()
    files: dict[str, list[pa.Table]] = {}
    for path in folder.rglob("*.parquet"):
        table = path.name.split(".")[0]
        if not table.startswith("_dlt") and name in path.parts:
            files.setdefault(table, []).append(pq.read_table(path))
    return {table: pa.concat_tables(parts, promote_options="default") for table, parts in files.items()}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_load_files_have_the_rows_that_dlts_have(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in settings.items():
        monkeypatch.setenv(f"DATA_WRITER__{key}", value)
        monkeypatch.setenv(f"NORMALIZE__DATA_WRITER__{key}", value)
    by_dlt = load_files(tmp_path / "dlt", "theirs")
    headrace.install()
    ours = load_files(tmp_path / "ours", "ours")
    (tables,) = [load["tables"] for load in headrace.status().values() if "things" in load["tables"]][-1:]
    assert tables["things"]["native"] and tables["things"]["by_dlt"] == 0
    assert ours.keys() == by_dlt.keys() == {"things", "things__tags"}
    for name, table in ours.items():
        random = [column for column in table.column_names if column in ("_dlt_id", "_dlt_parent_id", "_dlt_load_id")]
        mine, theirs = table.drop_columns(random), by_dlt[name].drop_columns(random)
        assert sorted(map(str, mine.schema)) == sorted(map(str, theirs.schema)), name  # files come in any order
        key = "id" if name == "things" else "n"
        rows = [sorted(each.to_pylist(), key=lambda row: (row[key], repr(row))) for each in (mine, theirs)]
        assert rows[0] == rows[1] and len(rows[0]) == (3000 if name == "things" else 4500)


WITHOUT_PYARROW = """
import sys
import dlt
import headrace

headrace.install()
pipeline = dlt.pipeline("p", pipelines_dir=sys.argv[1], destination=dlt.destinations.duckdb(sys.argv[1] + "/d.duckdb"), dataset_name="data")
pipeline.extract(dlt.resource([{"id": 1, "tags": [{"tag": "a"}]}, {"id": 2}], name="things"), loader_file_format="parquet")
pipeline.normalize()
assert "pyarrow" not in sys.modules and "numpy" not in sys.modules, "imported"
pipeline.load()
with pipeline.sql_client() as client:
    print(client.execute_sql("select t.id, g.tag from things t left join things__tags g on g._dlt_parent_id = t._dlt_id order by 1"))
"""


def test_the_step_does_without_pyarrow(tmp_path: Path) -> None:
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[(1, 'a'), (2, None)]"
