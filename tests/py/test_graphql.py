"""GraphQL: one `graphql` key stands for request, selector and paginator; tables are those of the same dlt configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._rest_api.graphql import selected
from headrace.exceptions import ConfigurationError
from oracle import assert_equal, make_pipeline, read_tables
from servers import Answer, Request

QUERY = """
query Issues($owner: String!, $first: Int!, $after: String, $since: DateTime) {
  repository(owner: $owner, filter: {since: $since, text: "a } \\" b"}) {   # { not a selection
    issues(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes {
        id
        title
        labels(first: 2) { pageInfo { hasNextPage } nodes { name } }
      }
    }
  }
}
"""
VARIABLES = {"owner": "o", "first": 3}
N = 8


def issue(number: int) -> dict[str, Any]:
    """An issue with a connection in it."""
    labels = [{"name": f"l{number}"}, {"name": "x"}][: number % 3]
    return {
        "id": f"I{number}",
        "title": f'title "hasNextPage":true {number}',
        "labels": {"pageInfo": {"hasNextPage": False}, "nodes": labels},
    }


def server_of(change: Any = None, nodes: str = "nodes") -> Any:
    """Answers with issues by cursor; `change(body, page)` alters an answer."""

    def handler(request: Request) -> Answer:
        asked = json.loads(request.body)
        assert request.method == "POST" and request.path == "/graphql"
        variables = asked["variables"]
        first = int(variables.get("after") or 0)
        last = min(first + variables["first"], N)
        found: Any = [issue(number) for number in range(first, last)]
        if nodes == "edges":
            found = [{"cursor": str(at), "node": one} for at, one in enumerate(found)]
        page_info = {"hasNextPage": last < N, "endCursor": str(last)}
        body = {"data": {"repository": {"issues": {"pageInfo": page_info, nodes: found}}}}
        if change is not None:
            change(body, first // variables["first"])
        return Answer(body)

    return handler


def config(url: str, endpoint: dict[str, Any] | None = None, **graphql: Any) -> Any:
    """One resource by `graphql`."""
    own = {"query": QUERY, "variables": dict(VARIABLES), "connection": "repository.issues", **graphql}
    own = {key: value for key, value in own.items() if value is not None}
    made = {"path": "graphql", "graphql": own, **(endpoint or {})}
    return {"client": {"base_url": url}, "resources": [{"name": "issues", "primary_key": "id", "endpoint": made}]}


def dlt_config(url: str, selector: str, query: str = QUERY) -> Any:
    """The same as dlt knows it."""
    at = "data.repository.issues.pageInfo"
    endpoint = {
        "path": "graphql",
        "method": "POST",
        "json": {"query": query.replace("{", "{{").replace("}", "}}"), "variables": dict(VARIABLES)},
        "data_selector": selector,
        "paginator": {
            "type": "cursor",
            "cursor_path": f"{at}.endCursor",
            "cursor_body_path": "variables.after",
            "has_more_path": f"{at}.hasNextPage",
        },
    }
    return {"client": {"base_url": url}, "resources": [{"name": "issues", "primary_key": "id", "endpoint": endpoint}]}


def run(folder: Path, made: Any, name: str = "graphql") -> Any:
    """Runs a configuration, gives its pipeline and the resource's status."""
    pipeline = make_pipeline(folder / name, name)
    info = pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    return pipeline, headrace.status()[info.loads_ids[0]]["resources"]["issues"]


@pytest.mark.parametrize("nodes", ["nodes", "edges"])
def test_connections_are_paged_and_nested_ones_are_child_tables(
    api: Any, tmp_path: Path, nodes: str, native_only: Any
) -> None:
    query = (
        QUERY
        if nodes == "nodes"
        else QUERY.replace("      nodes {", "      edges { node {", 1).replace("}\n", "} }\n", 1)
    )
    server = api(server_of(nodes=nodes))
    pipeline, status = run(tmp_path, config(server.url, query=query, records=nodes))
    assert status["native"] and status["in_python"] == [] and status["in_normalize"] is None
    assert status["warnings"] == []
    asked = [json.loads(request.body) for request in server.requests]
    assert [one["variables"].get("after") for one in asked] == [None, "3", "6"]
    assert {one["query"] for one in asked} == {query}
    other = make_pipeline(tmp_path / "dlt", "dlt")
    selector = "data.repository.issues.nodes" if nodes == "nodes" else "data.repository.issues.edges[*].node"
    other.run(
        dlt_rest_api.rest_api_source(dlt_config(server.url, selector, query), name="api"), loader_file_format="parquet"
    )
    assert_equal(other, pipeline)
    assert len(read_tables(pipeline)["issues__labels__nodes"]) == sum(number % 3 for number in range(N))


ERRORS = [{"message": "rate limited", "path": ["repository", 0], "type": "RATE_LIMITED"}, {"message": "b"}, 3, 4, 5]


def test_errors_in_a_200_answer_fail_with_their_text(api: Any, tmp_path: Path) -> None:
    """Also when data came with them, and on a later page that is full of records."""

    def change(body: Any, page: int) -> None:
        if page == 1:
            body["errors"] = ERRORS

    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(server_of(change)).url))
    text = str(caught.value)
    assert "resource `issues`" in text and "/graphql, page 1: the answer has GraphQL errors: rate limited" in text
    assert "(at `repository.0`); b; 3; and 2 more" in text


