"""`./dev demo`: the chess example through headrace into DuckDB, then dlt's own rest_api on the same server, tables compared."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATE = ROOT / ".headrace"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(ROOT / "tests" / "py"))
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as headrace_rest_api
from chess_config import chess_config
from oracle import assert_equal


def real_pgn_folder() -> Path | None:
    """PGN files of the chess package's source distribution, downloaded once; None where it is not to be had."""
    folder = STATE / "chess-sdist"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation"]
        target = STATE / "download"
        done = subprocess.run(
            [*command, "--no-binary", ":all:", "-d", str(target), "chess==1.11.2"], capture_output=True, text=True
        )
        archives = list(target.glob("*.tar.gz")) if done.returncode == 0 else []
        if not archives:
            return None
        with tarfile.open(archives[0]) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(".pgn") and ".." not in m.name]
            archive.extractall(folder, members=members)
    return folder


def run(module: Any, name: str, base_url: str, progress: Any) -> tuple[dlt.Pipeline, float]:
    """One pipeline into its own DuckDB file; seconds of extract, normalize and load."""
    folder = STATE / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / f"chess_{name}.duckdb"
    database.unlink(missing_ok=True)
    pipeline = dlt.pipeline(
        f"chess_{name}",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(database)),
        dataset_name="data",
        progress=progress,
    )
    pipeline.drop()
    started = time.perf_counter()
    pipeline.run(module.rest_api_source(chess_config(base_url), name="chess"), loader_file_format="parquet")
    return pipeline, time.perf_counter() - started


def main() -> int:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", action="store_true", help="the real API instead of the local replica; headrace only")
    parser.add_argument("--serial-only", action="store_true", help="the replica answers 429 to parallel requests")
    options = parser.parse_args()
    if options.live:
        pipeline, seconds = run(headrace_rest_api, "headrace", "https://api.chess.com/pub", "log")
        finish(pipeline, seconds, None)
        return 0
    print("making the replica's games (some seconds, the first time only) ...", flush=True)
    command = [sys.executable, str(HERE / "replica.py"), "--cache", str(STATE / "chess.json")]
    real = real_pgn_folder()
    command += ["--real", str(real)] if real else []
    command += ["--serial-only"] if options.serial_only else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port, n_games, n_real = map(int, server.stdout.readline().split())
        print(f"replica of api.chess.com: {n_games} games, {n_real} of them real; 60 ms an answer", flush=True)
        base_url = f"http://127.0.0.1:{port}/pub"
        progress = "tqdm" if sys.stderr.isatty() else None
        print("headrace ...", flush=True)
        ours, our_seconds = run(headrace_rest_api, "headrace", base_url, progress)
        print(f"  {our_seconds:.1f} s\ndlt's own rest_api ...", flush=True)
        theirs, their_seconds = run(dlt_rest_api, "dlt", base_url, progress)
        print(f"  {their_seconds:.1f} s", flush=True)
    finally:
        server.kill()
    assert_equal(theirs, ours)
    finish(ours, our_seconds, their_seconds)
    return 0


def finish(pipeline: dlt.Pipeline, seconds: float, their_seconds: float | None) -> None:
    """Rows, seconds, and what to do next."""
    print("\nrows:")
    counts = pipeline.last_trace.last_normalize_info.row_counts if pipeline.last_trace.last_normalize_info else {}
    for name, count in counts.items():
        if not name.startswith("_dlt"):
            print(f"  {name:40}{count:8}")
    print(f"\nheadrace {seconds:.1f} s", end="")
    if their_seconds is not None:
        print(f", dlt {their_seconds:.1f} s: {their_seconds / seconds:.1f} times faster, tables equal", end="")
    database = STATE / "demo" / "chess_headrace.duckdb"
    query = "select time_class, count(*) from data.players_games group by 1"
    python = Path(sys.executable)
    print(
        "\n\nnext:\n"
        f"  {python} -c \"import duckdb; print(duckdb.connect('{database}').sql('{query}'))\"\n"
        f"  {python.parent / 'dlt'} pipeline --pipelines-dir {STATE / 'demo' / 'pipelines'} chess_headrace info"
    )


if __name__ == "__main__":
    sys.exit(main())
