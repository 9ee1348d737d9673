"""`./dev bench rest`: one REST endpoint into DuckDB, dlt at its best settings beside headrace, in one run, tables compared.

Each side runs in a process of its own, step by step (extract, normalize, load): wall seconds, CPU seconds of the process, peak
RSS of the step. dlt at its best: Parquet, no compression of intermediate files, buffers of 20,000 items. `--defaults` also runs
dlt as it comes (on DuckDB: minutes for the full size).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def peak_rss_mb() -> float:
    """The peak since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


def reset_peak() -> None:
    """Makes the kernel forget the peak so far."""
    Path("/proc/self/clear_refs").write_text("5")


def one_side(side: str, port: int, folder: str, pagination: str, in_flight: int, load: bool) -> dict[str, Any]:
    """Runs one side in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    if side != "defaults":
        os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
        os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
        os.environ["DATA_WRITER__BUFFER_MAX_ITEMS"] = "20000"
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
    out: dict[str, Any] = {}
    for name, step in steps.items():
        if name == "load" and not load:
            continue
        reset_peak()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        step()
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
        out[name] = {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "peak_rss_mb": round(peak_rss_mb())}
    return out


def compare(a: str, b: str) -> dict[str, int]:
    """Rows a table; raises when the two databases' tables differ. Child rows are compared with their root's id and place."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"attach '{a}' as a (read_only); attach '{b}' as b (read_only)")
    rows: dict[str, int] = {}
    tables = "select table_name from duckdb_tables() where database_name = '{}' and not starts_with(table_name, '_dlt') order by 1"
    names = [name for (name,) in connection.execute(tables.format("a")).fetchall()]
    assert names == [name for (name,) in connection.execute(tables.format("b")).fetchall()]
    for name in names:
        columns = [row[0] for row in connection.execute(f'describe a.data."{name}"').fetchall()]
        assert columns == [row[0] for row in connection.execute(f'describe b.data."{name}"').fetchall()], name
        plain = ", ".join(
            f't."{column}"' for column in columns if column not in ("_dlt_id", "_dlt_parent_id", "_dlt_load_id")
        )
        root = name.split("__")[0]
        query = (
            f'select {plain} from {{0}}.data."{name}" t'
            if root == name
            else f'select r.id as root, {plain} from {{0}}.data."{name}" t join {{0}}.data."{root}" r on t._dlt_parent_id = r._dlt_id'
        )
        found = [connection.execute(f'select count(*) from {side}.data."{name}"').fetchone()[0] for side in "ab"]  # type: ignore[index]
        joined = connection.execute(f"select count(*) from ({query.format('b')})").fetchone()[0]  # type: ignore[index]
        assert found[0] == found[1] == joined, (name, found, joined)
        differing = connection.execute(
            f"select count(*) from (({query.format('a')}) except all ({query.format('b')}))"
        ).fetchone()[0]  # type: ignore[index]
        assert differing == 0, (name, differing)
        rows[name] = found[0]
    return rows


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

    def total(side: str, key: str, *steps: str) -> float:
        return sum(results[side][step][key] for step in steps if step in results[side])

    ours, best = "headrace", "best"
    ratios = {
        "extract+normalize": total(best, "wall_s", "extract", "normalize")
        / total(ours, "wall_s", "extract", "normalize"),
        "total": total(best, "wall_s", "extract", "normalize", "load")
        / total(ours, "wall_s", "extract", "normalize", "load"),
        "cpu extract+normalize": total(best, "cpu_s", "extract", "normalize")
        / total(ours, "cpu_s", "extract", "normalize"),
    }
    ratios = {name: round(value, 1) for name, value in ratios.items()}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    if options.json:
        print(
            json.dumps(
                {
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                    "commit": commit,
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
        f"{options.pages} pages x {options.page_size} records, {n_bytes / 1e6:.0f} MB, latency {options.latency} ms, commit {commit}"
    )
    print(f"{'':10}{'step':12}{'wall s':>9}{'CPU s':>9}{'peak RSS MB':>13}")
    for side, steps in results.items():
        for step, figures in steps.items():
            print(f"{side:10}{step:12}{figures['wall_s']:9.2f}{figures['cpu_s']:9.2f}{figures['peak_rss_mb']:13}")
    for name, value in ratios.items():
        print(f"dlt at its best / headrace, {name}: {value}")
    if rows:
        print(f"tables equal: {rows}")


if __name__ == "__main__":
    main()