def test_errors_beside_data_may_be_told(api: Any, tmp_path: Path) -> None:
    def change(body: Any, page: int) -> None:
        body["errors"] = ERRORS[1:2]

    pipeline, status = run(tmp_path, config(api(server_of(change)).url, on_errors="warn"))
    assert len(read_tables(pipeline)["issues"]) == N
    assert len(status["warnings"]) == 1 and "the answer has GraphQL errors: b" in status["warnings"][0]


@pytest.mark.parametrize("errors", [None, [{"message": "no access"}]])
def test_a_connection_that_is_null_fails(api: Any, tmp_path: Path, errors: Any) -> None:
    def change(body: Any, page: int) -> None:
        body["data"]["repository"] = None
        if errors:
            body["errors"] = errors

    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(server_of(change)).url, on_errors="warn"))
    expected = "no access" if errors else "expected the connection `repository.issues`, found null at `data.repository`"
    assert expected in str(caught.value)


def test_a_next_page_without_a_cursor_is_told(api: Any, tmp_path: Path) -> None:
    def change(body: Any, page: int) -> None:
        body["data"]["repository"]["issues"]["pageInfo"] = {"hasNextPage": True, "endCursor": None}

    made = config(api(server_of(change)).url)
    made["client"]["on_incomplete"] = "raise"
    with pytest.raises(
        PipelineStepFailed, match=r"there is more \(`data.repository.issues.pageInfo.hasNextPage` is true\)"
    ):
        run(tmp_path, made)


def test_nested_connections_that_were_cut_are_told(api: Any, tmp_path: Path) -> None:
    def change(body: Any, page: int) -> None:
        for one in body["data"]["repository"]["issues"]["nodes"][:2]:
            one["labels"]["pageInfo"]["hasNextPage"] = page == 1

    _, status = run(tmp_path, config(api(server_of(change)).url))
    assert len(status["warnings"]) == 1
    assert "page 1: 2 connections within the records have further pages" in status["warnings"][0]


def test_without_a_connection_dlts_own_keys_page(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        offset = json.loads(request.body)["variables"].get("offset", 0)
        return Answer({"data": {"countries": [{"code": n} for n in range(offset, min(offset + 2, 5))]}})

    query = "query Q($offset: Int) { countries(offset: $offset) { code } }"
    paginator = {
        "type": "offset",
        "limit": 2,
        "offset_body_path": "variables.offset",
        "limit_body_path": "variables.limit",
        "total_path": None,
    }
    endpoint = {"data_selector": "data.countries", "paginator": paginator}
    made = config(api(handler).url, endpoint, query=query, variables=None, connection=None, operation="Q")
    made["resources"][0].pop("primary_key")
    pipeline, _ = run(tmp_path, made)
    assert [row["code"] for row in read_tables(pipeline)["issues"]] == [0, 1, 2, 3, 4]


def test_variables_take_placeholders(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(server_of())
    endpoint = {"incremental": {"cursor_path": "id", "initial_value": "I0"}}
    run(tmp_path, config(server.url, endpoint, variables={**VARIABLES, "since": "{incremental.start_value}"}))
    assert json.loads(server.requests[0].body)["variables"]["since"] == "I0"


def test_a_query_is_made_again_after_an_error_of_the_server(api: Any, tmp_path: Path) -> None:
    good = server_of()
    n_asked = 0

    def handler(request: Request) -> Answer:
        nonlocal n_asked
        n_asked += 1
        return Answer({}, status=502) if n_asked == 2 else good(request)

    pipeline, _ = run(tmp_path, config(api(handler).url))
    assert len(read_tables(pipeline)["issues"]) == N and n_asked == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"query": None}, "graphql.query` must be a text"),
        ({"nodes": 1}, "graphql.nodes` is not known. Known are: query, variables"),
        ({"variables": [1]}, "graphql.variables` must be a dictionary, not list"),
        ({"on_errors": "skip"}, "graphql.on_errors` must be one of raise, warn"),
        ({"records": "rows"}, "graphql.records` must be one of nodes, edges"),
        (
            {"query": "{ repository { issues(after: $a) { nodes { id } } } }"},
            "must ask for `pageInfo { hasNextPage endCursor }`",
        ),
        ({"query": QUERY.replace("after: $after", "first: 3")}, "needs `cursor_variable`: expected one variable"),
    ],
)
def test_wrong_configurations(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rest_api.rest_api_source(config("http://x", **change))
    assert expected in str(caught.value)
    with pytest.raises(ConfigurationError, match="take `json` out"):
        rest_api.rest_api_source(config("http://x", {"json": {"a": 1}}))


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("{ a { b c } d }", {"a", "a.b", "a.c", "d"}),
        (
            "query Q($x: [Int!] = [1]) { n: a(x: $x, y: {z: 1}) @skip(if: true) { ... on T { b } c } }",
            {"n", "n.b", "n.c"},
        ),
        ('{ a(s: """ } " { """) { b } # }\n c }', {"a", "a.b", "c"}),
        ("{ a { ...F } } fragment F on T { b }", None),
        ("}}} {", set()),
        ("", set()),
    ],
)
def test_the_fields_of_a_query(query: str, paths: set[str] | None) -> None:
    found = selected(query)
    assert found == paths if paths is None or found is None else {".".join(path) for path in found} == paths
