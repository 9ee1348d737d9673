"""`[headrace.api.<source>]` of config.toml: headrace's keys for sources of dlt's own rest_api, and below the code of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.pipeline.exceptions import PipelineStepFailed
from oracle import make_pipeline, read_tables
from servers import Answer, Request

PAGES = 4


@pytest.fixture
def project(tmp_path: Path, monkeypatch: Any) -> Iterator[Callable[..., None]]:
    """Writes config.toml and secrets.toml of the folder where dlt looks."""
    (tmp_path / ".dlt").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(config: str, secrets: str = "") -> None:
        (tmp_path / ".dlt" / "config.toml").write_text(config)
        (tmp_path / ".dlt" / "secrets.toml").write_text(secrets)
        Container()[PluggableRunContext].reload(str(tmp_path))

    headrace.install()
    yield write
    headrace.uninstall()
    monkeypatch.undo()
    Container()[PluggableRunContext].reload()


def config(url: str, *names: str) -> Any:
    """Resources of numbered pages."""
    paginator = {"type": "page_number", "base_page": 0, "total_path": "total"}
    return {
        "client": {"base_url": url},
        "resources": [
            {"name": name, "endpoint": {"path": name, "data_selector": "items", "paginator": paginator}}
            for name in names or ("items",)
        ],
    }


def paged(request: Request) -> Answer:
    return Answer({"total": PAGES, "items": [{"id": int(request.query["page"])}]})


def ids(folder: Path, source: Any, name: str = "items") -> list[int]:
    """The ids of a table that is loaded."""
    pipeline = make_pipeline(folder, "p")
    pipeline.run(source)
    return sorted(row["id"] for row in read_tables(pipeline).get(name, []))


def error_of(folder: Path, source: Any) -> str:
    with pytest.raises(PipelineStepFailed) as caught:
        make_pipeline(folder, "p").extract(source)
    return str(caught.value)


def test_keys_of_a_client_and_of_an_endpoint(api: Any, tmp_path: Path, project: Any) -> None:
    seen: list[str] = []

    def handler(request: Request) -> Answer:
        seen.append(request.path)
        if request.path == "/others":
            return Answer({}, status=404)
        is_late = seen.count(request.path) == 1
        return Answer({"state": "busy", "items": []}) if is_late else paged(request)

    server = api(handler)
    project("""
        [headrace.api.shop]
        on_error = "skip_resource"
        max_in_flight = 1
        [headrace.api.shop.retry]
        backoff = 0.001
        on_content = [{path = "state", value = "busy"}]
        [headrace.api.shop.others.retry]
        statuses = [404]
        max_attempts = 3
    """)
    source = dlt_rest_api.rest_api_source(config(server.url, "items", "others"), name="shop")
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(source)
    assert sorted(row["id"] for row in read_tables(pipeline)["items"]) == list(range(PAGES))
    assert server.most_in_flight == 1
    assert (seen.count("/items"), seen.count("/others")) == (PAGES + 1, 3)
    found = headrace.status()[pipeline.last_trace.last_extract_info.loads_ids[-1]]["resources"]
    assert found["others"]["skipped"][0]["error"].startswith("404")


def test_another_source_has_its_own(api: Any, tmp_path: Path, project: Any) -> None:
    server = api(lambda request: Answer({}, status=500))
    project("[headrace.api.shop.retry]\nmax_attempts = 2\n[headrace.api.bank.items.retry]\nmax_attempts = 3")
    for name, attempts in (("shop", 2), ("bank", 3), ("other", 5)):
        server.requests.clear()
        error_of(tmp_path / name, dlt_rest_api.rest_api_source(config(server.url), name=name))
        assert len(server.requests) == attempts, name


def test_a_proxys_password_stands_in_secrets(faults: Any, tmp_path: Path, project: Any) -> None:
    url = faults.url.replace("http://", "http://me:s3cret@")
    project("[headrace.api.shop.network]\nmin_tls = '1.2'", f'[headrace.api.shop.network]\nproxy = "{url}"')
    faults.asked.clear()
    made = config("http://api.example.invalid", "json")
    made["resources"][0]["endpoint"]["paginator"] = "single_page"
    assert ids(tmp_path, dlt_rest_api.rest_api_source(made, name="shop"), "json") == [0, 1, 2]
    assert faults.asked == ["GET http://api.example.invalid/json"]


def test_the_environment_says_it_too(api: Any, tmp_path: Path, project: Any, monkeypatch: Any) -> None:
    server = api(lambda request: Answer({}, status=404))
    project("[headrace.api.shop.retry]\nmax_attempts = 2\nbackoff = 0.001")
    monkeypatch.setenv("HEADRACE__API__SHOP__RETRY__STATUSES", "[404]")
    monkeypatch.setenv("HEADRACE__API__SHOP__ITEMS__RETRY__MAX_ATTEMPTS", "4")
    error_of(tmp_path, dlt_rest_api.rest_api_source(config(server.url), name="shop"))
    assert len(server.requests) == 4


def test_code_is_before_the_configuration(api: Any, tmp_path: Path, project: Any) -> None:
    server = api(lambda request: Answer({}, status=404))
    project("[headrace.api.shop.retry]\nmax_attempts = 4\nbackoff = 0.001\nstatuses = [404]")
    made = config(server.url)
    made["client"]["retry"] = {"max_attempts": 2}
    error_of(tmp_path, rest_api.rest_api_source(made, name="shop"))
    assert len(server.requests) == 2


WRONG = {
    "[headrace.api.shop]\nrate_limits = 5": "`headrace.api.shop.rate_limits` is not known. Known are: rate_limit,",
    "[headrace.api.shop]\nrate_limit = {requests = 5}": "`headrace.api.shop.rate_limit` needs `requests` and `per`",
    "[headrace.api.shop.retry]\nattempts = 5": "`headrace.api.shop.retry.attempts` is not known",
    "[headrace.api.shop]\nretry = 5": "`headrace.api.shop.retry` must be a dictionary, not int",
    "[headrace.api.shop.items]\nmax_in_flight = 5": "`headrace.api.shop.items.max_in_flight` is not known",
    "[headrace.api.shop.items]\nrate_cost = 0": "`headrace.api.shop.items.rate_cost` must be a number of at least 1",
    "[headrace.api.shop.network]\nmin_tls = 2": "`headrace.api.shop.network.min_tls` must be one of",
}


@pytest.mark.parametrize("text", list(WRONG))
def test_what_is_wrong_is_named(tmp_path: Path, project: Any, text: str) -> None:
    project(text)
    assert WRONG[text] in error_of(tmp_path, dlt_rest_api.rest_api_source(config("http://127.0.0.1:1"), name="shop"))


def test_a_section_for_no_resource_is_said(api: Any, tmp_path: Path, project: Any, logged: list[str]) -> None:
    project("[headrace.api.shop.itmes.retry]\nmax_attempts = 2")
    assert ids(tmp_path, dlt_rest_api.rest_api_source(config(api(paged).url), name="shop")) == list(range(PAGES))
    assert any("[headrace.api.shop.itmes] is for no resource of the source. It has: items" in line for line in logged)
