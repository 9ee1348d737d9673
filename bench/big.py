"""`./dev bench files big KIND --gb 10`: one big local file, "jsonl" or "csv.gz" (one gzip member), to dlt's tables as Parquet; what
memory and how many cores it takes, by tenths of the run. By hand: it writes the file and the tables below TMPDIR, and removes them.

Anonymous memory is what the process holds; resident memory is with mapped file pages, which the kernel may drop.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from measure import BEST_SETTINGS, MACHINE, commit

KINDS = {"jsonl": "read_jsonl", "csv.gz": "read_csv"}


def make(path: Path, kind: str, n_bytes: int) -> None:
    """A file of about so many bytes: the records of the other cases, again and again."""
    import files

    with tempfile.TemporaryDirectory() as folder:
        files.CASES[kind.partition(".")[0]].make(Path(folder), 50_000)
        text = next(Path(folder).iterdir()).read_bytes()
    if kind == "jsonl":
        with path.open("wb") as file:
            for _ in range(0, n_bytes, len(text)):
                file.write(text)
        return
    head, _, rows = text.partition(b"\n")
    pack = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = pack.compress(head + b"\n") + pack.flush(zlib.Z_FULL_FLUSH)
    part = pack.compress(rows) + pack.flush(zlib.Z_FULL_FLUSH)  # needs nothing before it: it may come again
    crc, size = zlib.crc32(head + b"\n"), len(head) + 1
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start)
        for _ in range(0, n_bytes, len(part)):
            file.write(part)
            crc, size = zlib.crc32(rows, crc), size + len(rows)
        file.write(pack.flush() + struct.pack("<II", crc, size & 0xFFFFFFFF))


def extract(folder: str, kind: str) -> dict[str, Any]:
    """Extracts it in this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.update(BEST_SETTINGS)
    import dlt
    import headrace.sources.filesystem as files
    from volume import sampled

    pipeline = dlt.pipeline("big", pipelines_dir=folder, destination="duckdb", dataset_name="data")
    reader = files.filesystem(f"{folder}/files", file_glob="*") | getattr(files, KINDS[kind])().with_name("rows")
    step, samples = sampled(lambda: pipeline.extract(reader, loader_file_format="parquet"))
    metrics = pipeline.last_trace.last_extract_info.metrics
    n_rows = [
        one[0]["table_metrics"]["rows"].items_count for one in metrics.values() if "rows" in one[0]["table_metrics"]
    ]
    return {"step": step, "samples": samples, "rows": sum(n_rows)}


def run(kind: str, gb: float, as_json: bool) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder, "files", f"big.{kind}")
        path.parent.mkdir()
        print("writing the file ...", file=sys.stderr)
        make(path, kind, int(gb * 1e9))
        n_bytes = path.stat().st_size
        done = subprocess.run([sys.executable, __file__, folder, kind], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if as_json:
        print(json.dumps({"machine": MACHINE, "commit": commit(), "kind": kind, "bytes": n_bytes, **found}))
        return
    step, samples = found["step"], found["samples"]
    print(f"big: {kind} of {n_bytes / 1e9:.1f} GB, {found['rows']} rows, {MACHINE}, commit {commit()}")
    print(f"extract: wall {step['wall_s']:.1f} s, CPU {step['cpu_s']:.1f} s, peak RSS {step['peak_rss_mb']} MB")
    print(f"{'to s':>6}{'anonymous MB':>14}{'resident MB':>13}{'cores busy':>12}")
    n = max((len(samples) - 1) // 10, 1)
    for first in range(0, len(samples) - 1, n):
        part = samples[first : first + n + 1]
        cores = (part[-1][2] - part[0][2]) / (part[-1][3] - part[0][3])
        print(f"{part[-1][3]:6.0f}{max(one[0] for one in part):14}{max(one[1] for one in part):13}{cores:12.1f}")


if __name__ == "__main__":
    print(json.dumps(extract(*sys.argv[1:])))
