"""Each reason to take dlt's path: said once, and the tables are dlt's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
import requests
from dlt.common.configuration import configspec
from dlt.sources.helpers.rest_client.auth import AuthConfigBase
from oracle import assert_equal, make_pipeline
from servers import Answer, Request


def handler(request: Request) -> Answer:
    """Two records."""
    return Answer({"items": [{"id": 1, "name": "a", "tags": ["x"]}, {"id": 2, "name": "b", "price": "1.50"}]})


def config(url: str, client: Any = None, endpoint: Any = None, **resource: Any) -> Any:
    """One resource of one page."""
    return {
        "client": {"base_url": url, "paginator": "single_page", **(client or {})},
        "resources": [{"name": "items", "endpoint": {"path": "items", **(endpoint or {})}, **resource}],
    }


def same_table(made: Any) -> Any:
    """A second resource into the same table."""
    made["resources"][0]["table_name"] = "shared"
    made["resources"].append({"name": "more", "table_name": "shared", "endpoint": {"path": "items"}})
    return made


# name: (what changes in the configuration, what changes in the source, reason)
Change = Callable[[Any], Any]
REASONS: dict[str, tuple[Change, Change | None, str]] = {
    "parallelize": (config, lambda source: source.items.parallelize(), "parallelize"),
    "dynamic_table": (lambda url: config(url, table_name=lambda record: record["name"]), None, "depend on the data"),
    "contract": (
        lambda url: config(url, schema_contract={"tables": "evolve", "columns": "evolve", "data_type": "freeze"}),
        None,
        "contract",
    ),
    "nested_hints": (
        lambda url: config(url, nested_hints={"tags": dlt.mark.make_nested_hints(primary_key=["value"])}),
        None,
        "nested_hints",
    ),
    "wei": (lambda url: config(url, columns={"id": {"data_type": "wei"}}), None, "`items.id`"),
    "same_table": (lambda url: same_table(config(url)), None, "same table"),
    "source_contract": (config, lambda source: setattr(source, "schema_contract", {"data_type": "freeze"}), "contract"),
    "preferred_types": (
        config,
        lambda source: source.schema.update_preferred_types({"re:^price$": "double"}),
        "preferred types",
    ),
    "detections": (config, lambda source: source.schema.add_type_detection("timestamp"), "detections"),
}


@pytest.mark.parametrize("name", list(REASONS))
def test_reasons(api: Any, tmp_path: Path, said: list[str], name: str) -> None:
    make, change, reason = REASONS[name]
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        source = module.rest_api_source(make(server.url), name="api")
        if change is not None:
            change(source)
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert len(said) == (2 if name == "same_table" else 1), said
    assert reason in said[0]


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("HEADRACE__NATIVE", "false", "native = false"),
        ("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true", "parquet_normalizer"),
        ("SCHEMA__NAMING", "sql_cs_v1", "naming convention"),
    ],
)
def test_reasons_of_the_configuration(
    api: Any, tmp_path: Path, said: list[str], monkeypatch: Any, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(module.rest_api_source(config(server.url), name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert len(said) == 1
    assert reason in said[0]


@configspec
class Signed(AuthConfigBase):
    """An authentication of the user's own."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Signature"] = str(request.url).rpartition("/")[2]
        return request


def test_own_authentication_is_native(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    pipeline = make_pipeline(tmp_path, "signed")
    pipeline.extract(rest_api.rest_api_source(config(server.url, client={"auth": Signed()}), name="api"))
    assert server.requests[0].headers["X-Signature"] == "items"


def test_source_level_parallelized_is_native(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        source = module.rest_api_source(config(server.url), name="api", parallelized=True)
        pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
