"""An authenticated proxy that nobody here wrote (proxy.py): http and https through it, by dlt and by headrace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import programs
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables, run_both
from servers import Answer, Request

pytestmark = pytest.mark.skipif(not programs.has("proxy"), reason="requirements-servers.txt")


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    with programs.proxy_py("me", "s3cret") as server:
        yield f"me:s3cret@127.0.0.1:{server.port}"


def paged(request: Request) -> Answer:
    page = int(request.query["page"])
    return Answer({"total": 12, "items": [{"id": page * 10 + n, "tags": ["a"] * (n % 3)} for n in range(10)]})


def config(url: str, path: str, **client: Any) -> Any:
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    endpoint = {"path": path, "data_selector": "items", "paginator": paginator if path == "items" else "single_page"}
    return {"client": {"base_url": url, **client}, "resources": [{"name": "items", "endpoint": endpoint}]}


@pytest.mark.parametrize("is_tls", [False, True])
def test_both_go_through_it(
    api: Any, faults: Any, proxy: str, tmp_path: Path, monkeypatch: Any, native_only: Any, is_tls: bool
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", faults.cert)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{proxy}")
    url, path = (faults.tls_url, "json") if is_tls else (api(paged).url, "items")
    run_both(lambda: config(url, path), tmp_path)


def test_by_configuration(api: Any, proxy: str, tmp_path: Path, native_only: Any) -> None:
    pipeline = make_pipeline(tmp_path, "p")
    made = config(api(paged).url, "items", network={"proxy": f"http://{proxy}"})
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(120))


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_wrong_password_is_told_and_not_shown(
    api: Any, faults: Any, proxy: str, tmp_path: Path, is_tls: bool
) -> None:
    wrong = f"http://{proxy.replace('s3cret', 'wr0ng')}"
    network = {"proxy": wrong, "ca_bundle": faults.cert}
    url = faults.tls_url if is_tls else api(paged).url
    made = config(url, "json" if is_tls else "items", network=network, retry={"max_attempts": 1})
    with pytest.raises(PipelineStepFailed, match="407") as caught:
        make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(made, name="api"))
    assert "wr0ng" not in str(caught.value)
