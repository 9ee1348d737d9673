"""The normalize step under `headrace.install()` against dlt's own: the same extracted files through dlt's worker function
with and without the engine. Schemas with their columns in order, rows in order, links, columns that were only null, and
failures are compared.

The number of cases is HEADRACE_ITEMS_CASES, the first seed HEADRACE_ITEMS_SEED.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import os
import random
import re
import uuid
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import headrace
import pyarrow.parquet as pq
import pytest
from dlt.common.configuration.container import Container
from dlt.common.data_writers.writers import TypedJsonlListWriter
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.libs.hexbytes import HexBytes
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import new_table
from dlt.common.storages import (
    LoadStorage,
    LoadStorageConfiguration,
    NormalizeStorage,
    NormalizeStorageConfiguration,
)
from dlt.common.wei import Wei
from dlt.normalize import worker
from dlt.normalize.configuration import NormalizeConfiguration
from headrace import _status
from headrace._normalize.dlt_versions import dlt_version
from test_normalize_oracle import Maker

CASES = int(os.environ.get("HEADRACE_ITEMS_CASES", "500"))
FIRST = int(os.environ.get("HEADRACE_ITEMS_SEED", "0"))
CHUNK = 50
LOAD_ID = "1700000000.5"
MODES = ["evolve", "evolve", "freeze", "discard_row", "discard_value"]
NAMINGS = ["snake_case", "snake_case", "snake_case", "direct", "duck_case", "sql_cs_v1", "sql_ci_v1", "s3_tables"]
DETECTIONS = ["timestamp", "iso_timestamp", "iso_date", "large_integer", "hexbytes_to_text", "wei_to_double"]
TYPES = ["text", "bigint", "double", "bool", "timestamp", "date", "time", "decimal", "binary", "wei", "json"]
STRATEGIES: list[Any] = ["upsert", "delete-insert", "insert-only", *(["cdc"] if dlt_version() >= (1, 31) else [])]
IDS = ("_dlt_id", "_dlt_parent_id", "_dlt_root_id")


# ---------------------------------------------------------------------------------------------------- cases


@dataclass
class Case:
    """A table's life: its schema and the lines of its files."""

    files: list[list[list[Any]]]
    name: str = "items"  # of the table
    naming: str = "snake_case"
    max_length: int = 65536
    settings: dict[str, Any] = field(default_factory=dict)
    normalizer: dict[str, Any] = field(default_factory=dict)
    module: str = "dlt.common.normalizers.json.relational"
    table: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    file_format: str = "parquet"
    legacy_names: bool = False  # use_break_path_on_normalize off
    below: list[dict[str, Any]] = field(default_factory=list)  # tables that hints made
    roots: list[str] = field(default_factory=list)  # the table of each file; empty: all of `items`

    def capabilities(self) -> DestinationCapabilitiesContext:
        """The destination's."""
        caps = Destination.from_reference("duckdb").capabilities()
        caps.preferred_loader_file_format = self.file_format  # type: ignore[assignment]
        caps.supported_loader_file_formats = [self.file_format]  # type: ignore[list-item]
        caps.supported_merge_strategies = [*(caps.supported_merge_strategies or []), *STRATEGIES, "scd2"]
        caps.max_identifier_length = caps.max_column_identifier_length = self.max_length
        return caps

    def schema(self) -> Schema:
        """dlt's schema, as extract would have left it."""
        with Container().injectable_context(self.capabilities()):
            schema = Schema("oracle", normalizers={"names": self.naming, "json": {"module": self.module}})
        if self.legacy_names:
            schema._normalizers_config["use_break_path_on_normalize"] = False
        for name, value in self.settings.items():
            schema._settings[name] = deepcopy(value)
        schema.data_item_normalizer.extend_schema()  # its own hints beside the case's
        schema.data_item_normalizer.update_normalizer_config(schema, deepcopy(self.normalizer))
        schema._compile_settings()
        columns = [{"name": name, **column} for name, column in self.columns.items()]
        table: TTableSchema = new_table(self.name, write_disposition="append", resource="items", columns=columns)
        table.update(deepcopy(self.table))
        schema.update_table(table, normalize_identifiers=False)
        for hinted in deepcopy(self.below):
            made = new_table(hinted["name"], hinted.get("parent"), columns=[])  # nested: no resource of its own
            schema.update_table(made | hinted, normalize_identifiers=False)
        if self.below or "propagation" in self.normalizer:
            schema.data_item_normalizer._reset()  # reads the configuration, as when dlt loads the schema
            with Container().injectable_context(self.capabilities()):
                schema.data_item_normalizer.extend_schema()
        return schema


