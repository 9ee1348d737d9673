"""Load files for each of dlt's destinations under `headrace.install()`: the same extracted file through dlt's worker function with
and without the engine, by each destination's own capabilities (lengths of names, decimals, timestamps, zones, nested types, literals,
Parquet settings) and in each format that it loads. No destination is there: what is compared are the files and the schema.
"""

from __future__ import annotations

import datetime
import gzip
import json
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dlt
import headrace
import pyarrow.parquet as pq
import pytest
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.libs.hexbytes import HexBytes
from dlt.common.storages import LoadStorageConfiguration, NormalizeStorage, NormalizeStorageConfiguration
from dlt.common.storages.load_storage import LoadStorage
from dlt.common.wei import Wei
from dlt.normalize import worker
from dlt.normalize.configuration import NormalizeConfiguration
from headrace import _status
from headrace._normalize.dlt_versions import KEEPS_OFFSETS, dlt_version
from oracle import make_pipeline, read_tables
from test_items_oracle import LOAD_ID, Case, write_files

FORMATS = ["parquet", "insert_values", "jsonl", "csv"]
DESTINATIONS = {  # and the formats that they load, with what filesystem lets a user choose for athena and dremio
    "athena": ["parquet"],
    "bigquery": ["jsonl", "parquet"],
    "clickhouse": ["jsonl", "parquet"],
    "databricks": ["jsonl", "parquet"],
    "dremio": ["parquet"],
    "duckdb": ["insert_values", "jsonl", "parquet"],
    "ducklake": ["insert_values", "jsonl", "parquet"],
    "dummy": ["jsonl"],
    "fabric": ["insert_values"],
    "filesystem": ["csv", "insert_values", "jsonl", "parquet"],
    "lance": ["parquet"],
    "lancedb": ["parquet"],
    "motherduck": ["insert_values", "jsonl", "parquet"],
    "mssql": ["insert_values", "parquet"],
    "postgres": ["csv", "insert_values", "parquet"],
    "qdrant": ["jsonl"],
    "redshift": ["insert_values"],
    "snowflake": ["csv", "jsonl", "parquet"],
    "sqlalchemy": ["parquet"],
    "synapse": ["insert_values"],
    "weaviate": ["jsonl"],
}
OTHER_DECIMALS = ("lance", "lancedb")  # 18 digits behind the point: dlt makes the columns
CASES = [(destination, file_format) for destination, formats in DESTINATIONS.items() for file_format in formats]


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test ends without the engine. SQL Server's driver, of which dlt's destination asks a constant, is not here."""
    module = types.ModuleType("dlt.destinations.impl.mssql.mssql")
    vars(module)["VARBINARY_MAX_N"] = 8000
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        yield
    headrace.uninstall()


@dataclass
class DestinationCase(Case):
    """A table's life before it is loaded to a destination."""

    destination: str = ""

    def capabilities(self) -> DestinationCapabilitiesContext:
        """The destination's, with ids by content where rows are merged."""
        caps = Destination.from_reference(self.destination).capabilities()
        caps.supported_loader_file_formats = [self.file_format]  # type: ignore[list-item]
        caps.preferred_loader_file_format = self.file_format  # type: ignore[assignment]
        caps.supported_merge_strategies = ["upsert"]
        caps.loader_file_format_selector = caps.merge_strategies_selector = None
        return caps


def records() -> list[dict[str, Any]]:
    """What destinations write in their own ways."""
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    out: list[dict[str, Any]] = []
    for n in range(40):
        moment = datetime.datetime(2024, 2, 29, 23, 59, n, 123456 if n % 2 else 0, zone if n % 3 else None)
        out.append(
            {
                "id": n,
                "Name": ["x", "it's", 'say "hi"', "back\\slash", "new\nline", "tab\t", "\u4e2d\U0001f600", "", ","][
                    n % 9
                ],
                "a name that is longer than many databases let names of columns be, " * 4: n,
                "big": [2**62, -(2**62), 0][n % 3],
                "double": [0.5, 1e16, 1e-7, -0.0][n % 4],
                "yes": n % 2 == 0,
                "at": moment,
                "text_at": f"2024-01-01T00:00:{n:02}.999999+02:00",
                "wall": moment.replace(tzinfo=None),
                "coarse": f"2024-01-01T00:00:{n:02}.987654Z",
                "fine": f"2024-01-01T00:00:{n:02}.987654Z",
                "day": moment.date(),
                "time": moment.time().replace(tzinfo=None),
                "money": Decimal(n) / 4,
                "price": Decimal(n * 25) / 100,
                "wei": Wei(10**18 * n),
                "small": n,
                "mixed": n if n % 2 else f"v{n}",
                "nested": {"Key": n, "deep": {"deeper": [n]}},
                "lines": [{"sku": f"s{k}", "tags": ["a", 1][: k + 1]} for k in range(n % 3)],
                "json": {"a": [1, {"b": None}], "text": "é"},
                "none": None,
            }
        )
    return out


COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"data_type": "bigint", "primary_key": True, "nullable": False},
    "wall": {"data_type": "timestamp", "timezone": False},
    "coarse": {"data_type": "timestamp", "precision": 3},
    "fine": {"data_type": "timestamp", "precision": 9},
    "price": {"data_type": "decimal", "precision": 10, "scale": 2},
    "small": {"data_type": "bigint", "precision": 16},
    "json": {"data_type": "json"},
}


