"""XML answers: the tables are those of xmltodict's records through dlt; entities and broken documents are refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import dlt.sources.rest_api as dlt_rest_api
import headrace
import headrace.sources.rest_api as rest_api
import pytest
import xmltodict
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace import _core
from headrace._rest_api.xml_text import XmlRules
from headrace.exceptions import ConfigurationError
from oracle import assert_equal, make_pipeline, read_tables
from servers import Answer, Request

NAMES = ["a", "b", "ns:c", "d-e", "f.g", "ü", *(f"n{n}" for n in range(30))]
VALUES = ["", "v", " x ", "a\"b'"]
TEXTS = [
    "",
    " ",
    "x",
    " a &amp; b ",
    "<![CDATA[<raw> & ]]>",
    "\n  two\n lines\n",
    "日本",
    "\u00a0y\u3000\u2028",
    "\u0085",
    "&#65;&lt;",
    "1",
    "<!-- no -->",
    "<?pi?>",
]


def random_element(pick: random.Random, depth: int = 0) -> str:
    """An element with attributes, mixed text and children whose names come again."""
    name = pick.choice(NAMES[: pick.choice((3, 6, 36))])
    attributes = "".join(f" {n}={quoteattr(pick.choice(VALUES))}" for n in NAMES[: pick.choice((0, 0, 1, 3))])
    attributes = attributes.replace(" ns:c", " xmlns:ns='u' ns:c")
    inner = ""
    for _ in range(pick.choice((0, 1, 2, 3, 40 if depth < 2 else 2)) if depth < 5 else 0):
        inner += pick.choice(TEXTS) + random_element(pick, depth + 1)
    return (
        f"<{name}{attributes}>{inner}{pick.choice(TEXTS)}</{name}>"
        if inner or pick.random() < 0.7
        else f"<{name}{attributes}/>"
    )


@pytest.mark.parametrize("seed", range(60))
def test_documents_are_as_xmltodict_reads_them(seed: int) -> None:
    pick = random.Random(seed)
    body = f"<?xml version='1.0'?><!-- <!x> --><root xmlns:ns='u'>{random_element(pick)}{random_element(pick)}</root>".encode()
    lists = ("a", "n3", "root")[: seed % 4]
    expected = xmltodict.parse(body, force_list=lists or None)
    if "root" in lists and not isinstance(expected["root"], list):
        expected = {"root": [expected["root"]]}
    found = XmlRules(lists=lists).text(body)
    assert json.loads(found) == expected
    assert list(walk(json.loads(found))) == list(walk(expected))


def walk(value: Any) -> Any:
    """All keys in their order."""
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield key
        yield from walk(one)


def page(number: int, n_pages: int = 3) -> str:
    """A page of a feed, each other record with one tag only."""
    items = ""
    for at in range(number * 4, number * 4 + 4):
        tags = "".join(f"<tag n={quoteattr(str(n))}>{escape(f'<{at}>')}</tag>" for n in range(1 + at % 2))
        items += f"<item id='{at}'><title lang='en'>t {at}</title><tags>{tags}</tags><empty/></item>"
    more = f"<next>{number + 1}</next>" if number + 1 < n_pages else ""
    return f"<feed xmlns='http://x'><page>{more}</page><items>{items}</items></feed>"


def config(url: str, response: Any, **endpoint: Any) -> Any:
    """One resource by cursor."""
    paginator = {"type": "cursor", "cursor_path": "feed.page.next", "cursor_param": "page"}
    made = {"path": "items", "paginator": paginator, "response": response, **endpoint}
    made = {key: value for key, value in made.items() if value is not None}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": made}]}


def run(folder: Path, made: Any, name: str = "xml", module: Any = rest_api) -> Any:
    """Runs a configuration: its pipeline and the resource's status."""
    pipeline = make_pipeline(folder / name, name)
    info = pipeline.run(module.rest_api_source(made, name="api"), loader_file_format="parquet")
    return pipeline, headrace.status().get(info.loads_ids[0], {}).get("resources", {}).get("items")


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_records_pages_and_tables(api: Any, tmp_path: Path, encoding: str, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        body = f"<?xml version='1.0' encoding='{encoding}'?>" + page(int(request.query.get("page", 0))).replace(
            "t ", "tü "
        )
        return Answer(body.encode(encoding), headers={"Content-Type": "application/xml"})

    def as_json(request: Request) -> Answer:
        return Answer(
            xmltodict.parse(page(int(request.query.get("page", 0))).replace("t ", "tü "), force_list=("tag",))
        )

    rules = {"record_path": "feed.items.item", "lists": ["tag"]}
    pipeline, status = run(tmp_path, config(api(handler).url, {"format": "xml", "xml": rules}))
    assert (status["native"], status["in_python"], status["in_normalize"]) == (True, [], None)
    made = config(api(as_json).url, None, data_selector="feed.items.item")
    assert_equal(run(tmp_path, made, "dlt", dlt_rest_api)[0], pipeline)
    assert len(read_tables(pipeline)["items__tags__tag"]) == 18


def test_attributes_with_another_prefix_and_names_with_marks(api: Any, tmp_path: Path, native_only: Any) -> None:
    body = b"<s:r xmlns:s='u'><one-row id='7'>x</one-row></s:r>"
    rules = {"record_path": "s:r.one-row", "attribute_prefix": "attr_"}
    pipeline, _ = run(
        tmp_path, config(api(lambda r: Answer(body)).url, {"format": "xml", "xml": rules}, paginator="single_page")
    )
    (row,) = read_tables(pipeline)["items"]
    assert row["attr_id"] == "7" and "x" in row.values()


BOMB = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
BAD = {
    "an entity bomb": (f'<!DOCTYPE r [<!ENTITY e0 "x">{BOMB}]><r><i>&e9;</i></r>', "a document type declaration"),
    "an external entity": (
        '<?xml version="1.0"?><!-- -->\n<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        "a document type decl",
    ),
    "an unknown entity": ("<r><i>&nope;</i></r>", "not well-formed: undefined entity at line 1, column 7, byte 6"),
    "a cut document": ("<r>\n<ü>x</ü><i>", "not well-formed: no element found at line 2, column 12, byte 17"),
    "tags that do not pair": ("<r>\n<i></j></r>", "not well-formed: mismatched tag at line 2, column 6, byte 9"),
    "nothing": ("", "not well-formed: it is empty"),
    "a deep document": ("<a>" * 600 + "</a>" * 600, "elements nested deeper than 512"),
    "JSON": ('{"a": 1}', "not well-formed"),
    "an encoding nobody knows": (
        "<?xml version='1.0' encoding='x-none'?><r/>",
        "an encoding that is not known: x-none",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_documents(api: Any, tmp_path: Path, name: str) -> None:
    body, expected = BAD[name]
    rules = {"format": "xml", "xml": {"record_path": "r.i"}}
    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(lambda r: Answer(body.encode())).url, rules))
    assert expected in str(caught.value) and "resource `items`, http://127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_documents_end_in_an_error_or_a_document(seed: int) -> None:
    pick = random.Random(seed)
    body = bytearray(page(1).encode())
    for _ in range(pick.choice((1, 2, 5))):
        at = pick.randrange(len(body))
        body[at : at + pick.choice((0, 1, 3))] = pick.choice((b"", b"<", b"&", b"\x00", b"\xff", b"]]>", b"<!--", b"'"))
    try:
        json.loads(XmlRules().text(bytes(body)))
    except _core.Error as error:
        assert error.code == "SYNTAX" and 0 <= error.offset <= len(body)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"format": "xml", "xml": {"record_path": ""}}, "xml.record_path` must be a text"),
        ({"format": "xml", "xml": {"path": "a"}}, "xml.path` is not known. Known are: record_path"),
        ({"format": "xml", "xml": {"lists": "tag"}}, "xml.lists` must be a list of names, not 'tag'"),
        ({"format": "json", "xml": {}}, "xml` is for `format: xml`, not json"),
    ],
)
def test_wrong_configurations(response: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rest_api.rest_api_source(config("http://x", response))
    assert expected in str(caught.value)
