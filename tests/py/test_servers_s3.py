"""AWS Signature Version 4 before a server that checks it (rclone's S3): objects read by `rest_api`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headrace.sources.rest_api as rest_api
import programs
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from faults import Faults
from oracle import make_pipeline, read_tables

KEY, SECRET = "AKIDEXAMPLE", "sk123456secretsecret"
NAMES = ("plain.json", "a b.json", "é/ü.json", "a+b(1)!*'.json", "x=1&y=2;z@:,$.json", "per%25cent.json")


@pytest.fixture(scope="module")
def url(tmp_path_factory: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3")
    for number, name in enumerate(NAMES):
        path = folder / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"id": number, "name": name}]))
    with programs.rclone_s3(folder, KEY, SECRET) as server:
        yield server.url


def config(url: str, secret: str, name: str, **params: Any) -> Any:
    auth = {"type": "aws_sigv4", "access_key": KEY, "secret_key": secret, "service": "s3"}
    endpoint = {"path": f"bucket/{name}", "paginator": "single_page", "params": params}
    return {"client": {"base_url": url, "auth": auth}, "resources": [{"name": "items", "endpoint": endpoint}]}


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_names_of_every_kind_are_signed(url: str, tmp_path: Path, native_only: Any, number: int) -> None:
    name = NAMES[number]
    for params in ({}, {"response-content-type": "application/json; a=b+c", "x-id": "é &="}):
        made = config(url, SECRET, name.replace("%", "%25"), **params)
        pipeline = make_pipeline(tmp_path / f"p{len(params)}", "p")
        pipeline.run(rest_api.rest_api_source(made, name="api"))
        assert [(row["id"], row["name"]) for row in read_tables(pipeline)["items"]] == [(number, name)]


def test_a_wrong_key_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineStepFailed, match="403 Client Error") as caught:
        made = config(url, SECRET + "x", "plain.json")
        make_pipeline(tmp_path, "p").extract(rest_api.rest_api_source(made, name="api"))
    assert SECRET not in str(caught.value)


def test_signatures_over_http2(
    url: str, faults: Faults, http2: Any, tmp_path: Path, native_only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", faults.cert)
    front = http2(behind=url.removeprefix("http://"))
    pipeline = make_pipeline(tmp_path, "p")
    made = config(front.url, SECRET, NAMES[4], **{"x-id": "é &="})
    pipeline.run(rest_api.rest_api_source(made, name="api"))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == [4]
    assert front.protocols == {"h2"}
