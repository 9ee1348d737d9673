"""decode and normalize against dlt's own `JsonLItemsNormalizer`: tables, columns, types, variants, rows, ids and links in
order, on random documents that evolve from page to page.

The C side is `normalize_tool` (tests/c/normalize): HEADRACE_NORMALIZE_TOOL names it, else it is looked for in `build/`. The
number of cases is HEADRACE_ORACLE_CASES.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from datetime import time as clock
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pytest

ROOT = Path(__file__).parents[2]
TOOL = Path(os.environ.get("HEADRACE_NORMALIZE_TOOL", ROOT / "build/tests/c/normalize/normalize_tool"))
CASES = int(os.environ.get("HEADRACE_ORACLE_CASES", "2000"))
CHUNK = 250
LOAD_ID = "1700000000.5"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason=f"{TOOL} is not built")

# ---------------------------------------------------------------------------------------------------- cases


@dataclass
class Case:
    """One table's life: settings, hints, pages."""

    pages: list[list[Any]]
    max_nesting: int = 1000
    max_length: int = 0
    root_key: bool = False
    id_kind: str = "random"
    tables: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)  # include_from_parent: over every object
    drop: int = 0  # every drop-th record is left out; 0: none

    def keep(self, page: list[Any]) -> list[int]:
        """1 for what is not left out."""
        return [int(not self.drop or number % self.drop != 0) for number in range(len(page))]

    def items(self, page: list[Any]) -> list[Any]:
        """What dlt gets of a page."""
        records = orjson.loads(page_text(page))
        kept = [record for record, keep in zip(records, self.keep(page), strict=True) if keep]
        return [record | self.extra if isinstance(record, dict) else record for record in kept]

    def lines(self, reference_only: bool) -> Iterator[bytes]:
        """As normalize_tool reads it."""
        settings = {
            "table": "items",
            "load_id": LOAD_ID,
            "max_nesting": self.max_nesting,
            "max_length": self.max_length,
            "root_key": self.root_key,
            "id_kind": self.id_kind,
            "reference_only": reference_only,
            "n_pages": len(self.pages),
            "tables": self.tables,
        }
        yield orjson.dumps(settings) + b"\n"
        for page in self.pages:
            if self.extra or self.drop:
                rest = orjson.dumps({"extra": self.extra, "keep": self.keep(page)})
                yield b'{"records":' + page_text(page) + b"," + rest[1:] + b"\n"
            else:
                yield page_text(page) + b"\n"


class Twice(dict[str, Any]):
    """An object that is written with duplicate keys: the members of `first` come before its own."""

    first: dict[str, Any]


