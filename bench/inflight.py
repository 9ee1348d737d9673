"""`./dev bench inflight`: how close fetching comes to N x L / in flight, and what a small request costs.

    pages     500 pages at 50 ms, page_number with a total, in flight 16      mark: 1.2 x N x L / 16
    parents   10,000 parents x 1 page at 20 ms, in flight 32                  mark: 1.3 x N x L / 32
    cursor    200 pages at 50 ms, each names the next                         mark: 1.1 x N x L
    links     500 pages at 50 ms by numbered Link headers, in flight 16       mark: 1.2 x N x L / 16
    serial    1,000 pages at 20 ms, of a server that refuses what is parallel  mark: 1.05 x N x L, 3 answered 429
    rate      5,000 pages at 20 ms, of one that takes 100 a second, 20 of them at once  mark: 95 % of its rate, 1 % answered 429
    bucket    5,000 pages at 1 ms, of one that takes 100 a second, each 10 ms one       the same
    small     20,000 pages of 2 KB without latency: requests a second with the server on the same machine, and CPU a request
              beside dlt's own rest_api and beside dlt's bare session, which read 2,000 of them as JSON

    bulk      by hand: `./dev bench inflight bulk --gb 5`: so much in pages of 1 MB     mark: 300 MB resident at most

Each run is a process of its own and ends after extract: wall seconds of extract, CPU seconds of the process. In extract headrace
makes the tables' rows, too, which dlt does later.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from measure import MACHINE, commit, measure
from records import pages

HERE = Path(__file__).parent
# name: pages (or parents), records a page, latency in ms, in flight, mark (of the wall, or of the rate)
CASES: dict[str, tuple[int, int, float, int, float]] = {
    "pages": (500, 10, 50, 16, 1.2),
    "parents": (10_000, 2, 20, 32, 1.3),
    "cursor": (200, 10, 50, 1, 1.1),
    "links": (500, 10, 50, 16, 1.2),
    "serial": (1_000, 2, 20, 16, 1.05),
    "rate": (5_000, 2, 20, 16, 0.95),
    "bucket": (5_000, 2, 1, 16, 0.95),
    "small": (20_000, 2, 0, 16, 0),
    "bulk": (50, 900, 0, 16, 0),  # different pages; given again and again
}
_BY_HAND = "bulk"
_MOST_RESIDENT_MB = 300
# Of the server: how many at once (0: any number), requests a second, tokens of its bucket; and the most answers of 429.
LIMITS: dict[str, tuple[int, float, int, int]] = {
    "serial": (1, 0, 0, 3),
    "rate": (0, 100, 20, 50),
    "bucket": (0, 100, 1, 50),
}
_DLTS_REQUESTS = 2_000


def config(case: str, url: str, n: int) -> Any:
    """The source's configuration."""
    endpoint: dict[str, Any] = {"path": "items", "data_selector": "items", "paginator": {"type": "page_number"}}
    endpoint["paginator"] |= {"base_page": 0, "total_path": "total"}
    if case == "cursor":
        endpoint |= {"path": "cursor", "paginator": {"type": "header_cursor", "cursor_key": "X-Next"}}
    if case == _BY_HAND:
        endpoint |= {"path": "again", "paginator": {"type": "page_number", "base_page": 0, "total_path": None}}
        endpoint["paginator"]["maximum_page"] = n
    if case == "links":
        endpoint |= {"path": "links", "paginator": "header_link"}
    resources: list[Any] = [{"name": "items", "endpoint": endpoint}]
    if case == "parents":
        import dlt

        parents = dlt.resource([{"number": number} for number in range(n)], name="parents", selected=False)
        endpoint = {
            "path": "items?page={resources.parents.number}",
            "data_selector": "items",
            "paginator": "single_page",
        }
        resources = [parents, {"name": "items", "endpoint": endpoint}]
    return {"client": {"base_url": url}, "resources": resources}


