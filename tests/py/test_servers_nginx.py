"""nginx with `limit_req` and `limit_conn`, which say nothing of their limits but 429: nothing is lost, little is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import programs
import pytest
from oracle import make_pipeline, read_tables
from servers import Answer, Request

pytestmark = pytest.mark.skipif(programs.program("nginx") is None, reason="no nginx here")

RATE = "limit_req_zone $binary_remote_addr zone=r:1m rate=100r/s; limit_req_status 429;"
ONE = "limit_conn_zone $binary_remote_addr zone=c:1m; limit_conn_status 429;"


def write_pages(folder: Path, n_pages: int) -> None:
    (folder / "root").mkdir()
    for page in range(n_pages):
        items = [{"id": page}]
        (folder / "root" / f"page{page}.json").write_text(json.dumps({"total": n_pages, "items": items}))


def run(folder: Path, url: str, **client: Any) -> tuple[list[int], list[int]]:
    """The ids that were loaded in order, and the statuses that nginx gave."""
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    endpoint = {"path": "limited", "data_selector": "items", "paginator": paginator}
    made: Any = {"client": {"base_url": url, **client}, "resources": [{"name": "items", "endpoint": endpoint}]}
    pipeline = make_pipeline(folder, "p")
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    statuses = [
        int(line.split()[1])
        for line in (folder / "access.log").read_text().splitlines()
        if "limited" in line or "page" in line
    ]
    return [row["id"] for row in read_tables(pipeline)["items"]], statuses


PAGES = "root ROOT; location /limited { LIMIT; try_files /page$arg_page.json =404; }"


def served(folder: Path, limit: str) -> str:
    return PAGES.replace("ROOT", str(folder / "root")).replace("LIMIT", limit)


def test_a_rate_that_is_kept_is_never_refused(tmp_path: Path, native_only: Any) -> None:
    write_pages(tmp_path, 150)
    with programs.nginx(tmp_path, served(tmp_path, "limit_req zone=r burst=20 nodelay"), RATE) as server:
        ids, statuses = run(tmp_path, server.url, max_requests_per_second=90)
    assert ids == list(range(150))
    assert statuses == [200] * 150


def test_a_rate_that_is_not_told_is_found(tmp_path: Path, native_only: Any) -> None:
    write_pages(tmp_path, 300)
    with programs.nginx(tmp_path, served(tmp_path, "limit_req zone=r burst=20 nodelay"), RATE) as server:
        ids, statuses = run(tmp_path, server.url)
    assert ids == list(range(300))
    assert statuses.count(200) == 300
    # While it is found out: all 16 in flight find the bucket empty at first and once more, and a few while the rate is raised.
    assert statuses.count(429) <= 2 * 16 + 8


def test_one_at_a_time_is_found(api: Any, tmp_path: Path, native_only: Any) -> None:
    """nginx lets one request through at a time to a server that needs 20 ms."""

    def handler(request: Request) -> Answer:
        time.sleep(0.02)
        return Answer({"total": 60, "items": [{"id": int(request.query["page"])}]})

    behind = api(handler)
    served = f"location /limited {{ limit_conn c 1; proxy_pass {behind.url}; }}"
    with programs.nginx(tmp_path, served, ONE) as server:
        ids, statuses = run(tmp_path, server.url)
    assert ids == list(range(60))
    assert statuses.count(200) == 60
    assert 1 <= statuses.count(429) <= 3
    assert behind.most_in_flight == 1