def typed(rng: random.Random, value: Any) -> Any:
    """Puts values that JSON does not have in place of some."""
    if isinstance(value, dict):
        return {key: typed(rng, item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(rng, item) for item in value]
    if rng.random() > 0.3:
        return value
    zone = rng.choice([None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=5, minutes=30))])
    moment = datetime.datetime(2024, 2, 29, 23, 59, 58, rng.choice([0, 500000, 123456]), zone)
    return rng.choice(
        [
            moment,
            moment.date(),
            moment.time().replace(tzinfo=None),
            Decimal(
                rng.choice(["1.5", "-0.000000001", "123456789012.25", "0", "1.50", "-0.0", "1E+3", "17", "9" * 45])
            ),
            b"\x00bytes\xff"[: rng.randrange(7)],
            HexBytes(b"\x00\xab" * rng.randrange(3)),
            Wei(rng.choice(["0", "1", "-5", "1.5", "1000000000000000000", "9" * 30, "8" + "0" * 38, "1E+2"])),
            uuid.UUID(int=rng.getrandbits(128)),
        ]
    )


def contract(rng: random.Random) -> Any:
    """A schema contract."""
    if rng.random() < 0.3:
        return rng.choice(MODES)
    return {what: rng.choice(MODES) for what in ("tables", "columns", "data_type") if rng.random() < 0.7}


def make_case(seed: int) -> Case:
    """A case from its number."""
    rng = random.Random(seed)
    maker = Maker(rng)
    depth = rng.choice([0, 1, 2, 3])
    with_types = rng.random() < 0.3
    lines = []
    for _ in range(rng.randrange(1, 6)):
        line: list[Any] = [maker.record(depth) for _ in range(rng.randrange(1, 12))]
        if rng.random() < 0.1:
            line.append(rng.choice([1, "x", None, [1, {"a": 2}], [[1], [None]], True]))
        lines.append([typed(rng, record) for record in line] if with_types else line)
    cut = rng.randrange(len(lines) + 1)
    case = Case([lines[:cut], lines[cut:]] if cut else [lines])
    case.naming = rng.choice(NAMINGS)
    case.max_length = 63 if case.naming == "s3_tables" else rng.choice([65536, 65536, 30, 63])
    if rng.random() < 0.2:
        case.settings["detections"] = rng.sample(DETECTIONS, rng.randrange(len(DETECTIONS)))
    if rng.random() < 0.15:
        case.settings["preferred_types"] = {f"re:^{rng.choice('abinv')}": rng.choice(TYPES[:-1])}
    if rng.random() < 0.3:
        case.settings["schema_contract"] = contract(rng)
    if rng.random() < 0.2:
        case.table["schema_contract"] = contract(rng)
    if rng.random() < 0.15:
        case.table["x-normalizer"] = {"evolve-columns-once": True}
    if rng.random() < 0.2:
        case.normalizer["max_nesting"] = rng.randrange(4)
    if rng.random() < 0.3:
        case.normalizer["root_key_propagation"] = True
    if rng.random() < 0.05:
        case.module = "dlt.common.normalizers.json.relational_no_coercion"
    make_columns(rng, maker, case)
    case.file_format = rng.choice(["parquet", "parquet", "jsonl", "jsonl", "csv"])
    case.legacy_names = rng.random() < 0.05
    has_bytes = with_types or any(column.get("data_type") == "binary" for column in case.columns.values())
    if case.file_format == "csv" and (has_bytes or "binary" in case.settings.get("preferred_types", {}).values()):
        case.file_format = "jsonl"  # dlt's CSV cannot hold bytes
    make_below(random.Random(-seed - 1), maker, case)
    make_rules(random.Random(f"rules {seed}"), maker, case)
    return case