def case_of(destination: str, file_format: str) -> DestinationCase:
    """The records into one destination. Ids are hashes of the key, so that files can be compared."""
    items = records()
    if file_format != "csv":  # which has no bytes
        items = [{**item, "raw": b"\x00\xff" * (n % 3)} for n, item in enumerate(items)]
    if file_format == "parquet":  # text files show them in hex: dlt takes such records
        items = [{**item, "hex": HexBytes(b"\xab" * n)} for n, item in enumerate(items)]
    case = DestinationCase([[items[:15], items[15:25]], [items[25:]]], destination=destination, file_format=file_format)
    caps = case.capabilities()
    case.naming = str(caps.naming_convention or "snake_case")
    case.max_length = caps.max_identifier_length
    naming = case.schema().naming
    case.name = naming.normalize_tables_path("items")
    case.columns = {naming.normalize_path(name): column for name, column in COLUMNS.items()}
    case.table = {"write_disposition": "merge", "x-merge-strategy": "upsert"}
    return case


def run(case: DestinationCase, folder: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The schema and the files of each table, as tables, lines or bytes."""
    normalize = NormalizeStorageConfiguration(normalize_volume_path=str(folder / "normalize"))
    load = LoadStorageConfiguration(load_volume_path=str(folder / "load"))
    names = write_files(case, NormalizeStorage(True, normalize))
    LoadStorage(True, [case.file_format], load).new_packages.create_package(LOAD_ID)
    config = NormalizeConfiguration(destination_capabilities=case.capabilities())
    config.resolve()
    schema = case.schema()
    try:
        updates, metrics, _ = worker.w_normalize_files(config, normalize, load, schema.to_dict(), LOAD_ID, names)
    except worker.NormalizeJobFailed as ex:
        return {"error": type(ex.__cause__ or ex.__context__).__name__}, {}
    for update in updates:
        for partials in update.values():
            for partial in partials:
                schema.update_table(partial, normalize_identifiers=False)
    files: dict[str, list[Any]] = {}
    for metric in sorted(metrics, key=lambda metric: metric.created):
        path = Path(metric.file_path)
        files.setdefault(path.name.split(".")[0], []).append(read(path))
    tables = {name: {**table, "columns": list(table["columns"].items())} for name, table in schema.tables.items()}
    return tables, files


def read(path: Path) -> Any:
    """A load file as what it is the same by: a Parquet table with its types, objects of lines, else the bytes."""
    if ".parquet" in path.name:
        return pq.read_table(path)
    data = gzip.decompress(path.read_bytes())
    return [json.loads(line) for line in data.splitlines()] if ".jsonl" in path.name else data


@pytest.mark.every_dlt
@pytest.mark.parametrize(("destination", "file_format"), CASES)
def test_load_files_are_dlts(destination: str, file_format: str, tmp_path: Path) -> None:
    case = case_of(destination, file_format)
    headrace.uninstall()
    _status._loads.clear()
    by_dlt, files_by_dlt = run(case, tmp_path / "dlt")
    headrace.install()
    ours, files = run(case, tmp_path / "headrace")
    if "error" in by_dlt:  # the lance of dlt 1.26 and 1.27 knows no digits of wei
        assert ours == by_dlt and dlt_version() < (1, 28)
        assert destination in OTHER_DECIMALS
        return
    assert list(ours) == list(by_dlt)
    assert ours == by_dlt
    assert list(files) == list(files_by_dlt)
    assert len(files) >= 3
    for table, made in files.items():
        assert made == files_by_dlt[table], table
    status = headrace.status()[LOAD_ID]["tables"][case.name]
    assert (status["native"], status["records"] + status["by_dlt"]) == (True, 40)
    if destination not in OTHER_DECIMALS and (file_format == "parquet" or not KEEPS_OFFSETS):
        assert status["by_dlt"] == 0


def test_the_formats_are_those_of_dlts_destinations() -> None:
    """A destination or a format that dlt adds is to be tested too."""
    for destination, formats in DESTINATIONS.items():
        found = Destination.from_reference(destination).capabilities().supported_loader_file_formats
        assert set(formats) >= {file_format for file_format in found or [] if file_format in FORMATS}, destination


def test_models_are_dlts(tmp_path: Path) -> None:
    """A query in place of records: dlt's own normalizer takes it, the engine the records beside it."""

    def run(name: str) -> tuple[dict[str, list[Any]], list[str]]:
        pipeline = make_pipeline(tmp_path / name, "p")
        pipeline.run([{"a": n, "b": f"b{n}"} for n in range(5)], table_name="t")
        dataset = pipeline.dataset()
        columns = dataset.schema.tables["t"]["columns"]

        @dlt.resource(name="copied")
        def copied() -> Iterator[Any]:
            query = dataset("SELECT a, b, _dlt_load_id, _dlt_id FROM t WHERE a > 1")
            yield dlt.mark.with_hints(query, dlt.mark.make_hints(columns=columns))

        more = dlt.resource([{"x": 1, "l": [1]}], name="more")
        pipeline.extract([copied(), more])
        pipeline.normalize()
        files = [path.name for path in (Path(pipeline.working_dir) / "load" / "normalized").rglob("new_jobs/*")]
        pipeline.load()
        return read_tables(pipeline), sorted({name.split(".")[0] + "." + name.split(".")[3] for name in files})

    by_dlt, files_by_dlt = run("dlt")
    headrace.install()
    ours, files = run("headrace")
    assert files == files_by_dlt
    assert "copied.model" in files
    for table, rows in ours.items():
        told = [{key: value for key, value in row.items() if not key.startswith("_dlt")} for row in rows]
        assert told == [
            {key: value for key, value in row.items() if not key.startswith("_dlt")} for row in by_dlt[table]
        ]
    assert [row["a"] for row in ours["copied"]] == [2, 3, 4]
    (status,) = [load["tables"] for load in headrace.status().values() if "more" in load["tables"]]
    assert status["more"]["native"]
    assert "copied" not in status
