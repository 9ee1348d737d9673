"""`./dev bench pipeline`: a plain dlt resource that yields dicts, into DuckDB: dlt at its best settings beside the same
code under `headrace.install()`, in one run, tables compared.

Each side runs in a process of its own, step by step. The records are made beforehand as JSON text; the resource parses
them, page by page, the same on both sides (that is in extract).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from measure import BEST_SETTINGS, MACHINE, commit, compare, measure, print_steps, step_ratios

PAGE = 100  # records that are yielded together
RANDOM_ID = re.compile(r"E'[A-Za-z0-9+/]{14}'|E'\d{10}\.\d+'")  # row ids, load ids
RANDOM_COLUMNS = ("_dlt_id", "_dlt_parent_id", "_dlt_load_id")
DISTINCT = 1000  # pages; then they come again with other ids


def one_side(side: str, folder: str, n_records: int, load: bool, file_format: str) -> dict[str, Any]:
    """Runs one side in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.update(BEST_SETTINGS)
    import dlt
    import orjson
    import records

    if side == "headrace":
        import headrace

        headrace.install()
    n_pages = -(-n_records // PAGE)
    texts = records.pages(min(n_pages, DISTINCT), PAGE)

    @dlt.resource(name="issues")
    def issues() -> Iterator[Any]:
        for number in range(n_pages):
            page = orjson.loads(texts[number % DISTINCT])["items"]
            for record in page:
                record["id"] += number // DISTINCT * DISTINCT * PAGE
            yield page

    pipeline = dlt.pipeline(
        side,
        pipelines_dir=folder,
        destination=dlt.destinations.filesystem(folder)
        if file_format == "csv"
        else dlt.destinations.duckdb(f"{folder}/{side}.duckdb"),
        dataset_name="data",
    )
    steps: dict[str, Any] = {
        "extract": lambda: pipeline.extract(issues(), loader_file_format=file_format),  # type: ignore[arg-type]
        "normalize": lambda: pipeline.normalize(),
        "load": lambda: pipeline.load(),
    }
    return measure(steps if load else {name: steps[name] for name in ("extract", "normalize")})


def table_rows(folder: Path, table: str, file_format: str) -> Iterator[Any]:
    """The rows of a table's load files, in the order they were written."""
    for path in sorted(folder.rglob(f"{table}.*.{file_format}"), key=lambda path: path.stat().st_mtime_ns):
        with path.open(newline="") as file:
            yield from text_rows(file, file_format)


def text_rows(file: IO[str], file_format: str) -> Iterator[Any]:
    """The rows of a load file but for what is random in them. Members of JSON objects stand in any order, and a CSV file
    may lack columns that came later.
    """
    if file_format == "insert_values":
        for line in file:
            yield RANDOM_ID.sub("?", line)
    else:
        for row in csv.DictReader(file) if file_format == "csv" else map(json.loads, file):
            yield sorted((name, value) for name, value in row.items() if value != "" and name not in RANDOM_COLUMNS)


def compare_files(folder: str, file_format: str) -> dict[str, int]:
    """Lines a table; raises when the two sides' load files differ in a row or in the order of rows."""
    rows: dict[str, int] = {}
    sides = [Path(folder, side, "load", "normalized") for side in ("best", "headrace")]
    names = [sorted({path.name.split(".")[0] for path in side.rglob(f"*.{file_format}")}) for side in sides]
    assert names[0] == names[1], names
    for name in names[0]:
        if name.startswith("_dlt"):
            continue
        pairs = zip_longest(*(table_rows(side, name, file_format) for side in sides))
        for number, (a, b) in enumerate(pairs):
            assert a == b, (name, number, a, b)
            rows[name] = number + 1
    return rows


def main() -> None:
    """Runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument(
        "--no-load", action="store_true", help="leave out the load step: text load files are compared then"
    )
    parser.add_argument("--format", default="parquet", choices=["parquet", "insert_values", "jsonl", "csv"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        load = not options.no_load
        print(json.dumps(one_side(options.side, options.folder, options.records, load, options.format)))
        return
    options.no_load = options.no_load or options.format == "csv"  # which DuckDB does not take
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("headrace", "best"):
            print(f"running {side} ...", file=sys.stderr)
            args = [*sys.argv[1:], f"--side={side}", f"--folder={folder}", *(["--no-load"] if options.no_load else [])]
            done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-4000:])
            results[side] = json.loads(done.stdout.splitlines()[-1])
        if not options.no_load:
            rows = compare(f"{folder}/best.duckdb", f"{folder}/headrace.duckdb")
        else:
            rows = {} if options.format == "parquet" else compare_files(folder, options.format)
    ratios = step_ratios(results, ("normalize",))
    if options.json:
        measured = {
            "machine": MACHINE,
            "commit": commit(),
            "records": options.records,
            "format": options.format,
            "rows": rows,
        }
        print(json.dumps({**measured, "results": results, "ratios": ratios}))
        return
    print(f"{options.records} records as dicts, {options.format}, commit {commit()}")
    print_steps(rows, results, ratios)


if __name__ == "__main__":
    main()