def make_rules(rng: random.Random, maker: Maker, case: Case) -> None:
    """Row filters, `not_null` hints by pattern, a preferred type json."""
    naming = case.schema().naming
    names = [naming.normalize_path(key) for key in maker.keys if key.strip()]
    paths = [re.escape(naming.make_path(*(name for name in rng.choices(names, k=n) if name))) for n in (1, 1, 2, 1)]
    if rng.random() < 0.15:
        ends = [rng.choice(["", "", "$", rng.choice("_abcdi")]) for _ in paths]
        own = rng.choice(["re:^_dlt", "re:_dlt_", f"re:^{paths[0]}{naming.PATH_SEPARATOR}_dlt"])
        case.table["filters"] = {"excludes": [f"re:^{paths[0]}{ends[0]}", f"re:{paths[1]}{ends[1]}"]}
        case.table["filters"]["excludes"] += rng.choice([[], [], [], ["re:."], [own], [names[0]]])
        if rng.random() < 0.5:
            case.table["filters"]["includes"] = [f"re:^{paths[2]}{ends[2]}", *rng.choice([[], [own], ["re:_dlt_"]])]
    if rng.random() < 0.05 and case.below:
        rng.choice(case.below)["filters"] = {"excludes": [f"re:^{paths[3]}", rng.choice(["re:^_", "value"])]}
    if rng.random() < 0.1:
        case.settings["default_hints"] = {
            "not_null": [f"re:^{paths[0]}$", rng.choice(["re:__v_", names[0], "re:^[av]"])],
        }
    if rng.random() < 0.1:
        names_of_json = rng.choice(["[a-f]", "tags", paths[0]])
        if names_of_json and not names_of_json.startswith("_"):  # ids would go to variants
            case.settings.setdefault("preferred_types", {})[f"re:^{names_of_json}"] = "json"


def make_below(rng: random.Random, maker: Maker, case: Case) -> None:
    """Tables below the root that hints made: nested ones with columns, ones that a key broke out of their chain. And columns
    that rows below get.
    """
    naming = case.schema().naming
    kind = rng.random()
    if kind < 0.3:
        for key in rng.sample(maker.keys, min(3, len(maker.keys))):
            part = naming.normalize_tables_path(key) if key.strip() else ""
            parent = rng.choice(["items", *(table["name"] for table in case.below)])
            name = naming.shorten_fragments(parent, part)
            if part and name != parent and name not in [table["name"] for table in case.below]:
                case.below.append(hinted_table(rng, naming, maker, name, parent))
    if kind < 0.1 or kind > 0.93:
        columns = ["_dlt_load_id", *(naming.normalize_path(key) for key in maker.keys if key.strip())]
        columns = [column for column in columns if column]
        mapping = {column: rng.choice(["passed", f"from_{column}", *columns[1:]]) for column in columns[:2]}
        if kind < 0.03 or kind > 0.98:
            others = mapping if rng.random() < 0.5 else {}
            mapping = {"_dlt_id": rng.choice(["row_id", "_dlt_root_id", columns[-1]]), **others}
        which = rng.choice(["root", "tables"])
        tables = {name: mapping for name in ("items", *(table["name"] for table in case.below))}
        case.normalizer["propagation"] = {which: mapping if which == "root" else tables}


def hinted_table(rng: random.Random, naming: Any, maker: Maker, name: str, parent: str) -> dict[str, Any]:
    """A table as `nested_hints` would give it."""
    key = naming.normalize_path(rng.choice([key for key in maker.keys if key.strip() and naming.normalize_path(key)]))
    column: dict[str, Any] = {"name": key, "nullable": True}
    if rng.random() < 0.5:
        column["data_type"] = rng.choice(TYPES)
    table: dict[str, Any] = {"name": name, "columns": {key: column}}
    if rng.random() < 0.3:
        return {**table, "parent": parent}
    value = {"name": rng.choice(["value", key]), "nullable": False, "primary_key": True}
    table["columns"][value["name"]] = value
    table.update({"resource": "items", "write_disposition": rng.choice(["append", "merge"])})
    if table["write_disposition"] == "merge":
        table["x-merge-strategy"] = rng.choice(["delete-insert", "delete-insert", "upsert", "scd2"])
    if table.get("x-merge-strategy") == "scd2":
        own = {"data_type": "text", "nullable": False, "x-row-version": True, "unique": True}
        table["columns"]["_dlt_id"] = {"name": "_dlt_id", **own}
    return table


