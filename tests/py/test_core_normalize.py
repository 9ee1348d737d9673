"""The normaliser's leaves against dlt itself, and its two ways against each other."""

from __future__ import annotations

import json
import math
import random
import struct
from typing import Any

import docgen
import pyarrow as pa
import pytest
from dlt.common.normalizers.json.helpers import get_nested_row_hash
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.common.schema.detections import is_iso_timestamp
from dlt.common.utils import digest128
from headrace import _core

ALPHABET = "aAbBzZ019_- +*@|.é٣ 日\t"


def normalize(records: list[Any], **options: Any) -> Any:
    """Tables as Python lists and their columns, or the error's text."""
    try:
        batches = _core.normalize_json(json.dumps(records).encode(), table="items", tables=[], **options)
    except _core.Error as error:
        return error.code, str(error), error.record
    return [(b.name, b.parent, b.new_columns, _without_nan(pa.table(pa.record_batch(b)).to_pylist())) for b in batches]


def _without_nan(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: "nan" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("nesting", [0, 1, 2, 1000])
def test_fast_path_equals_reference(nesting: int) -> None:
    for seed in range(150):
        records = [record for page in docgen.pages(seed, 4, 12) for record in page]
        options = {"max_nesting": nesting, "max_length": seed % 3 * 25, "root_key": seed % 2 == 0, "seed": bytes(32)}
        assert normalize(records, **options) == normalize(records, **options, reference_only=True), seed


@pytest.mark.parametrize("reference_only", [False, True])
def test_rules_are_asked_for_once_a_name(reference_only: bool) -> None:
    def asked(n_records: int) -> list[tuple[str, str]]:
        calls: list[tuple[str, str]] = []

        def rules(table: str, column: str) -> int:
            calls.append((table, column))
            return _core.RULE_LEFT_OUT if column == "gone" else 0

        options = {"table": "items", "tables": [("items", None, -1, [])], "load_id": "1", "selector": []}
        stream = _core.Engine(workers=1).stream(**options, rules=rules, reference_only=reference_only)
        record = {"id": 1, "gone": 2, "under": {"b": 3}, "list": [{"c": 4}, {"c": 5}]}
        stream.feed(0, json.dumps([record] * n_records).encode())
        stream.finish()
        batches = stream.next_batch(10_000)
        assert isinstance(batches, list) and [batch.n_rows for batch in batches] == [n_records, 2 * n_records]
        assert "gone" not in pa.record_batch(batches[0]).schema.names
        return calls

    assert asked(100) == asked(1) != []


def test_decoding_kernels_give_the_same_tables() -> None:
    for seed in range(50):
        records = [record for page in docgen.pages(seed) for record in page]
        assert normalize(records, seed=bytes(32)) == normalize(records, seed=bytes(32), portable=True), seed


@pytest.mark.parametrize("max_length", [0, 20, 63])
def test_names_equal_dlts(max_length: int) -> None:
    naming = NamingConvention(max_length or None)
    rng = random.Random(1)
    for _ in range(20_000):
        key = "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 30)))
        if rng.random() < 0.3:
            key = key.replace("-", "__")
        assert _core.name_path(key, max_length) == naming.normalize_path(key), key
        if key.strip():
            assert _core.name_column(key, max_length) == naming.normalize_path(key), key
    assert _core.name_column(" \t") == "_empty"


def test_timestamp_detection_equals_dlts() -> None:
    rng = random.Random(2)
    seeds = [
        "2024-01-15T10:20:30Z", "2024-01-15 10:20:30.123456", "2024-01-15T10:20:30+02:00", "20240115T102030",
        "2024-W03-1T10", "2024-015T10:20", "2024/01/15 1:2", "2024 10:11", "2024-01-15", "10:20:30", "P1D",
        "2024-02-30T00:00:00", "2024-01-15T24:00:00", "2024-01-15T10:20:30.1234567890Z", "2024-01-15T10:20:30-0530",
    ]  # fmt: skip
    for _ in range(40_000):
        text = list(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(text) + 1)
            change = rng.randrange(3)
            if change == 0 and at < len(text):
                del text[at]
            elif change == 1:
                text.insert(at, rng.choice("0123456789:-TZ+ ./,W|"))
            elif at < len(text):
                text[at] = rng.choice("0123456789:-TZ+ ./,W|")
        value = "".join(text)
        if not value:
            continue
        found = _core.iso_parse(value)
        assert (found is not None and found[0] == "dt") == (is_iso_timestamp(str, value) == "timestamp"), value


def test_nested_ids_equal_dlts() -> None:
    (root, child) = _core.normalize_json(b'[{"_x": 1, "tags": [1, 2, 3, 4, 5, 6]}]', table="items", tables=[])
    root_id = pa.table(pa.record_batch(root))["_dlt_id"][0].as_py()
    for row in pa.table(pa.record_batch(child)).to_pylist():
        assert row["_dlt_parent_id"] == root_id
        assert row["_dlt_id"] == get_nested_row_hash(root_id, "items__tags", row["_dlt_list_idx"])


def test_rows_of_lists_and_their_ids() -> None:
    offsets = pa.array([0, 0, 2, 2, 5, 5], pa.int64()).buffers()[1]
    for first in range(6):
        for stop in range(first, 6):
            parents, places = (memoryview(part).cast("q").tolist() for part in _core.nested_rows(offsets, first, stop))
            assert parents == [1, 1, 3, 3, 3][first:stop]
            assert places == [0, 1, 0, 1, 2][first:stop]
    rng = random.Random(3)
    ids = ["", "é", *("x" * rng.randrange(400) for _ in range(50))]
    _, starts, text = pa.array(ids).buffers()
    found = _core.nested_ids("a__é", starts, text, pa.array(range(len(ids)), pa.int64()).buffers()[1])
    assert [found[14 * i : 14 * i + 14].decode() for i in range(len(ids))] == [
        get_nested_row_hash(parent, "a__é", i) for i, parent in enumerate(ids)
    ]
    found = _core.text_ids(starts, text)
    assert [found[14 * i : 14 * i + 14].decode() for i in range(len(ids))] == [digest128(text, 10) for text in ids]
    assert len({_core.random_ids(10)[14 * i : 14 * i + 14] for i in range(10)}) == 10


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.nested_rows(bytes(7), 0, 0),
        lambda: _core.nested_rows(b"", 0, 0),
        lambda: _core.nested_rows(struct.pack("3q", 0, 2, 1), 0, 1),
        lambda: _core.nested_rows(struct.pack("2q", 1, 2), 0, 1),
        lambda: _core.nested_rows(struct.pack("2q", 0, 2), 0, 3),
        lambda: _core.nested_rows(struct.pack("2q", 0, 2), -1, 1),
        lambda: _core.nested_ids("t", struct.pack("2i", 0, 4), b"abc", bytes(8)),
        lambda: _core.nested_ids("t", struct.pack("2i", -1, 0), b"abc", bytes(8)),
        lambda: _core.nested_ids("t", struct.pack("2i", 0, 3), b"abc", struct.pack("q", -1)),
        lambda: _core.nested_ids("t", struct.pack("1i", 0), b"abc", bytes(8)),
        lambda: _core.text_ids(b"", b"abc"),
        lambda: _core.text_ids(struct.pack("2i", 0, 4), b"abc"),
        lambda: _core.text_ids(struct.pack("3i", 0, 2, 1), b"abc"),
        lambda: _core.random_ids(-1),
    ],
)
def test_buffers_that_are_not_what_they_should_be(call: Any) -> None:
    with pytest.raises(ValueError, match="wants"):
        call()


@pytest.mark.parametrize(
    ("value", "column_type", "expected"),
    [
        (1, "text", "1"), (1.0, "text", "1.0"), (True, "text", "True"), (1e20, "text", "1e+20"),
        (" 12 ", "bigint", 12), ("0x1f", "bigint", 31), ("1_000", "bigint", 1000), (2.0, "bigint", 2),
        ("1_0", "double", 10.0), ("inf", "double", math.inf), (3, "double", 3.0),
        ("Yes", "bool", True), ("n", "bool", False), (0, "bool", False), (0.5, "bool", True),
        ([1, {"b": "é"}], "json", '[1,{"b":"é"}]'),
    ],
)  # fmt: skip
def test_coercions(value: Any, column_type: str, expected: Any) -> None:
    nesting = 0 if column_type == "json" else 1000
    (batch,) = _core.normalize_json(
        json.dumps([{"k": value}]).encode(),
        table="items",
        tables=[("items", None, -1, [("k", column_type, 0, 0, 0)])],
        max_nesting=nesting,
    )
    assert pa.table(pa.record_batch(batch))["k"].to_pylist() == [expected]
