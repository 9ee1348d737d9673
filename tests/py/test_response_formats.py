"""Bodies of other formats: JSON lines, CSV, packed files. The tables are those of the same records as JSON pages through dlt."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from headrace._rest_api.csv_text import CsvRules
from headrace.exceptions import ConfigurationError
from oracle import assert_equal, make_pipeline, read_tables
from requests import Request as ToSend
from requests import Response
from servers import Answer, Request

PAGES = 3


def record(number: int) -> dict[str, Any]:
    """A nested record."""
    return {
        "id": number,
        "name": f'näme "{number}"\n',
        "at": "2024-01-02T03:04:05Z",
        "tags": [{"t": n} for n in range(number % 3)],
        "deep": {"x": number / 4, "none": None},
    }


def page_of(request: Request) -> list[dict[str, Any]]:
    """Four records a page."""
    page = int(request.query.get("page", 0))
    return [record(number) for number in range(page * 4, page * 4 + 4)] if page < PAGES else []


def lines(records: list[Any], end: str = "\n") -> bytes:
    """JSON lines."""
    return "".join(json.dumps(one, ensure_ascii=False) + end for one in records).encode()


def linked(request: Request, body: bytes, **headers: str) -> Answer:
    """A page with the link to the next."""
    page = int(request.query.get("page", 0))
    if page + 1 < PAGES:
        headers["Link"] = f'</items?page={page + 1}>; rel="next"'
    return Answer(body, headers={"Content-Type": "application/octet-stream", **headers})


def config(url: str, **endpoint: Any) -> Any:
    """One resource."""
    made = {"path": "items", "paginator": "header_link", **endpoint}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": made}]}


def run(folder: Path, made: Any, name: str = "formats", module: Any = rest_api) -> Any:
    """Runs a configuration: its pipeline and the resource's status."""
    pipeline = make_pipeline(folder / name, name)
    info = pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
    return pipeline, headrace.status().get(info.loads_ids[0], {}).get("resources", {}).get("items")


def as_dlt(api: Any, folder: Path) -> Any:
    """The same records as JSON pages through dlt."""
    return run(folder, config(api(lambda r: linked(r, json.dumps(page_of(r)).encode())).url), "dlt", dlt_rest_api)[0]


PACKED = {
    "plain": lambda body: body,
    "gzip": gzip.compress,
    "gzip members": lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize(
    ("kind", "packed"), [("json", "gzip"), *(("jsonl", packed) for packed in PACKED)], ids="-".join
)
def test_lines_and_packed_bodies_are_as_json(
    api: Any, tmp_path: Path, kind: str, packed: str, native_only: Any
) -> None:
    """Behind a link, with no word of it in the headers."""
    write = lines if kind == "jsonl" else lambda records: json.dumps(records).encode()
    server = api(lambda r: linked(r, PACKED[packed](write(page_of(r)))))
    pipeline, status = run(tmp_path, config(server.url, response={"format": kind}))
    assert (status["native"], status["in_python"], status["in_normalize"]) == (True, [], None)
    assert status["counts"]["records"] == status["counts"]["rows"] == 12 and status["counts"]["pages"] == PAGES
    assert_equal(as_dlt(api, tmp_path), pipeline)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: b"\xef\xbb\xbf" + body.replace(b"\n", b"\n\n"),
        lambda body: body[:-1],
    ],
    ids=["crlf", "mark and blank lines", "no last end"],
)
def test_forms_of_lines(api: Any, tmp_path: Path, change: Any, native_only: Any) -> None:
    server = api(lambda r: linked(r, change(lines(page_of(r)))))
    pipeline, _ = run(tmp_path, config(server.url, response="ndjson"))
    assert_equal(as_dlt(api, tmp_path), pipeline)