def make_columns(rng: random.Random, maker: Maker, case: Case) -> None:
    """Hinted and stored columns, keys, write dispositions."""
    naming = case.schema().naming
    if rng.random() < 0.4:
        for key in rng.sample(maker.keys, rng.randrange(len(maker.keys))):
            if not key.strip() or not naming.normalize_path(key):
                continue
            column: dict[str, Any] = {"nullable": rng.random() < 0.95}
            if rng.random() < 0.8:
                column["data_type"] = rng.choice(TYPES)
            if column.get("data_type") == "timestamp" and rng.random() < 0.3:
                column["timezone"] = False
            if column.get("data_type") == "decimal" and rng.random() < 0.5:
                column.update(
                    rng.choice([{"precision": 60, "scale": 20}, {"precision": 76}, {"precision": 10, "scale": 2}])
                )
            if column.get("data_type") in ("timestamp", "time") and rng.random() < 0.3:
                column["precision"] = rng.choice([0, 3, 6])
            case.columns[naming.normalize_path(key)] = column
    kind = rng.random()
    if kind < 0.15:
        case.table.update({"write_disposition": "merge", "x-merge-strategy": rng.choice(STRATEGIES)})
        case.columns["id"] = {"primary_key": True, "nullable": False}
        for file in case.files:
            for line in file:
                line[:] = [{**record, "id": n} for n, record in enumerate(line) if isinstance(record, dict)]
    elif kind < 0.25:
        case.table.update({"write_disposition": "merge", "x-merge-strategy": "scd2"})
        case.columns["_dlt_id"] = {"data_type": "text", "nullable": False, "x-row-version": True, "unique": True}


# ---------------------------------------------------------------------------------------------------- both sides


@dataclass
class Outcome:
    """What a side made."""

    error: str | None
    schema: dict[str, Any]
    nulls: dict[str, set[str]]
    rows: dict[str, list[Any]]
    counts: dict[str, int]


def write_files(case: Case, storage: NormalizeStorage) -> list[str]:
    """The extracted files, as dlt's extract writes them."""
    storage.extracted_packages.create_package(LOAD_ID)
    names = []
    for number, lines in enumerate(case.files):
        root = case.roots[number] if case.roots else "items"
        name = storage.extracted_packages.get_job_file_path(LOAD_ID, "new_jobs", f"{root}.f{number}.0.typed-jsonl")
        path = Path(storage.extracted_packages.storage.make_full_path(name))
        out = io.BytesIO()
        for line in lines:
            TypedJsonlListWriter(out).write_data(line)
        path.write_bytes(out.getvalue())
        names.append(name)
    return names


def normalized(case: Case, folder: Path) -> Any:
    """What dlt's worker makes of the case's files."""
    normalize = NormalizeStorageConfiguration(normalize_volume_path=str(folder / "normalize"))
    load = LoadStorageConfiguration(load_volume_path=str(folder / "load"))
    names = write_files(case, NormalizeStorage(True, normalize))
    packages = LoadStorage(True, [case.file_format], load).new_packages
    packages.create_package(LOAD_ID)
    config = NormalizeConfiguration(destination_capabilities=case.capabilities())
    config.resolve()
    return worker.w_normalize_files(config, normalize, load, case.schema().to_dict(), LOAD_ID, names)


def run(case: Case, folder: Path) -> Outcome:
    """dlt's worker over the case's files."""
    schema = case.schema()
    error, nulls, metrics = None, {}, []
    try:
        updates, metrics, nulls = normalized(case, folder)
    except worker.NormalizeJobFailed as ex:
        error = type(ex.__cause__ or ex.__context__ or ex).__name__
        updates = []
    for update in updates:
        for partials in update.values():
            for partial in partials:
                schema.update_table(partial, normalize_identifiers=False)
    tables = {name: {**table, "columns": list(table["columns"].items())} for name, table in schema.tables.items()}
    rows: dict[str, list[Any]] = {}
    counts: dict[str, int] = {}
    for metric in metrics:
        name = Path(metric.file_path).name.split(".")[0]
        read = list(read_rows(Path(metric.file_path)))
        rows.setdefault(name, []).extend(read)
        counts[name] = counts.get(name, 0) + metric.items_count
    return Outcome(error, tables, nulls, rows, counts)