def one_side(case: str, port: int, folder: str, n_pages: int = 0) -> dict[str, float]:
    """Runs one case in this process, by dlt when it ends in `-dlt` or `-session`. n_pages: in place of the case's."""
    case, _, by = case.partition("-")
    n, size, _, in_flight, _ = CASES[case]
    n = _DLTS_REQUESTS if by else n_pages or n
    url = f"http://127.0.0.1:{port}"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["HEADRACE__MAX_IN_FLIGHT_PER_HOST"] = str(in_flight)
    import dlt

    if by == "session":
        from dlt.sources.helpers import requests

        session = requests.Client().session

        def work() -> None:
            for number in range(n):
                session.get(f"{url}/items", params={"page": number}).json()
    else:
        from dlt.sources import rest_api as dlts
        from headrace.sources import rest_api as ours

        made = config(case, url, n)
        if by:
            made["resources"][0]["endpoint"]["paginator"]["maximum_page"] = n
        source = (dlts if by else ours).rest_api_source(made, name="api")
        pipeline = dlt.pipeline(case, pipelines_dir=folder, destination="duckdb")

        def work() -> None:
            info = pipeline.extract(source, loader_file_format="parquet")
            metrics = next(one for steps in info.metrics.values() for one in steps if "items" in one["table_metrics"])
            n_rows = metrics["table_metrics"]["items"].items_count
            assert n_rows == n * size, (n_rows, n, size)

    return {"requests": n, **measure({"work": work})["work"]}


def measured(case: str, port: int, n_pages: int = 0) -> dict[str, float]:
    """The same in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        args = [sys.executable, __file__, "--side", case, "--port", str(port), "--folder", folder]
        args += ["--pages", str(n_pages)]
        done = subprocess.run(args, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr[-4000:])
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def run(case: str, gb: float) -> None:
    """Starts a server, measures, prints."""
    n, size, latency, _, _ = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        program, file = str(Path(folder) / "page_server"), Path(folder) / "pages.jsonl"
        subprocess.run(["cc", "-O2", "-o", program, str(HERE / "page_server.c")], check=True)
        file.write_bytes(b"".join(page + b"\n" for page in pages(n, size)))
        limits = [str(value) for value in LIMITS.get(case, ())[:3]]
        server = subprocess.Popen([program, str(file), str(latency), *limits], stdout=subprocess.PIPE, text=True)
        try:
            report(case, server, gb)
        finally:
            server.kill()
            server.wait()


def report(case: str, server: subprocess.Popen[str], gb: float) -> None:
    """Measures a case against a server and prints it."""
    n, _, latency, in_flight, mark = CASES[case]
    assert server.stdout is not None
    port, n_bytes = map(int, server.stdout.readline().split())
    if case == _BY_HAND:
        ours = measured(case, port, int(gb * 1e9 * n / n_bytes))
        n_fetched = int(ours["requests"])
        print(
            f"{case:8}{n_fetched:7} requests of {n_bytes // n} bytes, {n_fetched * n_bytes / n / 1e9:.2f} GB: wall"
            f" {ours['wall_s']:.1f} s, CPU {ours['cpu_s']:.1f} s; peak RSS {ours['peak_rss_mb']:.0f} MB (mark {_MOST_RESIDENT_MB})"
        )
        return
    ours = measured(case, port)
    text = f"{case:8}{n:7} requests of {n_bytes // n} bytes: wall {ours['wall_s']:.2f} s, CPU {ours['cpu_s']:.2f} s"
    if case in LIMITS:
        at_once, rate, burst, most = LIMITS[case]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/refused") as answer:
            n_refused = json.load(answer)["refused"]
        text += f"; {n_refused} answered 429 (mark {most})"
        in_flight = at_once or in_flight
        if rate:
            share = (n - burst) / rate / ours["wall_s"]
            print(f"{text}; {share:.1%} of {rate:.0f} requests/s (mark {mark:.0%})")
            return
    if mark:
        least_s = n * latency / 1000 / in_flight
        print(f"{text}; {ours['wall_s'] / least_s:.2f} x of {least_s:.2f} s (mark {mark})")
        return
    each, dlts, session = (
        1e6 * side["cpu_s"] / side["requests"]
        for side in (ours, measured(f"{case}-dlt", port), measured(f"{case}-session", port))
    )
    print(
        f"{text}; {n / ours['wall_s']:.0f} requests/s; CPU a request {each:.0f} us, dlt's rest_api {dlts:.0f} us:"
        f" 1/{dlts / each:.1f}; dlt's bare session {session:.0f} us: 1/{session / each:.1f}"
    )


def main() -> None:
    """Runs the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--gb", type=float, default=5, help="of `bulk`")
    parser.add_argument("--pages", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one_side(options.side, options.port, options.folder, options.pages)))
        return
    print(f"{MACHINE}, commit {commit()}, load {os.getloadavg()[0]:.1f}")
    for case in options.case or [case for case in CASES if case != _BY_HAND]:
        run(case, options.gb)


if __name__ == "__main__":
    main()
