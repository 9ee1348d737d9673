"""`./dev bench files tracked`: `filesystem(only_new="version")` over many local files that nothing reads: seconds, memory and bytes of
state of a first run, of one that knows all files, and of one where a file is gone and one came late.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from measure import MACHINE, commit, measure


def make(folder: Path, n_files: int) -> None:
    """Empty files, 1000 in a folder, with names as exports have them."""
    for first in range(0, n_files, 1000):
        day = folder / f"{first // 1000:05}"
        day.mkdir(parents=True)
        for number in range(first, min(first + 1000, n_files)):
            os.close(os.open(day / f"orders-{number:08}.jsonl", os.O_CREAT | os.O_WRONLY))


def run(n_files: int, as_json: bool) -> None:
    """Measures and prints."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    import headrace.sources.filesystem as files

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "files")
        make(root, n_files)
        listed: list[int] = []
        pipeline = dlt.pipeline("tracked", pipelines_dir=f"{folder}/dlt", destination="duckdb", dataset_name="data")

        def extract() -> None:
            @dlt.transformer(name="counted")
            def counted(items: Any) -> Any:
                listed[-1] += len(items)
                yield from ()

            listed.append(0)
            made = files.filesystem(str(root), file_glob="**/*.jsonl", only_new="version", files_per_page=1000)
            pipeline.extract(made | counted)

        def change() -> None:
            (root / "00000" / "orders-00000000.jsonl").unlink()
            late = root / "00000" / "late.jsonl"
            late.touch()
            os.utime(late, (1, 1))
            extract()

        results = measure({"first run": extract, "all known": extract, "one gone, one late": change})
        # the state of the pipe's first step, by its name
        found = [pipeline.state["sources"][name] for name in pipeline.state["sources"]]
        n_bytes = len(json.dumps(found))
        (kept,) = found[0]["resources"]["filesystem"]["headrace_files"].values()
    assert listed == [n_files, 0, 1], listed
    assert kept["removed"] == ["00000/orders-00000000.jsonl"], kept["removed"]
    if as_json:
        print(
            json.dumps({"machine": MACHINE, "commit": commit(), "files": n_files, "state": n_bytes, "results": results})
        )
        return
    print(
        f"tracked: {n_files} files, state {n_bytes / 1e6:.1f} MB ({n_bytes / n_files:.1f} bytes a file), commit {commit()}"
    )
    for name, one in results.items():
        print(f"  {name:20} {one['wall_s']:7.2f} s wall {one['cpu_s']:7.2f} s CPU {one['peak_rss_mb']:6} MB")
