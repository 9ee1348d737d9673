"""`./dev bench files s3`: an object of an S3 server on loopback (rclone, which checks signatures), as fast as it can be fetched
alone, and as headrace's readers get it: in ranges, held against the object's version, in order and to seek in.

alone: curl, one request for all of it; s3fs, ranges of 4 MiB by four threads. Each side by turns, the best of its runs.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measure import MACHINE, commit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))
import programs

KEY, SECRET = "AKIDEXAMPLE12345", "sk123456secretsecret"
_RANGE = 4 << 20
_BLOCK = 240_000  # what readers of lines ask for


def sides(server: Any) -> dict[str, Callable[[], int]]:
    """What is measured: functions that fetch the object and say how many bytes that were."""
    import headrace.sources.filesystem as files
    from dlt.common.configuration.specs import AwsCredentials
    from headrace._files.opened import open_file, open_seekable

    credentials = AwsCredentials(
        aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=server.url, region_name="us-east-1"
    )
    (item,) = files.filesystem("s3://bucket", credentials, file_glob="data")
    fs, size = item.fsspec, int(item["size_in_bytes"])

    def curl() -> int:
        command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}", "--aws-sigv4", "aws:amz:us-east-1:s3"]
        command += ["--user", f"{KEY}:{SECRET}", f"{server.url}/bucket/data"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def ranges() -> int:
        def one(start: int) -> int:
            return len(fs.cat_file("bucket/data", start=start, end=min(start + _RANGE, size)))

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(one, range(0, size, _RANGE)))

    def read(opened: Any) -> int:
        n_bytes = 0
        with opened as file:
            while block := file.read(_BLOCK):
                n_bytes += len(block)
            file.check_unchanged()
        return n_bytes

    return {
        "alone: curl": curl,
        "alone: s3fs ranges": ranges,
        "headrace in order": lambda: read(open_file(item, _BLOCK)),
        "headrace to seek in": lambda: read(open_seekable(item)),
    }


def run(n_bytes: int, n_rounds: int, as_json: bool) -> None:
    """Measures and prints."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bucket = Path(folder, "bucket")
        bucket.mkdir()
        block = random.Random(1).randbytes(1 << 20)
        with (bucket / "data").open("wb") as file:
            for start in range(0, n_bytes, len(block)):
                file.write(block[: n_bytes - start])
        with programs.rclone_s3(Path(folder), KEY, SECRET) as server:
            for _ in range(n_rounds):
                for name, fetch in sides(server).items():
                    started = time.perf_counter()
                    found = fetch()
                    rates.setdefault(name, []).append(n_bytes / (time.perf_counter() - started) / 1e6)
                    assert found == n_bytes, (name, found)
    best = {name: round(max(found)) for name, found in rates.items()}
    alone = max(rate for name, rate in best.items() if name.startswith("alone"))
    ratios = {name: round(rate / alone, 2) for name, rate in best.items() if not name.startswith("alone")}
    if as_json:
        print(json.dumps({"machine": MACHINE, "commit": commit(), "bytes": n_bytes, "mb_s": rates, "ratios": ratios}))
        return
    print(f"s3: an object of {n_bytes / 1e6:.0f} MB, {n_rounds} rounds, commit {commit()}")
    for name, found in rates.items():
        print(f"  {name:20} {max(found):5.0f} MB/s  (all: {', '.join(f'{rate:.0f}' for rate in found)})")
    for name, ratio in ratios.items():
        print(f"  {name}: {ratio} of the best alone")