def page_text(value: Any) -> bytes:
    """JSON text; `Twice` objects with their duplicates."""
    if isinstance(value, dict):
        members = [*value.first.items()] if isinstance(value, Twice) else []
        members += value.items()
        return b"{" + b",".join(orjson.dumps(k) + b":" + page_text(v) for k, v in members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(page_text(v) for v in value) + b"]"
    return orjson.dumps(value)


KEYS = [
    "id", "name", "Name", "NAME", "camelCase", "camel_case", "HTTPResponse", "a b", "a.b", "a__b", "a", "b", "A", "x-y",
    "é", "日本", "1st", "_x_", "tags", "items", "value", "list", "Value", "deep", "user", "créé_le", "long" * 20,
    "longer" * 13, "a___b", "+1", "created_at", "ü__ä", "a__v_text", "id__v_double", "__", "a__", "__b", " pad ", "",
    "  ", "b__c", "c", "_dlt_x", "tags__value", "x" * 30, "y" * 64, "items__tags",
]  # fmt: skip
CONTAINER_NOT = {"", "  ", "__"}  # a list there becomes rows of its own parent table: refused natively
TIMES = [
    "2024-01-15T10:00:00Z", "2024-01-15 10:00:00.5", "2024-01-15T10:00:00+02:00", "20240115T101112", "2024/01/15 1:2",
    "2024-W03-2T10", "2024-015T10:00", "2024-01-15T10:00:00.123456789-0330",
]  # fmt: skip
TEXTS = [
    "x", "héllo", 'quo"te', "back\\slash", "new\nline", "emoji 🎉", "\u2028", "", "1", "1.5", "true", "no", " 12 ", "0x1f",
    "2024-01-01", "1_000", "nan", "inf", "1e3", "-0", "10:11:12", "P1Y", "T", "yes", "{broken", "abc" * 30,
]  # fmt: skip

HINT_TYPES = ["text", "bigint", "double", "bool", "timestamp", "json"]
OWN_IDS = ["own", "", None, "own/2"]


class Maker:
    """Random documents over a few keys, so that columns meet again with other types."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        usual = KEYS if rng.random() < 0.1 else [key for key in KEYS if key != "__"]  # "__": a column without a name
        self.keys = rng.sample(usual, rng.randrange(3, 14))
        self.kinds = {key: rng.choice("itfbcsnmmdl") for key in KEYS}
        self.wild = rng.choice([0.02, 0.15, 0.5])
        self.twice = rng.choice([0, 0, 0.1])

    def scalar(self, kind: str) -> Any:
        """A value of a kind; m: any."""
        rng = self.rng
        if kind == "m":
            kind = rng.choice("itfbcsn")
        if kind == "i":
            return rng.choice([0, 1, -1, 2, rng.randrange(10**6), 10**12, -(10**9)])
        if kind == "t":
            return rng.choice(TIMES)
        if kind == "f":
            return rng.choice([0.5, 1.0, -2.25, 1e15, 1e-7, 3.14159, rng.random(), 0.0, 1e16])
        if kind == "b":
            return rng.choice([True, False])
        if kind == "c":
            return rng.choice(TEXTS)
        if kind == "n":
            return None
        return "w" * rng.randrange(40)

    def value(self, key: str, depth: int) -> Any:
        """A value for a key: mostly of the key's kind."""
        rng = self.rng
        kind = self.kinds[key]
        if rng.random() < self.wild:
            kind = rng.choice("itfbcsnmdl")
        if rng.random() < 0.1:
            return None
        if kind == "d":
            return self.record(depth - 1) if depth > 0 else self.scalar("m")
        if kind == "l":
            return self.list_of(key, depth - 1) if depth > 0 and key not in CONTAINER_NOT else self.scalar("m")
        return self.scalar(kind)

    def list_of(self, key: str, depth: int) -> list[Any]:
        """A list: mostly of one kind."""
        rng = self.rng
        what = rng.choice("ddddssml") if rng.random() < 0.5 else "d"
        out: list[Any] = []
        for _ in range(rng.choice([0, 1, 1, 2, 3, 6])):
            one = rng.choice("dsl") if what == "m" else what
            if one == "d" and depth > 0:
                out.append(self.record(depth - 1))
            elif one == "l" and depth > 0:
                out.append(self.list_of(key, depth - 1))
            else:
                out.append(self.scalar("m"))
        return out

    def record(self, depth: int) -> dict[str, Any]:
        """An object."""
        rng = self.rng
        keys = rng.sample(self.keys, rng.randrange(len(self.keys)))
        if rng.random() < 0.6:
            keys.sort(key=self.keys.index)
        if rng.random() < self.twice and keys:
            out = Twice((key, self.value(key, depth)) for key in keys)
            again = rng.choice(keys)
            out.first = {key: self.value(key, depth) for key in rng.sample(self.keys, 1)} | {again: self.scalar("m")}
            return out
        return {key: self.value(key, depth) for key in keys}


def make_case(seed: int) -> Case:
    """A case from its number."""
    rng = random.Random(seed)
    maker = Maker(rng)
    depth = rng.choice([0, 1, 2, 3, 4, 6])
    pages: list[list[Any]] = []
    for _ in range(rng.randrange(1, 6)):
        page: list[Any] = [maker.record(depth) for _ in range(rng.randrange(1, 9))]
        if rng.random() < 0.05:
            page.append(rng.choice([1, "x", None, [1, {"a": 2}], [[1], [None]], True]))
        if rng.random() < 0.3 and len(page) > 1:
            page += page[:2]
        pages.append(page)
    case = Case(
        pages,
        max_nesting=rng.choice([0, 1, 2, 3, 1000, 1000, 1000]),
        max_length=rng.choice([0, 0, 30, 63]),
        root_key=rng.random() < 0.3,
    )
    if rng.random() < 0.2:
        case.extra = orjson.loads(page_text({"_parent_x": maker.scalar("m"), **maker.record(rng.randrange(2))}))
    if rng.random() < 0.1:
        case.drop = rng.randrange(1, 4)
    if rng.random() < 0.4:
        case.tables = make_hints(rng, maker, case.max_length)
    if case.tables and rng.random() < 0.5:
        case.id_kind = "row_hash" if rng.random() < 0.5 else "key_hash"
        if case.id_kind == "key_hash":
            key = normal_key("id", case.max_length)
            if key not in [column["name"] for column in case.tables[0]["columns"]]:
                case.tables[0]["columns"].append(hint(key, ""))
            for column in case.tables[0]["columns"]:
                if column["name"] == key:
                    column |= {"primary_key": True, "not_null": True}
            for page in pages:
                page[:] = [record for record in page if isinstance(record, dict)]
                for number, record in enumerate(page):
                    record["id"] = maker.scalar("i") if number % 5 else maker.scalar("c")
    elif rng.random() < 0.1:
        for page in pages:
            for record in page:
                if isinstance(record, dict) and rng.random() < 0.5:
                    record["_dlt_id"] = rng.choice(OWN_IDS)
    return case


def hint(name: str, data_type: str, not_null: bool = False) -> dict[str, Any]:
    """A column of the seed schema; without a type it is only a hint."""
    return {"name": name, "type": data_type, "not_null": not_null}


def normal_key(key: str, max_length: int) -> str:
    """The column name of a key."""
    return snake_case(max_length).normalize_path(key) if key.strip() else "_empty"


def make_hints(rng: random.Random, maker: Maker, max_length: int) -> list[dict[str, Any]]:
    """A seed schema over some of the keys."""
    columns: dict[str, dict[str, Any]] = {}
    for key in rng.sample(maker.keys, rng.randrange(len(maker.keys))):
        name = normal_key(key, max_length)
        kind = rng.choice(["", "", "", *HINT_TYPES, *HINT_TYPES, "date", "time", "binary"])
        if name and not name.startswith("_dlt"):
            columns[name] = hint(name, kind, rng.random() < 0.1)
    tables = [{"name": "items", "parent": None, "columns": list(columns.values())}]
    if rng.random() < 0.3:
        name = snake_case(max_length).shorten_fragments("items", "tags")
        child = [hint("value", rng.choice(["text", "double", ""]))]
        tables.append({"name": name, "parent": "items", "columns": child})
    return tables


# ---------------------------------------------------------------------------------------------------- dlt


def snake_case(max_length: int) -> Any:
    """dlt's naming convention."""
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    return NamingConvention(max_length or None)


class Rows:
    """The item storage that dlt's normalizer writes to."""

    def __init__(self) -> None:
        self.by_table: dict[str, list[dict[str, Any]]] = {}

    def write_data_item(self, load_id: str, schema_name: str, table: str, row: dict[str, Any], columns: Any) -> None:
        """Keeps a row."""
        self.by_table.setdefault(table, []).append(row)


def make_schema(case: Case) -> Any:
    """dlt's schema with the case's settings and hints."""
    from dlt.common.schema import Schema
    from dlt.common.schema.utils import new_table

    schema = Schema("oracle")
    schema.naming = snake_case(case.max_length)
    schema.data_item_normalizer.naming = schema.naming
    config: dict[str, Any] = {"max_nesting": case.max_nesting, "root_key_propagation": case.root_key}
    schema.data_item_normalizer.update_normalizer_config(schema, config)
    schema.data_item_normalizer._reset()
    disposition: dict[str, Any] = {"write_disposition": "append"}
    if case.id_kind == "key_hash":
        disposition = {"write_disposition": "merge", "x-merge-strategy": "upsert"}
    elif case.id_kind == "row_hash":
        disposition = {"write_disposition": "merge", "x-merge-strategy": "scd2"}
    for seed in case.tables or [{"name": "items", "parent": None, "columns": []}]:
        columns = []
        for spec in seed["columns"]:
            column: dict[str, Any] = {"name": spec["name"]}
            if spec["type"]:
                column["data_type"] = spec["type"]
            if spec["not_null"]:
                column["nullable"] = False
            if spec.get("primary_key"):
                column["primary_key"] = True
            columns.append(column)
        if seed["parent"]:
            table = new_table(seed["name"], seed["parent"], columns=columns)
        else:
            table = new_table(seed["name"], columns=columns) | disposition
            if case.id_kind == "row_hash":
                table["columns"]["_dlt_id"] = {"name": "_dlt_id", "nullable": False, "x-row-version": True}
        schema.update_table(table, normalize_identifiers=False)
    schema.data_item_normalizer._reset()
    return schema


def run_dlt(case: Case) -> dict[str, Any]:
    """The case by dlt, for a destination that knows all merge strategies."""
    from dlt.common.configuration.container import Container
    from dlt.common.destination import DestinationCapabilitiesContext

    caps = DestinationCapabilitiesContext.generic_capabilities()
    caps.supported_merge_strategies = ["delete-insert", "upsert", "scd2"]
    with Container().injectable_context(caps):
        return normalize_with_dlt(case)


def normalize_with_dlt(case: Case) -> dict[str, Any]:
    """The case in the form of normalize_tool's answer."""
    from dlt.normalize.items_normalizers.jsonl import JsonLItemsNormalizer

    schema = make_schema(case)
    rows = Rows()
    config = mock.Mock()
    config.destination_capabilities = None
    normalizer = JsonLItemsNormalizer(rows, None, None, schema, LOAD_ID, config)  # type: ignore[arg-type]
    error = None
    try:
        for page in case.pages:
            with mock.patch("dlt.normalize.items_normalizers.jsonl.adjust_column_schema_to_capabilities", same):
                normalizer._normalize_chunk("items", case.items(page), False, False)
    except Exception as exc:
        error = type(exc).__name__
    tables = []
    for name, table in schema.tables.items():
        if name.startswith("_dlt"):
            continue
        columns = [
            [column["name"], column["data_type"], not column.get("nullable", True), column.get("variant", False)]
            for column in table["columns"].values()
            if "data_type" in column
        ]
        types = {column[0]: column[1] for column in columns}
        tables.append(
            {
                "name": name,
                "parent": table.get("parent"),
                "columns": columns,
                "rows": [
                    {key: plain(value, types[key]) for key, value in row.items()} for row in rows.by_table.get(name, [])
                ],
            }
        )
    return {"tables": tables, "error": error}


def same(column: Any, caps: Any) -> Any:
    """In place of the destination's adjustments."""
    return column


def plain(value: Any, data_type: str) -> Any:
    """A value of dlt's as normalize_tool writes it."""
    if isinstance(value, datetime):
        delta = value - EPOCH
        return (delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    if isinstance(value, clock):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**6 + value.microsecond
    if isinstance(value, bytes):
        return value.hex()
    if data_type == "json":
        return orjson.dumps(value).decode()
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value


# ---------------------------------------------------------------------------------------------------- comparing


def relabelled(result: dict[str, Any], id_kind: str) -> dict[str, Any]:
    """The result with row ids that are random, or hashed from random ones, replaced by the row they stand for. An id that
    stands for two rows, or a link to no row, keeps its text and so differs."""
    names: dict[str, str] = {}
    for table in result["tables"]:
        for number, row in enumerate(table["rows"]):
            if "_dlt_id" in row:
                names[row["_dlt_id"]] = f"{table['name']}[{number}]"
    hashed = id_kind != "random"
    tables = []
    for table in result["tables"]:
        rows = []
        for number, row in enumerate(table["rows"]):
            new = dict(row)
            for key in ("_dlt_id", "_dlt_parent_id", "_dlt_root_id"):
                if not hashed and key in row and row[key] not in OWN_IDS:
                    new[key] = names.get(row[key], row[key])
            if table["parent"] is not None and "_dlt_parent_id" in row:
                new["hash"] = nested_hash(row, table["name"])
            rows.append(new)
        tables.append({**table, "rows": rows})
    return {"tables": tables, "error": result["error"]}


def nested_hash(row: dict[str, Any], table: str) -> bool:
    """Whether the row's id is the hash of its link."""
    from dlt.common.normalizers.json.helpers import get_nested_row_hash

    return bool(row["_dlt_id"] == get_nested_row_hash(row["_dlt_parent_id"], table, row["_dlt_list_idx"]))


# dlt's exception: the engine's code for it
ERRORS = {
    "CannotCoerceNullException": "null in a column that must not be null",
    "CannotCoerceColumnException": "value does not fit its column",
    "KeyError": "null in a column that must not be null",  # a missing key of key_hash
}


def run_tool(cases: list[Case], reference_only: bool) -> list[dict[str, Any]]:
    """The cases by normalize_tool."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        for case in cases:
            file.writelines(case.lines(reference_only))
        file.flush()
        done = subprocess.run([str(TOOL), file.name], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def tidy(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what is not told alike: hints without a type, tables of nothing else."""
    result["tables"] = [table for table in result["tables"] if table["rows"] or any(c[1] for c in table["columns"])]
    for table in result["tables"]:
        table["columns"] = [column for column in table["columns"] if column[1]]
    return result


def difference(got: Any, want: Any, path: str = "") -> str:
    """Where two results differ first."""
    if isinstance(got, dict) and isinstance(want, dict):
        for key in [*want, *(key for key in got if key not in want)]:
            if key not in got or key not in want:
                return f"{path}.{key}: got {got.get(key, 'nothing')!r}, want {want.get(key, 'nothing')!r}"
            if found := difference(got[key], want[key], f"{path}.{key}"):
                return found
        return ""
    if isinstance(got, list) and isinstance(want, list):
        for number, (one, other) in enumerate(zip(got, want, strict=False)):
            if found := difference(one, other, f"{path}[{number}]"):
                return found
        return "" if len(got) == len(want) else f"{path}: got {len(got)} elements, want {len(want)}: {got!r} {want!r}"
    return "" if type(got) is type(want) and got == want else f"{path}: got {got!r}, want {want!r}"


def compare(case: Case, got: dict[str, Any], want: dict[str, Any]) -> str:
    """The first difference between the engine's result and dlt's; empty: none."""
    error = got["error"]
    if error is not None and error["code"] == "not supported natively":
        return ""
    if want["error"] is not None or error is not None:
        code = None if error is None else error["code"]
        return "" if code == ERRORS.get(want["error"], "?") else f"got error {error}, want {want['error']}"
    return difference(relabelled(tidy(got), case.id_kind), relabelled(tidy(want), case.id_kind))


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_random_documents_are_normalized_as_dlt_does(first: int) -> None:
    """Both ways of the engine, with the schema carried from page to page."""
    numbers = range(first, min(first + CHUNK, CASES))
    cases = [make_case(number) for number in numbers]
    fast, reference = run_tool(cases, False), run_tool(cases, True)
    assert len(fast) == len(reference) == len(cases)
    failures = []
    n_fast = 0
    for number, case, got, plain_got in zip(numbers, cases, fast, reference, strict=True):
        n_fast += got.pop("fast")
        plain_got.pop("fast")
        if got != plain_got:
            failures.append(f"case {number}, fast against reference: {difference(got, plain_got)}")
        elif found := compare(case, got, run_dlt(case)):
            failures.append(f"case {number}: {found}")
    assert not failures, "\n".join([f"{len(failures)} of {len(cases)} differ", *failures[:5]])
    assert n_fast > 0
