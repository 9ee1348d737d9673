"""The code blocks of README and of the pages on files: each runs as it stands, but for where its files and its API are."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import headrace
import headrace.sources.filesystem as files
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from headrace import _install
from servers import Answer, Api, Request
from test_docs_configs import BLOCK

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/files.md", "docs/csv.md", "docs/file-formats.md", "docs/nested-arrow.md")
ORDERS = [{"id": i, "lines": [{"sku": "a", "n": i}] * (i % 3)} for i in range(7)]
N_ORDERS, N_LINES = 7, 6


def blocks() -> list[Any]:
    """The blocks of Python, each with its place."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == "python":
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page}:{line}"))
    return found


def write_orders(folder: Path) -> None:
    """The orders in the formats that the pages name."""
    lines = "".join(json.dumps(order) + "\n" for order in ORDERS)
    (folder / "a.jsonl").write_text(lines)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "a.json.gz").write_bytes(gzip.compress(json.dumps({"data": {"items": ORDERS}}).encode()))
    (folder / "a.csv").write_text("id;price\n" + "".join(f"{order['id']};1,5\n" for order in ORDERS))
    pq.write_table(pa.Table.from_pylist(ORDERS), folder / "orders.parquet")


def api_of_issues(request: Request) -> Answer:
    """README's API: one page of issues, a comment each."""
    assert request.headers["Authorization"] == "Bearer told"
    if request.path.endswith("/comments"):
        return Answer([{"text": request.path}])
    return Answer({"total": 1, "items": [{"id": i} for i in range(3)]})


@pytest.mark.parametrize("text", blocks())
def test_block(
    text: str, tmp_path: Path, files: Path, api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_orders(files)
    monkeypatch.chdir(files)
    monkeypatch.setenv("PIPELINES_DIR", str(tmp_path / "pipelines"))
    # else where the process' first pipeline ran
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", f"duckdb:///{tmp_path / 'block.duckdb'}")
    monkeypatch.setenv("TOKEN", "told")
    code = re.sub(r'"(s3://bucket/orders|/data/orders|/data)"', json.dumps(str(files)), text)
    code = code.replace("https://api.example.com/v1", f"{api(api_of_issues).url}/v1")
    pipeline = dlt.pipeline("docs", destination=dlt.destinations.duckdb(str(tmp_path / "docs.duckdb")))
    module = ModuleType("docs_block")  # dlt looks for a resource's module
    monkeypatch.setitem(sys.modules, "docs_block", module)
    names: dict[str, Any] = vars(module)
    names.update({**READERS, "dlt": dlt, "headrace": headrace, "pipeline": pipeline, "orders": orders})
    if code.startswith("filesystem("):
        pipeline.run(eval(code, names).with_name("orders"))
    else:
        exec(code, names)
    if "install()" in code:
        assert _install._wanted
        return
    used = dlt.current.pipeline()
    rows = dict(used.dataset().row_counts().fetchall())
    if "rest_api" in code:
        assert rows == {"issues": 3, "comments": 3}
        return
    (children,) = [n for name, n in rows.items() if name.endswith("__lines")] or [N_LINES]
    (roots,) = [n for name, n in rows.items() if "__" not in name]
    assert (roots, children) == (N_ORDERS, N_LINES)


@dlt.resource(primary_key="id")
def orders() -> Any:
    """Nested Arrow: shown on the page of README's block."""
    yield pa.Table.from_pylist(ORDERS)


READERS = {name: getattr(files, name) for name in dir(files) if name == "filesystem" or name.startswith("read_")}
