"""What the benchmarks share: steps measured, tables compared, figures printed."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# dlt at its best: with Parquet, no compression of intermediate files, buffers of 20,000 items.
BEST_SETTINGS = {
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
}
MACHINE = f"{platform.machine()}, {os.cpu_count()} cores"


def peak_rss_mb() -> float:
    """The peak since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


def reset_peak() -> None:
    """Makes the kernel forget the peak so far."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(steps: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Runs the steps in order: wall seconds, CPU seconds of the process, peak RSS of each."""
    out: dict[str, Any] = {}
    for name, step in steps.items():
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


def commit() -> str:
    """The commit that is measured."""
    here = Path(__file__).parent
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=here
    ).stdout.strip()


def step_ratios(results: dict[str, Any], steps: tuple[str, ...]) -> dict[str, float]:
    """dlt at its best over headrace: wall of these steps, wall in all, CPU of these steps."""

    def total(side: str, key: str, *steps: str) -> float:
        return sum(results[side][step][key] for step in steps if step in results[side])

    def ratio(key: str, *steps: str) -> float:
        return round(total("best", key, *steps) / total("headrace", key, *steps), 1)

    name = "+".join(steps)
    return {
        name: ratio("wall_s", *steps),
        "total": ratio("wall_s", "extract", "normalize", "load"),
        f"cpu {name}": ratio("cpu_s", *steps),
    }


def print_steps(rows: dict[str, int], results: dict[str, Any], ratios: dict[str, float]) -> None:
    """Prints what was measured."""
    print(f"{'':10}{'step':12}{'wall s':>9}{'CPU s':>9}{'peak RSS MB':>13}")
    for side, steps in results.items():
        for step, figures in steps.items():
            print(f"{side:10}{step:12}{figures['wall_s']:9.2f}{figures['cpu_s']:9.2f}{figures['peak_rss_mb']:13}")
    for name, value in ratios.items():
        print(f"dlt at its best / headrace, {name}: {value}")
    if rows:
        print(f"tables equal: {rows}")