def read_rows(path: Path) -> Iterator[Any]:
    """The rows of a load file."""
    if ".parquet" in path.name:
        for row in pq.ParquetFile(path).read().to_pylist():
            yield {name: value for name, value in row.items() if value is not None}
    elif ".jsonl" in path.name:
        with gzip.open(path) as file:
            for line in file:
                yield json.loads(line)
    else:
        with gzip.open(path, "rt", newline="") as text:
            for row in csv.DictReader(text):
                yield {name: value for name, value in row.items() if value}


def with_links(outcome: Outcome) -> dict[str, list[Any]]:
    """The rows with each id as the row's place."""
    places = {}
    for name in sorted(outcome.rows):
        for number, row in enumerate(outcome.rows[name]):
            places[row.get("_dlt_id")] = f"{name}#{number}"

    def place_of(value: Any) -> Any:  # ids are propagated to columns of any name
        return places.get(value, value) if isinstance(value, str) else value

    return {
        name: [
            repr(sorted((key, places.get(value, "?") if key in IDS else place_of(value)) for key, value in row.items()))
            for row in table
        ]
        for name, table in outcome.rows.items()
    }


def still_null(outcome: Outcome) -> dict[str, set[str]]:
    """Columns that were only null: those that dlt's `reconcile_null_only_columns` leaves."""
    out = {}
    for name, columns in outcome.nulls.items():
        complete = {
            key for key, column in outcome.schema.get(name, {"columns": []})["columns"] if "data_type" in column
        }
        out[name] = columns - complete
    return {name: columns for name, columns in out.items() if columns}


def check(seed: int, folder: Path) -> tuple[str | None, bool]:
    """Both sides of a random case are equal. Returns the error both had, and whether the engine had a part."""
    error, status = compare(make_case(seed), folder, f"seed {seed}")
    return error, bool(status and status["native"])


def compare(case: Case, folder: Path, name: str) -> tuple[str | None, Any]:
    """Both sides of a case are equal. Returns the error both had, and the status of the table."""
    headrace.uninstall()
    _status._loads.clear()
    ours_by_dlt = run(case, folder / "dlt")
    headrace.install()
    ours = run(case, folder / "headrace")
    assert ours.error == ours_by_dlt.error, name
    if ours.error is None:
        assert list(ours.schema) == list(ours_by_dlt.schema), name
        for table in ours.schema:
            assert ours.schema[table] == ours_by_dlt.schema[table], f"{name}: {table}"
        assert still_null(ours) == still_null(ours_by_dlt), name
        a, b = with_links(ours), with_links(ours_by_dlt)
        assert sorted(a) == sorted(b), name
        for table in a:
            assert a[table] == b[table], f"{name}: {table}"
        assert ours.counts == ours_by_dlt.counts, name
    status = headrace.status().get(LOAD_ID, {}).get("tables", {}).get("items")
    return ours.error, status


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    """Each test ends without the engine."""
    yield
    headrace.uninstall()


@pytest.mark.every_dlt
@pytest.mark.parametrize("first", range(FIRST, FIRST + CASES, CHUNK))
def test_extracted_files_are_normalized_as_by_dlt(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + CHUNK):
        check(seed, tmp_path / str(seed))


@pytest.mark.parametrize(
    "seed",
    [
        5_001_891,  # a table broken out of its chain passes its own ids on once a table below it has `_dlt_root_id` from above
        6_002_795,  # a key left out by a contract has the name of a variant, which types that evolve make
    ],
)
def test_files_that_were_normalized_otherwise(seed: int, tmp_path: Path) -> None:
    error, is_native = check(seed, tmp_path)
    assert (error, is_native) == (None, True)


NATIVE: dict[str, Case] = {
    "the first wei of a column": Case(
        [
            [
                [
                    {"w": Wei("1"), "a": {"w": Wei("12345678901234567890123456789")}, "l": [Wei("7"), {"w": Wei("0")}]},
                    {"w": 5},
                ]
            ]
        ]
    ),
    "the first wei, in text files": Case(
        [[[{"w": Wei("1.50")}, {"w": Wei("1E+2")}, {"w": "0x10"}]]], file_format="jsonl"
    ),
    "a wei that does not fit its column": Case(
        [[[{"d": datetime.date(2024, 1, 2), "x": Wei(1)}, {"d": Wei(3), "x": datetime.date(2024, 1, 2)}]]]
    ),
    "row ids of the data that are no text": Case(
        [
            [
                [
                    {"a": 1},
                    {"_dlt_id": 5, "a": 2},
                    {"_dlt_id": 1.5},
                    {"_dlt_id": True, "l": []},
                    {"_dlt_id": 2**64 - 1},
                    {"_dlt_id": 0},
                ]
            ]
        ],
    ),
}