def test_lines_in_another_charset(api: Any, tmp_path: Path) -> None:
    kind = {"Content-Type": "application/x-ndjson; charset=latin-1"}
    server = api(lambda r: Answer('{"id": 1, "name": "näme"}\n'.encode("latin-1"), headers=kind))
    pipeline, _ = run(tmp_path, config(server.url, response="jsonl"))
    assert read_tables(pipeline)["items"][0]["name"] == "näme"


def test_csv_is_in_the_charset_that_the_answer_names(api: Any, tmp_path: Path) -> None:
    body = "id,name\n1,Ärger\n".encode("cp1252")
    server = api(
        lambda request: Answer(body, headers={"Content-Type": 'text/csv; header=present; charset="Windows-1252"'})
    )
    for number, response in enumerate(["csv", {"format": "csv", "csv": {"encoding": "cp1252"}}]):
        pipeline, _ = run(tmp_path / str(number), config(server.url, response=response))
        assert [row["name"] for row in read_tables(pipeline)["items"]] == ["Ärger"]
    wrong = config(server.url, response={"format": "csv", "csv": {"encoding": "utf-8"}})
    with pytest.raises(PipelineStepFailed, match="text that is not UTF-8"):
        run(tmp_path / "wrong", wrong)


def test_a_format_from_the_configuration_for_dlts_own_source(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[headrace.api.api.items] response = "jsonl"`."""
    monkeypatch.setenv("HEADRACE__API__API__ITEMS__RESPONSE", "jsonl")
    headrace.install()
    made = config(api(lambda r: linked(r, lines(page_of(r)))).url)
    pipeline, status = run(tmp_path, made, "ours", dlt_rest_api)
    assert status["native"] and len(read_tables(pipeline)["items"]) == 12


def test_nothing_in_lines(api: Any, tmp_path: Path) -> None:
    _, status = run(tmp_path, config(api(lambda r: Answer(b"\n")).url, response="jsonl"))
    assert status["counts"]["records"] == 0


class Behind(BasePaginator):
    """Asks for what comes behind the last record."""

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        self._has_next_page = bool(data)
        if data:
            assert response.json() == data
            self.last = data[-1]["id"]

    def update_request(self, request: ToSend) -> None:
        request.params = {"after": getattr(self, "last", None)}


def behind(request: Request) -> list[Any]:
    """Three records behind `after`, seven in all."""
    after = int(request.query.get("after", -1))
    return [{"id": n} for n in range(after + 1, min(after + 4, 7))]


@pytest.mark.parametrize("paginator", ["own", {"type": "cursor", "cursor_path": "[-1].id", "cursor_param": "after"}])
@pytest.mark.parametrize("pack", ["plain", "gzip"])
def test_cursors_in_lines(api: Any, tmp_path: Path, paginator: Any, pack: str, native_only: Any) -> None:
    server = api(lambda r: Answer(PACKED[pack](lines(behind(r)))))
    paginator = Behind() if paginator == "own" else paginator
    pipeline, _ = run(tmp_path, config(server.url, response="jsonl", paginator=paginator))
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(7))


def test_steps_and_children_of_lines(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/parents":
            return Answer(lines([{"id": n} for n in range(3)]))
        return Answer(gzip.compress(f"id,of\n1,{request.path[-1]}\n".encode()))

    parents = {"path": "parents", "response": "jsonl"}
    children = {"path": "children/{resources.parents.id}", "response": "csv", "data_selector": "$"}
    made = {
        "client": {"base_url": api(handler).url},
        "resources": [
            {"name": "parents", "endpoint": parents, "processing_steps": [{"filter": lambda row: row["id"] < 2}]},
            {"name": "children", "endpoint": children, "include_from_parent": ["id"]},
        ],
    }
    pipeline, _ = run(tmp_path, made)
    found = [(row["id"], row["of"], row["_parents_id"]) for row in read_tables(pipeline)["children"]]
    assert sorted(found) == [(1, 0, 0), (1, 1, 1)]


BAD: dict[str, tuple[Any, bytes, list[str]]] = {
    "a cut line": ("jsonl", b'{"id": 1}\n{"id": 2', ["page 0, record 1, byte 18", "found the end of the body"]),
    "two on a line": ("jsonl", b'{"id": 1}\n{"id": 2} {"id": 3}', ["page 0, record 1, byte 20"]),
    "a JSON array of lines": ("jsonl", b"[\n{}\n{}\n]", ["record 0, byte 1: expected the rest of the document before"]),
    "HTML for lines": (
        "jsonl",
        b"<!DOCTYPE html><html><title>Log in</title>",
        ["expected jsonl, found an HTML page `Log in`"],
    ),
    "HTML for CSV": ("csv", b"<html><title>Log in</title></html>", ["found an HTML page"]),
    "a cut file": (
        "json",
        gzip.compress(b'[{"id": 1}]' * 50)[:20],
        ["the gzip body cannot be unpacked", "within member 1"],
    ),
    "a corrupt file": ("json", gzip.compress(b"[1]")[:-6] + b"123456", ["gzip member 1 is corrupt"]),
    "no file": (
        {"format": "jsonl", "compression": "gzip"},
        b'{"id": 1}',
        ['expected gzip, found other bytes: b\'{"id"'],
    ),
    "bad JSON in a file": ("json", gzip.compress(b'[{"id": 1}, x]'), ["byte 12", "found 'x'"]),
    "a short row": (
        "csv",
        b"a,b\n1,2\n3\n",
        ["page 0, record 1, byte 8: expected 2 fields, found 1 in the row at line 3"],
    ),
    "a long row": ("csv", b"a,b\n1,2,3\n", ["record 0, byte 4: expected 2 fields, found 3 in the row"]),
    "an open quote": ("csv", b'a,b\n1,2\n3,"4\n', ["byte 8: the file ends inside quotes; the row begins at line 3"]),
    "a header with a name twice": ("csv", b"a,b,a\n1,2,3\n", ["the header has `a` twice"]),
    "no UTF-8": (
        "csv",
        b"a\n\xff\xfe\n",
        ["record 0, byte 2: text that is not UTF-8", "Name the text's encoding under response.csv.encoding."],
    ),
    "JSON for CSV": (
        "csv",
        b' {"error": "no access", "token": "t0k"}',
        ['expected CSV, found JSON:  {"error": "no access", "token": "***"}', "the data may be behind a login"],
    ),
    "entities in XML": (
        "xml",
        b'<!DOCTYPE r [<!ENTITY a "x">]><r>&a;</r>',
        ["the XML has a document type declaration", "The API must send it without"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies(api: Any, tmp_path: Path, name: str) -> None:
    response, body, expected = BAD[name]
    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(lambda r: Answer(body)).url, response=response))
    assert "resource `items`, http://127.0.0.1" in str(caught.value)
    for text in expected:
        assert text in str(caught.value)


def test_a_bomb_is_refused(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__MAX_BODY_BYTES", "1000000")
    body = gzip.compress(b" " * 50_000_000)
    with pytest.raises(PipelineStepFailed, match=r"larger than max_body_bytes \(1000000 bytes after decompression\)"):
        run(tmp_path, config(api(lambda r: Answer(body)).url, response="jsonl"))


def test_errors_of_the_server_stay_errors(api: Any, tmp_path: Path) -> None:
    for response in ("csv", "jsonl", {"format": "jsonl", "compression": "gzip"}):
        with pytest.raises(PipelineStepFailed, match="404"):
            run(tmp_path, config(api(lambda r: Answer({"no": 1}, status=404)).url, response=response))


@pytest.mark.parametrize(
    ("response", "body", "named"),
    [
        ("csv", b"a,b\n1,2,3\n", "CSV"),
        ("xml", b"<a><b></a>", "XML"),
        ("jsonl", b"{]\n", "JSON lines"),
        ("json", b"{]\n", "JSON"),
    ],
)
def test_what_was_expected_is_named(api: Any, tmp_path: Path, response: str, body: bytes, named: str) -> None:
    with pytest.raises(PipelineStepFailed, match=f"The answer is not the {named} that was expected: look at it"):
        run(tmp_path, config(api(lambda r: Answer(body)).url, response=response))


def test_response_actions_see_the_body_as_it_came(api: Any, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def look(response: Response, *args: Any, **kwargs: Any) -> Response:
        seen.append(response.content)
        response._content = b"id\n7\n"
        return response

    server = api(lambda r: Answer(b"id\n1\n"))
    pipeline, _ = run(tmp_path, config(server.url, response="csv", response_actions=[look]))
    assert seen == [b"id\n1\n"] and read_tables(pipeline)["items"][0]["id"] == 7


CSV = """id;name;zip;when;ratio;flag;none;big;mixed
1;"a ""b"";
c";007;2024-01-02T03:04:05Z;1.50;true;;12345678901234567890;1
2;"";010;2024-01-03T03:04:05Z;-2e3;FALSE;;1;x
"""


def test_csv_values(api: Any, tmp_path: Path, native_only: Any) -> None:
    """Whole columns of what is a number in JSON too become numbers; what would lose characters stays text."""
    server = api(lambda r: Answer(CSV.encode("cp1252"), headers={"Content-Type": "text/csv"}))
    rules = {"delimiter": ";", "encoding": "cp1252"}
    pipeline, status = run(tmp_path, config(server.url, response={"format": "csv", "csv": rules}))
    assert (status["native"], status["in_python"], status["in_normalize"]) == (True, [], None)
    rows = read_tables(pipeline)["items"]
    assert [row["name"] for row in rows] == ['a "b";\nc', ""]
    assert [row["zip"] for row in rows] == ["007", "010"]
    assert [row["ratio"] for row in rows] == [1.5, -2000.0] and [row["flag"] for row in rows] == [True, False]
    assert [row["big"] for row in rows] == ["12345678901234567890", "1"] and [row["mixed"] for row in rows] == [
        "1",
        "x",
    ]
    assert [row["when"].isoformat()[:19] for row in rows] == ["2024-01-02T03:04:05", "2024-01-03T03:04:05"]
    types = {
        name: column.get("data_type") for name, column in pipeline.default_schema.tables["items"]["columns"].items()
    }
    assert (types["id"], types["ratio"], types["flag"], types["when"]) == ("bigint", "double", "bool", "timestamp")


@pytest.mark.parametrize(
    ("rules", "body", "expected"),
    [
        ({"header": ["a", "b"]}, b"1,2\n3,4\n", [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ({"header": ["a", "b"], "skip_rows": 1}, b"x,x\n1,2\n", [{"a": 1, "b": 2}]),
        ({"skip_rows": 2}, b"report\n\na\n5\n", [{"a": 5}]),
        ({"types": "text"}, b"a\n5\n", [{"a": "5"}]),
        ({"nulls": ["NA", ""]}, b"a,b\n1,NA\n2,\n3,4\n", [{"a": 1, "b": None}, {"a": 2, "b": None}, {"a": 3, "b": 4}]),
        ({"quote": "'", "delimiter": "\t"}, b"a\tb\n'1\t2'\t3\n", [{"a": "1\t2", "b": 3}]),
        ({}, "\ufeffa\r\n5\r\n".encode("utf-16-le"), [{"a": 5}]),
        ({}, b"a,b\n", []),
        ({"skip_rows": 3}, b"a\n1\n", []),
        ({}, b'a,b\r\n"",\r\n"x",y\r\n', [{"a": "", "b": None}, {"a": "x", "b": "y"}]),
        ({}, b"a,b\n,\n,\n", [{"a": None, "b": None}] * 2),
        ({}, b"a\n1\n\n2\n", [{"a": 1}, {"a": 2}]),
        ({"quote": ""}, b'a\n"1"\n', [{"a": '"1"'}]),
        ({"escape": "\\"}, b'a,b\n"x\\"y",p\\,q\n', [{"a": 'x"y', "b": "p,q"}]),
        ({}, '"a ""x""",\u00e9\n1,\n'.encode(), [{'a "x"': 1, "\u00e9": None}]),
        ({}, b"", []),
    ],
)
def test_csv_rules(rules: dict[str, Any], body: bytes, expected: list[Any]) -> None:
    text = CsvRules.of(rules, "csv").text(body)
    assert [json.loads(line) for line in text.splitlines()] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["-0", "999999999999999999"], [0, 999999999999999999]),
        (["0", "1000000000000000000"], ["0", "1000000000000000000"]),  # 19 digits
        (["1", "2.50", "-0"], [1.0, 2.5, -0.0]),
        (["1e2", "-1.5E-7", "0.1e+10"], [100.0, -1.5e-7, 1e9]),
        (["1", "1e100"], ["1", "1e100"]),
        (["1", "0.1234567890123456"], ["1", "0.1234567890123456"]),  # 16 digits
        (["1234567890123456.5", "1"], ["1234567890123456.5", "1"]),
        (["true", "FALSE", "True"], [True, False, True]),
        (["true", "1"], ["true", "1"]),
        (["1", ""], [1, None]),
        (["tRue", "true"], ["tRue", "true"]),
        *[([one, "1"], [one, "1"]) for one in ("007", "+1", "1.", ".5", "1e", "1,5", " 1", "0x1", "--1", "-", "nan")],
    ],
    ids=str,
)
def test_what_a_column_is(values: list[str], expected: list[Any]) -> None:
    body = "a;b\n" + "".join(f"{value};x\n" for value in values)
    found = [json.loads(line)["a"] for line in CsvRules.of({"delimiter": ";"}, "csv").text(body.encode()).splitlines()]
    assert repr(found) == repr(expected)


def test_rows_are_those_of_pythons_csv_module() -> None:
    """Random fields, written by it, in some of its dialects."""
    choice = random.Random(5)
    pieces = ["a", "", ",", ";", '"', "\n", "\r\n", "\u00e9", "1", " ", "\t", "'", "\\"]
    for _ in range(300):
        n_columns, delimiter, quoting = choice.randint(2, 4), choice.choice(",;\t"), choice.choice([0, 1])
        rows = [
            ["".join(choices) for choices in (choice.choices(pieces, k=choice.randint(0, 4)) for _ in range(n_columns))]
            for _ in range(choice.randint(0, 6))
        ]
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)
        names = [f"c{n}" for n in range(n_columns)]
        rules = CsvRules.of({"delimiter": delimiter, "header": names, "nulls": [], "types": "text"}, "csv")
        found = [list(json.loads(line).values()) for line in rules.text(text.getvalue().encode()).splitlines()]
        assert found == rows, text.getvalue()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("yaml", "endpoint.response.format` must be one of json, jsonl, csv"),
        ({"form": "csv"}, "endpoint.response.form` is not known. Known are: format, compression"),
        ({"compression": "zip"}, "endpoint.response.compression` must be one of auto, none, gzip"),
        ({"format": "jsonl", "csv": {}}, "endpoint.response.csv` is for `format: csv`, not jsonl"),
        ({"format": "csv", "csv": {"delimiter": ";;"}}, "csv.delimiter` must be one ASCII character, not ';;'"),
        ({"format": "csv", "csv": {"header": False}}, "csv.header` must be true (the first row) or a list of names"),
        (
            {"format": "csv", "csv": {"encoding": "utf-99"}},
            "csv.encoding` is not known: 'utf-99'. It must be one of Python's",
        ),
        ({"format": "csv", "csv": ["a"]}, "csv` must be a dictionary, not list"),
    ],
)
def test_wrong_configurations(response: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rest_api.rest_api_source(config("http://x", response=response))
    assert expected in str(caught.value)
