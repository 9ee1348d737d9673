"""Proxies and certificates from the environment as requests honours them; HTTP/2 through `rest_api`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed
from faults import Faults
from headrace.exceptions import ResourceFailed, ResourceFailedTransient
from oracle import assert_equal, make_pipeline, read_tables

HOST = "http://api.example.invalid"  # only a proxy can know it
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: Any, faults: Faults) -> Iterator[None]:
    """No proxies and bundles but the test's."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    faults.asked.clear()
    yield


def config(url: str, path: str = "json", paginator: Any = "single_page") -> Any:
    """One resource."""
    endpoint = {"path": path, "paginator": paginator}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": endpoint}]}


def asked_by_both(faults: Faults, tmp_path: Path, url: str, path: str = "json") -> list[str]:
    """What the fault server is asked, as server and as proxy, by dlt and by headrace: the same."""
    asked, pipelines = [], []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        faults.asked.clear()
        pipeline = make_pipeline(tmp_path / side, side)
        pipeline.run(module.rest_api_source(config(url, path), name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
        asked.append(list(faults.asked))
    assert asked[0] == asked[1]
    assert_equal(*pipelines)
    return asked[1]


def error_of(tmp_path: Path, url: str, path: str = "json") -> Any:
    """What the run raises."""
    pipeline = make_pipeline(tmp_path, "fails")
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.extract(rest_api.rest_api_source(config(url, path), name="api"))
    found: Any = caught.value
    while isinstance(found, (PipelineStepFailed, ResourceExtractionError)):
        found = found.__cause__
    return found


# ---- proxies


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_http_by_a_proxy(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any, name: str) -> None:
    monkeypatch.setenv(name, faults.url)
    assert asked_by_both(faults, tmp_path, HOST) == [f"GET {HOST}/json"]


def test_a_proxy_without_scheme(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{faults.port}")
    assert asked_by_both(faults, tmp_path, HOST) == [f"GET {HOST}/json"]


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_https_by_a_tunnel(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any, name: str) -> None:
    monkeypatch.setenv(name, faults.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", faults.cert)
    asked = asked_by_both(faults, tmp_path, faults.tls_url)
    assert asked == [f"CONNECT localhost:{faults.tls_port}", "GET /json"]


def test_a_proxy_is_for_its_scheme(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert asked_by_both(faults, tmp_path, faults.url) == ["GET /json"]


@pytest.mark.parametrize(
    "no_proxy", ["127.0.0.1", "*", "other.example, 127.0.0.1", "127.0.0.0/8", "127.0.0.1:PORT", "localhost,0.0.1"]
)
def test_no_proxy(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any, no_proxy: str) -> None:
    monkeypatch.setenv("http_proxy", faults.url)
    monkeypatch.setenv("no_proxy", no_proxy.replace("PORT", str(faults.port)))
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        faults.asked.clear()
        pipeline = make_pipeline(tmp_path / side, side)
        pipeline.extract(module.rest_api_source(config(faults.url), name="api"))
        if side == "dlt":
            expected = list(faults.asked)
    assert faults.asked == expected


def test_a_proxys_user(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{faults.port}")
    texts = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, side)
        made = config(HOST, "headers")
        made["resources"][0]["endpoint"]["data_selector"] = "headers[*]"
        pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
        tables = read_tables(pipeline)
        values = [row["value"] for rows in tables.values() for row in rows if "value" in row]
        texts.append([value for value in values if str(value).startswith("Basic ")])
    assert texts[0] == texts[1] == ["Basic bWU6cEBzcw=="]


def test_a_proxy_that_cannot_be_reached_or_refuses(faults: Faults, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    error = error_of(tmp_path / "closed", HOST)
    assert isinstance(error, ResourceFailedTransient)
    assert "connection to proxy 127.0.0.1:9 refused" in str(error)
    assert "s3cret" not in str(error)
    monkeypatch.setenv("https_proxy", f"http://me:s3cret@127.0.0.1:{faults.port}")
    error = error_of(tmp_path / "refuses", "https://localhost:1")
    assert f"proxy 127.0.0.1:{faults.port} answered 403 when asked to connect to localhost:1" in str(error)
    assert "s3cret" not in str(error)


# ---- certificates


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_ones_own(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any, name: str) -> None:
    monkeypatch.setenv(name, faults.cert)
    assert asked_by_both(faults, tmp_path, faults.tls_url) == ["GET /json"]


def test_a_folder_of_certificates(faults: Faults, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", faults.cert], check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / f"{name}.0").write_text(Path(faults.cert).read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    assert asked_by_both(faults, tmp_path, faults.tls_url) == ["GET /json"]


@pytest.mark.parametrize("names", [[], ["SSL_CERT_FILE"]])
def test_what_requests_does_not_trust(faults: Faults, tmp_path: Path, monkeypatch: Any, names: list[str]) -> None:
    for name in names:  # requests does not read it
        monkeypatch.setenv(name, faults.cert)
    with pytest.raises(PipelineStepFailed, match="CERTIFICATE_VERIFY_FAILED"):
        source = dlt_rest_api.rest_api_source(config(faults.tls_url), name="api")
        make_pipeline(tmp_path / "dlt", "dlt").extract(source)
    error = error_of(tmp_path, faults.tls_url)
    assert isinstance(error, ResourceFailed)
    assert "certificate of localhost not trusted: self-signed certificate" in str(error)
    assert "REQUESTS_CA_BUNDLE" in str(error)


def test_a_bundle_that_is_not_there(faults: Faults, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    error = error_of(tmp_path, faults.tls_url)
    assert isinstance(error, ResourceFailed)
    assert "/nonexistent.pem" in str(error)


# ---- HTTP/2


def test_pages_over_http2(faults: Faults, http2: Any, tmp_path: Path, monkeypatch: Any, native_only: Any) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", faults.cert)
    server = http2()
    made = config(server.url, "together?n=2", {"type": "page_number"})
    pipeline = make_pipeline(tmp_path, "http2")
    pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(120))
    assert (server.protocols, server.connections) == ({"h2"}, 1)