@pytest.mark.every_dlt
@pytest.mark.parametrize("name", NATIVE)
def test_records_are_the_engines(name: str, tmp_path: Path) -> None:
    """As by dlt, which is given none of them."""
    error, status = compare(NATIVE[name], tmp_path, name)
    assert error is None
    assert (status["native"], status["by_dlt"]) == (True, 0)


def many_files(n_files: int) -> list[list[list[Any]]]:
    """Files of five records with rows below them."""
    return [
        [[{"id": n * 5 + i, "t": f"{n}", "l": [{"a": i, "m": [n, i]}] * (i % 3)} for i in range(5)]]
        for n in range(n_files)
    ]


def row_groups(folder: Path, table: str) -> int:
    """Of the table's Parquet files that headrace wrote."""
    files = folder.joinpath("headrace").rglob(f"{table}.*.parquet")
    return sum(pq.ParquetFile(path).num_row_groups for path in files)


@pytest.mark.every_dlt
def test_many_small_files_make_few_batches(tmp_path: Path) -> None:
    error, status = compare(Case(many_files(200)), tmp_path, "small files")
    assert error is None
    assert (status["received"], status["rows"], status["records"], status["by_dlt"]) == (1000, 1000, 1000, 0)
    assert row_groups(tmp_path, "items") <= 3
    assert row_groups(tmp_path, "items__l__m") <= 3


@pytest.mark.every_dlt
@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_small_files_that_change_what_comes_behind_them(file_format: str, tmp_path: Path) -> None:
    """New columns and tables, records that dlt takes, an empty file, other tables' files that write into the same schema."""
    files = many_files(60)
    files[10] = []
    files[20][0][2]["more"] = 1.5
    files[25][0][1]["null"] = None
    files[30][0].append({"id": 7, "sub": [{"x": 1}], "w": Wei("12345678901234567890")})
    files[35] = [[{"id": 8, "null": "now text"}], [{"id": "no number"}]]
    files[40][0].insert(1, {"id": 9, "__": 1} if file_format == "parquet" else {"id": 9, "u": uuid.UUID(int=5)})
    files[45][0].append({"_dlt_id": 5, "id": 10, "l": [1]})
    roots = ["items"] * 60
    for number in (15, 22, 42, 50, 51):
        roots[number] = "items__k"  # may be below `items`, for all that the engine knows
        files[number] = [[{"a": number, f"b{number}": f"{number}", "c": [number]}]]
    error, status = compare(Case(files, file_format=file_format, roots=roots), tmp_path, "small files")
    assert error is None
    assert status["native"]
    assert 0 < status["by_dlt"] < 10
    assert status["received"] == status["rows"]


@pytest.mark.every_dlt
def test_an_error_in_a_small_file_names_the_file_and_the_record(tmp_path: Path) -> None:
    files = many_files(30)
    files[23][0][3]["id"] = None
    case = Case(files, columns={"id": {"data_type": "bigint", "nullable": False}})
    error, _ = compare(case, tmp_path / "both", "a null")
    assert error == "CannotCoerceNullException"
    headrace.install()
    with pytest.raises(worker.NormalizeJobFailed, match=r"record 3 of line 1") as failed:
        normalized(case, tmp_path / "told")
    assert failed.value.job_id.startswith("items.f23")


@pytest.mark.every_dlt
def test_a_table_of_records_and_of_rows_below_others_is_dlts(tmp_path: Path) -> None:
    files = [*many_files(3), [[{"a": 1, "b": "x", "m": [1]}]], *many_files(2)]
    case = Case(files, roots=["items", "items", "items", "items__l", "items", "items"], file_format="jsonl")
    error, status = compare(case, tmp_path, "a shared table")
    assert error is None
    assert status["native"]
    assert "share the table" in headrace.status()[LOAD_ID]["tables"]["items__l"]["reason"]
