"""Column hints: each data type over the values an API sends for it, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oracle import run_both
from servers import Answer, Request

VALUES: dict[str, list[Any]] = {
    "decimal": [1, 1.5, "2.25", "-0.000000001", "12345678901234567890.123456789", True, None],
    "decimal(10,2)": [1, 1.5, "2.25", "-0.01", 99999999, None],
    "date": ["2024-02-29", "2024-02-29T10:00:00Z", 1709164800, None],
    "time": ["10:20:30", "10:20:30.123456", "2024-02-29T10:20:30Z", None],
    "timestamp": ["2024-02-29T10:00:00+02:00", "2024-02-29", 1709164800, 1709164800.5, None],
    "binary": ["YWJj", "", None],
    "text": ["a", 1, 1.5, True, "2024-02-29T10:00:00Z", None],
    "text(5)": ["a", "long enough to be cut elsewhere"],
    "double": [1, "1.5", True, None],
    "bool": [True, 1, 0, "true", "no", None],
    "bigint": [1, "2", 3.0, True, None],
    "json": [{"a": [1, 2]}, [1, {"b": None}], None],
}


def hint_of(name: str) -> dict[str, Any]:
    """`decimal(10,2)` as a column hint."""
    data_type, _, rest = name.rstrip(")").partition("(")
    hint: dict[str, Any] = {"data_type": data_type}
    for prop, value in zip(("precision", "scale"), filter(None, rest.split(",")), strict=False):
        hint[prop] = int(value)
    return hint


@pytest.mark.parametrize("name", list(VALUES))
def test_types(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    values = VALUES[name]

    def handler(request: Request) -> Answer:
        page = int(request.query["page"])
        found = [{"id": n, "v": value, "l": [{"v": value}]} for n, value in enumerate(values)]
        return Answer({"total": 2, "items": [{**record, "page": page} for record in found]})

    server = api(handler)

    def make() -> Any:
        return {
            "client": {"base_url": server.url, "paginator": {"type": "page_number"}},
            "resources": [{"name": "items", "columns": {"v": hint_of(name)}, "endpoint": {"path": "items"}}],
        }

    run_both(make, tmp_path, runs=2)


@pytest.mark.parametrize("name", ["decimal", "date", "time", "timestamp", "double", "bool", "bigint"])
def test_values_that_do_not_fit_become_variants(api: Any, tmp_path: Path, name: str, native_only: Any) -> None:
    server = api(lambda _: Answer([{"v": "nothing of it"}, {"v": VALUES[name][0]}]))

    def make() -> Any:
        return {
            "client": {"base_url": server.url, "paginator": "single_page"},
            "resources": [{"name": "items", "columns": {"v": {"data_type": name}}, "endpoint": {"path": "items"}}],
        }

    run_both(make, tmp_path)
