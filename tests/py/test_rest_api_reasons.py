"""Each reason not to take the fastest way: the way that is left and why, said once, and the tables are dlt's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
import requests
from dlt.common.configuration import configspec
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.sources.helpers.rest_client.auth import AuthConfigBase
from oracle import assert_equal, make_pipeline, run_both
from servers import Answer, Request

RECORDS = [
    {"id": 1, "name": "a", "tags": ["x"], "Kind Of": {"a": [[1], {"b": None}], "é": 1700000000}},
    {"id": 2, "name": "b", "price": "1.50", "at": "2024-01-01T10:00:00.123456+02:00", "tags": []},
]


def handler(request: Request) -> Answer:
    """Three pages; the last brings another type."""
    page = int(request.query.get("page", "1"))
    records = [*RECORDS, {"id": "three", "late": 1.5}] if page == 3 else RECORDS if page < 3 else []
    return Answer({"items": records})


PAGES = {"type": "page_number", "base_page": 1, "total_path": None, "stop_after_empty_page": True}


def config(url: str, client: Any = None, endpoint: Any = None, **resource: Any) -> Any:
    """One resource of one page."""
    return {
        "client": {"base_url": url, "paginator": PAGES, **(client or {})},
        "resources": [{"name": "items", "endpoint": {"path": "items", **(endpoint or {})}, **resource}],
    }


def same_table(made: Any) -> Any:
    """A second resource into the same table."""
    made["resources"][0]["table_name"] = "shared"
    made["resources"].append({"name": "more", "table_name": "shared", "endpoint": {"path": "items"}})
    return made


def discard(records: list[Any]) -> Any:
    """A transformer of a source's user."""

    @dlt.transformer(data_from=records, name="ids")
    def ids(items: Any) -> Any:
        yield [{"seen": item["id"]} for item in items]

    return ids


def with_reader(source: Any) -> None:
    """A transformer of the user's own reads the records."""
    source.resources["ids"] = discard(source.items)


CONTRACTS: list[Any] = [
    {"tables": "evolve", "columns": "evolve", "data_type": "discard_row"},
    {"columns": "discard_value", "data_type": "discard_value"},
    {"columns": "discard_row"},
]
Change = Callable[[Any], Any]
DLT, OBJECTS, TEXTS = "takes dlt's path", "become Python objects", "in dlt's normalize step"
# name: (what changes in the configuration, what changes in the source, way, reason)
WAYS: dict[str, tuple[Change, Change | None, str, str]] = {
    "parallelize": (config, lambda source: source.items.parallelize(), DLT, "parallelize"),
    "contract and map": (
        lambda url: config(url, schema_contract={"data_type": "discard_row"}),
        lambda source: source.items.add_map(lambda record: {**record, "m": 1}),
        OBJECTS,
        "contract",
    ),
    "contract and limit": (
        lambda url: config(url, schema_contract={"data_type": "discard_row"}),
        lambda source: source.items.add_limit(1),
        OBJECTS,
        "contract",
    ),
    "dynamic_table": (
        lambda url: config(url, table_name=lambda record: record.get("name", "none")),
        None,
        OBJECTS,
        "depend on the data",
    ),
    "reader": (config, with_reader, OBJECTS, "`ids` reads its records"),
    **{
        f"contract {number}": (lambda url, mode=mode: config(url, schema_contract=mode), None, TEXTS, "contract")  # type: ignore[misc]
        for number, mode in enumerate(CONTRACTS)
    },
    "source_contract": (
        config,
        lambda source: setattr(source, "schema_contract", {"data_type": "discard_value"}),
        TEXTS,
        "contract",
    ),
    "nested_key": (
        lambda url: config(url, nested_hints={"tags": dlt.mark.make_nested_hints(primary_key=["value"])}),
        None,
        TEXTS,
        "nested_hints",
    ),
    "nested_columns": (
        lambda url: config(url, nested_hints={"tags": {"columns": {"value": {"name": "value", "data_type": "json"}}}}),
        None,
        TEXTS,
        "nested_hints",
    ),
    "wei": (lambda url: config(url, columns={"id": {"data_type": "wei"}}), None, TEXTS, "`items.id`"),
    "timezone": (
        lambda url: config(url, columns={"at": {"data_type": "timestamp", "timezone": False, "precision": 3}}),
        None,
        TEXTS,
        "`items.at`",
    ),
    "same_table": (lambda url: same_table(config(url)), None, TEXTS, "same table"),
    "preferred_types": (
        config,
        lambda source: source.schema.update_preferred_types({"re:^price$": "double"}),
        TEXTS,
        "preferred types",
    ),
    "detections": (config, lambda source: source.schema.add_type_detection("timestamp"), TEXTS, "detections"),
    "default_hints": (
        config,
        lambda source: source.schema.merge_hints({"sort": ["re:^id$"], "cluster": ["name"]}),
        TEXTS,
        "default hints",
    ),
    "filters": (
        config,
        lambda source: source.schema.update_table(
            {"name": "items", "columns": {}, "filters": {"excludes": ["re:^kind_of__é$", "re:^name$", "re:^tags"]}}
        ),
        TEXTS,
        "row filters",
    ),
    "propagation": (
        config,
        lambda source: source.schema.data_item_normalizer.update_normalizer_config(
            source.schema, {"propagation": {"root": {"name": "item_name"}}}
        ),
        TEXTS,
        "propagates",
    ),
}


