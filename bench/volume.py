"""`./dev bench volume`: memory of dlt's normalize step in the engine over many records (10 million: 10.9 GB of JSON by default), as files.

A file of `--records` records is extracted once and stands `--files` times in the load package (hard links). Resident memory is
sampled each second: anonymous (what the process holds) and in all (with mapped file pages, which the kernel may drop).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measure import BEST_SETTINGS, commit, measure

PAGE = 100
DISTINCT = 1000


def pipeline_in(folder: str) -> Any:
    """The pipeline."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.update(BEST_SETTINGS)
    import dlt

    return dlt.pipeline("volume", pipelines_dir=folder, destination="duckdb", dataset_name="data")


def prepare(folder: str, n_records: int, n_files: int) -> int:
    """Makes the extracted package. Its bytes."""
    pipeline = pipeline_in(folder)
    import dlt
    import orjson
    import records

    texts = records.pages(DISTINCT, PAGE)

    @dlt.resource(name="issues")
    def issues() -> Iterator[Any]:
        for number in range(n_records // PAGE):
            yield orjson.loads(texts[number % DISTINCT])["items"]

    pipeline.extract(issues(), loader_file_format="parquet")
    (file,) = Path(folder).glob("**/new_jobs/issues.*.typed-jsonl")
    table, file_id, rest = file.name.split(".", 2)
    for number in range(1, n_files):
        file.with_name(f"{table}.{number:04}{file_id[4:]}.{rest}").hardlink_to(file)
    return file.stat().st_size * n_files


Sample = tuple[int, int, float, float]


def sampled(run: Callable[[], Any]) -> tuple[dict[str, Any], list[Sample]]:
    """Runs it: what it took, and each second: anonymous and whole resident MB, seconds of CPU, seconds since it began."""
    samples: list[Sample] = []
    done = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        while True:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            anonymous, resident = (int(status[name].split()[0]) // 1024 for name in ("RssAnon", "VmRSS"))
            samples.append((anonymous, resident, time.process_time(), time.monotonic() - began))
            if done.wait(1):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        steps = measure({"normalize": run})
    finally:
        done.set()
        thread.join()
    return steps["normalize"], samples


def svg(samples: list[Sample], limit_mb: int) -> str:
    """The samples as a picture."""
    width, height, top = 640, 240, limit_mb * 1.1
    across = (width - 60) / max(len(samples) - 1, 1)

    def line(index: int, color: str) -> str:
        points = " ".join(
            f"{50 + across * n:.1f},{height - 30 - (height - 50) * sample[index] / top:.1f}"
            for n, sample in enumerate(samples)
        )
        return f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{points}"/>'

    def mark(value: int, text: str, dash: str = "") -> str:
        y = height - 30 - (height - 50) * value / top
        return (
            f'<line x1="50" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#999" stroke-width="0.5"{dash}/>'
            f'<text x="45" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )

    dashed = ' stroke-dasharray="4"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            mark(0, "0"),
            mark(100, "100 MB"),
            mark(200, "200 MB"),
            mark(limit_mb, f"{limit_mb} MB", dashed),
            line(1, "#7aa6d8"),
            line(0, "#1f4e8c"),
            f'<text x="50" y="{height - 10}">0 s</text>',
            f'<text x="{width - 10}" y="{height - 10}" text-anchor="end">{len(samples) - 1} s</text>',
            f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">dark: anonymous, light: with mapped file'
            " pages, dashed: memory_limit + 100 MB</text>",
            "</svg>\n",
        )
    )


def main() -> None:
    """Measures and prints; draws if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--svg", type=Path, help="where to draw the samples")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--extract-into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.extract_into:  # a process of its own, whose memory does not count
        print(prepare(options.extract_into, options.records, options.files))
        return
    import headrace
    from headrace.config import settings

    headrace.install()
    limit_mb = (settings().memory_limit >> 20) + 100
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        print("extracting ...", file=sys.stderr)
        counts = [f"--records={options.records}", f"--files={options.files}"]
        done = subprocess.run(
            [sys.executable, __file__, *counts, f"--extract-into={folder}"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        n_bytes = int(done.stdout.splitlines()[-1])
        step, samples = sampled(pipeline_in(folder).normalize)
    anon = [sample[0] for sample in samples]
    halves = max(anon[: len(anon) // 2]), max(anon[len(anon) // 2 :])
    if options.svg is not None:
        options.svg.write_text(svg(samples, limit_mb))
    if options.json:
        print(json.dumps({"commit": commit(), "bytes": n_bytes, "step": step, "samples": samples}))
        return
    print(f"{options.records * options.files} records, {n_bytes / 1e9:.1f} GB of JSON, commit {commit()}")
    print(f"normalize: wall {step['wall_s']:.1f} s, CPU {step['cpu_s']:.1f} s, peak RSS {step['peak_rss_mb']} MB")
    print(
        f"anonymous memory: at most {halves[0]} MB in the first half, {halves[1]} MB in the second; limit {limit_mb} MB"
    )


if __name__ == "__main__":
    main()
