"""`./dev bench rest`: one REST endpoint into DuckDB, dlt at its best settings beside headrace, in one run, tables compared.

Each side runs in a process of its own, step by step (extract, normalize, load): wall seconds, CPU seconds of the process, peak
RSS of the step. dlt at its best: Parquet, no compression of intermediate files, buffers of 20,000 items. `--defaults` also runs
dlt as it comes (on DuckDB: minutes for the full size).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import BEST_SETTINGS, MACHINE, commit, compare, measure, print_steps, step_ratios

HERE = Path(__file__).parent


def one_side(side: str, port: int, folder: str, pagination: str, in_flight: int, load: bool) -> dict[str, Any]:
    """Runs one side in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    if side != "defaults":
        os.environ.update(BEST_SETTINGS)
    os.environ["HEADRACE__MAX_IN_FLIGHT_PER_HOST"] = str(in_flight)
    import dlt

    if side == "headrace":
        from headrace.sources.rest_api import rest_api_source
    else:
        from dlt.sources.rest_api import rest_api_source
    endpoint: dict[str, Any] = {
        "path": "items",
        "data_selector": "items",
        "paginator": {"type": "page_number"},
    }
    if pagination == "cursor":
        endpoint |= {"path": "cursor", "paginator": {"type": "header_cursor", "cursor_key": "X-Next"}}
    pipeline = dlt.pipeline(
        side,
        pipelines_dir=folder,
        destination=dlt.destinations.duckdb(f"{folder}/{side}.duckdb"),
        dataset_name="data",
    )
    source = rest_api_source(
        {
            "client": {"base_url": f"http://127.0.0.1:{port}"},
            "resources": [{"name": "issues", "endpoint": endpoint}],
        },
        name="api",
    )
    file_format: Any = None if side == "defaults" else "parquet"
    steps: dict[str, Any] = {
        "extract": lambda: pipeline.extract(source, loader_file_format=file_format),
        "normalize": lambda: pipeline.normalize(),
        "load": lambda: pipeline.load(),
    }
    return measure(steps if load else {name: steps[name] for name in ("extract", "normalize")})


def main() -> None:
    """Runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--page-size", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0, help="milliseconds an answer takes")
    parser.add_argument("--pagination", choices=["page_number", "cursor"], default="page_number")
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--defaults", action="store_true", help="also dlt with its default settings")
    parser.add_argument("--no-load", action="store_true", help="leave out the load step (tables are then not compared)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(
            json.dumps(
                one_side(
                    options.side,
                    options.port,
                    options.folder,
                    options.pagination,
                    options.in_flight,
                    not options.no_load,
                )
            )
        )
        return
    command = [
        sys.executable,
        str(HERE / "server.py"),
        f"--pages={options.pages}",
        f"--page-size={options.page_size}",
    ]
    server = subprocess.Popen([*command, f"--latency={options.latency}"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port, n_bytes = map(int, server.stdout.readline().split())
        with tempfile.TemporaryDirectory() as folder:
            results = {}
            for side in ["headrace", "best", *(["defaults"] if options.defaults else [])]:
                print(f"running {side} ...", file=sys.stderr)
                args = [*sys.argv[1:], f"--side={side}", f"--port={port}", f"--folder={folder}"]
                done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True)
                if done.returncode != 0:
                    sys.exit(done.stderr[-4000:])
                results[side] = json.loads(done.stdout.splitlines()[-1])
            rows = {} if options.no_load else compare(f"{folder}/best.duckdb", f"{folder}/headrace.duckdb")
    finally:
        server.kill()
    report(options, n_bytes, rows, results)


def report(options: argparse.Namespace, n_bytes: int, rows: dict[str, int], results: dict[str, Any]) -> None:
    """Prints what was measured."""

    ratios = step_ratios(results, ("extract", "normalize"))
    if options.json:
        print(
            json.dumps(
                {
                    "machine": MACHINE,
                    "commit": commit(),
                    "pages": options.pages,
                    "page_size": options.page_size,
                    "latency_ms": options.latency,
                    "bytes": n_bytes,
                    "rows": rows,
                    "results": results,
                    "ratios": ratios,
                }
            )
        )
        return
    print(
        f"{options.pages} pages x {options.page_size} records, {n_bytes / 1e6:.0f} MB, latency {options.latency} ms, commit {commit()}"
    )
    print_steps(rows, results, ratios)


if __name__ == "__main__":
    main()
