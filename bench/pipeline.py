"""`./dev bench pipeline`: a plain dlt resource that yields dicts, into DuckDB: dlt at its best settings beside the same
code under `headrace.install()`, in one run, tables compared.

Each side runs in a process of its own, step by step. The records are made beforehand as JSON text; the resource parses
them, page by page, the same on both sides (that is in extract).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from measure import BEST_SETTINGS, MACHINE, commit, compare, measure, print_steps, step_ratios

PAGE = 100  # records that are yielded together
DISTINCT = 1000  # pages; then they come again with other ids


def one_side(side: str, folder: str, n_records: int, load: bool) -> dict[str, Any]:
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
        destination=dlt.destinations.duckdb(f"{folder}/{side}.duckdb"),
        dataset_name="data",
    )
    steps: dict[str, Any] = {
        "extract": lambda: pipeline.extract(issues(), loader_file_format="parquet"),
        "normalize": lambda: pipeline.normalize(),
        "load": lambda: pipeline.load(),
    }
    return measure(steps if load else {name: steps[name] for name in ("extract", "normalize")})


def main() -> None:
    """Runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--no-load", action="store_true", help="leave out the load step (tables are then not compared)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one_side(options.side, options.folder, options.records, not options.no_load)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("headrace", "best"):
            print(f"running {side} ...", file=sys.stderr)
            args = [*sys.argv[1:], f"--side={side}", f"--folder={folder}"]
            done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-4000:])
            results[side] = json.loads(done.stdout.splitlines()[-1])
        rows = {} if options.no_load else compare(f"{folder}/best.duckdb", f"{folder}/headrace.duckdb")
    ratios = step_ratios(results, ("normalize",))
    if options.json:
        measured = {"machine": MACHINE, "commit": commit(), "records": options.records, "rows": rows}
        print(json.dumps({**measured, "results": results, "ratios": ratios}))
        return
    print(f"{options.records} records as dicts, commit {commit()}")
    print_steps(rows, results, ratios)


if __name__ == "__main__":
    main()