@pytest.mark.parametrize("name", list(WAYS))
def test_ways(api: Any, tmp_path: Path, ways: list[str], name: str) -> None:
    make, change, way, reason = WAYS[name]
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        for _ in range(2):
            source = module.rest_api_source(make(server.url), name="api")
            if change is not None:
                change(source)
            pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert len(ways) == (4 if name == "same_table" else 2), ways
    assert way in ways[0]
    assert reason in ways[0]
    load_id = pipelines[1].last_trace.last_normalize_info.loads_ids[-1]
    if way != DLT:
        assert "items" in headrace.status()[load_id]["tables"] or name in ("dynamic_table", "same_table")


def test_a_frozen_contract_fails_as_with_dlt(api: Any, tmp_path: Path, ways: list[str]) -> None:
    server = api(handler)
    told = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        source = module.rest_api_source(config(server.url, schema_contract={"data_type": "freeze"}), name="api")
        with pytest.raises(PipelineStepFailed) as caught:
            pipeline.run(source)
        failed: Any = caught.value.__cause__
        told.append(failed.__cause__ or failed)
    assert type(told[0]) is type(told[1])
    assert str(told[1]).startswith(str(told[0]).partition(" . ")[0])
    assert " of line 1" in str(told[1])


@pytest.mark.parametrize("name", ["texts", "objects"])
def test_dependents_of_records_that_leave_as_records(
    api: Any, tmp_path: Path, ways: list[str], said: list[str], name: str
) -> None:
    """Parents and children as text or as objects, with fields of the parent in the child, and incremental."""

    def answers(request: Request) -> Answer:
        if request.path == "/items":
            return Answer([{"id": n, "t": f"2024-01-0{n}", "x": [n]} for n in range(1, 5)])
        return Answer([{"of": request.path, "_items_t": "replaced"}, {}, {"l": [{"a": 1}]}])

    server = api(answers)

    def make() -> Any:
        more: Any = {"schema_contract": {"data_type": "discard_row"}}
        if name == "objects":
            more["processing_steps"] = [{"map": lambda record: {**record, "more": 1}}]
        incremental = {"cursor_path": "t", "initial_value": "2024-01-02", "start_param": "since"}
        return {
            "client": {"base_url": server.url, "paginator": "single_page"},
            "resources": [
                {
                    "name": "items",
                    "primary_key": "id",
                    "endpoint": {"path": "items", "incremental": incremental},
                    **more,
                },
                {
                    "name": "parts",
                    "endpoint": {"path": "items/{resources.items.id}/parts"},
                    "include_from_parent": ["t", "x"],
                    **more,
                },
            ],
        }

    run_both(make, tmp_path, runs=2)
    assert len(ways) == 3  # nothing new for the children in the second run
    assert not said


def test_what_orjson_refuses_is_told_with_its_place(api: Any, tmp_path: Path) -> None:
    server = api(lambda _: Answer([{"a": 1}, {"a": 2**70}]))
    source = rest_api.rest_api_source(
        config(server.url, client={"paginator": "single_page"}, schema_contract={"data_type": "discard_row"}),
        name="api",
    )
    with pytest.raises(PipelineStepFailed, match=r"page 0, record 1: an integer of 22 digits exceeds 64 bits"):
        make_pipeline(tmp_path, "p").extract(source)


@pytest.mark.parametrize(
    ("variable", "value", "way", "reason"),
    [
        ("HEADRACE__NATIVE", "false", DLT, "native = false"),
        ("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true", TEXTS, "parquet_normalizer"),
        ("SCHEMA__NAMING", "sql_cs_v1", TEXTS, "naming convention"),
        ("SCHEMA__NAMING", "duck_case", TEXTS, "naming convention"),
    ],
)
def test_ways_of_the_configuration(
    api: Any, tmp_path: Path, ways: list[str], monkeypatch: Any, variable: str, value: str, way: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        pipeline.run(module.rest_api_source(config(server.url), name="api"), loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)
    assert len(ways) == 1
    assert way in ways[0]
    assert reason in ways[0]


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
    assert server.requests[0].headers["X-Signature"] == "items?page=1"


def test_source_level_parallelized_is_native(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(handler)
    pipelines = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        pipeline = make_pipeline(tmp_path / side, f"{side}_pipeline")
        source = module.rest_api_source(config(server.url), name="api", parallelized=True)
        pipeline.run(source, loader_file_format="parquet")
        pipelines.append(pipeline)
    assert_equal(*pipelines)


def test_records_of_a_broken_contract_are_in_the_trace(api: Any, tmp_path: Path) -> None:
    """They go to dlt's extract as text, which cannot be pickled as it is."""
    source = rest_api.rest_api_source(config(api(handler).url, schema_contract={"tables": "freeze"}), name="api")
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run([{"id": 1}], table_name="other", schema=dlt.Schema("api"))  # a first load may make tables
    with pytest.raises(PipelineStepFailed, match="Can't add table `items` because `tables` are frozen"):
        pipeline.run(source)
    trace = dlt.attach("p", pipelines_dir=pipeline.pipelines_dir).last_trace
    assert trace is not None
    assert "frozen" in str(trace.steps[-1].step_exception)
