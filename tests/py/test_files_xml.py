"""XML: records and their child tables against xml.etree, namespaces, streams; entities, cut files, random bytes."""

import gzip
import io
import json
import random
import xml.etree.ElementTree as ET

import dlt
import pytest
from files_reading import read, run
from headrace import _core
from headrace._files.xml import JsonOfXml, _path, _read_xml
from headrace._files.xml_text import Options, XmlText
from headrace.sources import filesystem as files
from oracle import make_pipeline, read_tables, trees

BOOKS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE catalog>
<catalog xmlns:d="http://example.com/d"><books>
 <book id="1" lang="en"><title>One &amp; only</title><author>A</author><author>B</author><price cur="EUR">5.50</price></book>
 <book id="2"><title>Zwei – ü</title><author>C</author><d:note d:kind="x">n</d:note><empty/><!-- c --><![CDATA[ text ]]></book>
</books><other><book id="9"/></other></catalog>
"""


def records(text, record, **options):
    """The records of a document."""
    path = () if record is None else _path(record)
    made = Options(path, tuple(options.get("lists", ())), options.get("attribute_prefix", ""))
    parser = XmlText(made, options.get("limit", 1 << 20))
    content = text if isinstance(text, bytes) else text.encode()
    size = options.get("block", 7)
    lines = []
    for start in range(0, len(content) + size, size):
        found, error = parser.feed(content[start : start + size], start >= len(content))
        lines.append(found)
        if error is not None:
            raise error
    return [json.loads(line) for line in b"".join(lines).splitlines()]


def test_elements_become_what_json_has_for_them():
    assert records(BOOKS, "catalog/books/book") == [
        {
            "id": "1",
            "lang": "en",
            "title": "One & only",
            "author": ["A", "B"],
            "price": {"cur": "EUR", "text": "5.50"},
        },
        {
            "id": "2",
            "title": "Zwei – ü",
            "author": "C",
            "note": {"kind": "x", "text": "n"},
            "empty": None,
            "text": "text",
        },
    ]
    assert [record["id"] for record in records(BOOKS, "book")] == ["1", "2", "9"]
    assert [record["id"] for record in records(BOOKS, "/catalog/*/book")] == ["1", "2", "9"]
    assert records(BOOKS, "title") == [{"text": "One & only"}, {"text": "Zwei – ü"}]
    assert records(BOOKS, "{http://example.com/d}note") == [{"kind": "x", "text": "n"}]
    assert records(BOOKS, "{http://example.com/e}note") == []
    assert records(BOOKS, "book", lists=["author"], attribute_prefix="a_")[1]["author"] == ["C"]
    assert records(BOOKS, "book", attribute_prefix="a_")[2] == {"a_id": "9"}
    assert records('<r a="1"><a>2</a></r>', "/r") == [{"a": ["1", "2"]}]


def test_a_record_within_a_record_is_a_member():
    assert records("<r><n><v>1</v><n><v>2</v></n></n></r>", "n") == [{"v": "1", "n": {"v": "2"}}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?><r><a>é{"€" if encoding != "iso-8859-1" else ""}</a></r>'
    assert records(text.encode(encoding), "/r")[0]["a"].startswith("é")


@pytest.mark.parametrize("block", [1, 50, 100_000])
@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "koi8-r", "utf-16-le", "latin1", "utf8", "ascii"])
def test_encodings_that_python_has(encoding, block):
    text = {"shift_jis": "日本", "gb18030": "中文😀", "koi8-r": "мир", "latin1": "é"}.get(encoding, "x")
    document = f'<?xml version="1.0" encoding="{encoding}"?><r><a>{text * 200}</a></r>'
    assert records(document.encode(encoding), "/r", block=block) == [{"a": text * 200}]


def test_a_byte_order_mark_counts_for_more_than_what_is_declared():
    text = '<?xml version="1.0" encoding="koi8-r"?><r>é</r>'
    for encoding in ("utf-8-sig", "utf-16"):
        assert records(text.encode(encoding), "/r") == [{"text": "é"}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"<?xml version='1.0' encoding='shift_jis'?><r>\x81</r>", "the text is not shift_jis: 'shift_jis' codec"),
        (b"<?xml version='1.0' encoding='hex'?><r>00</r>", "declares an encoding that is not known: hex"),
        (b"<?xml version='1.0' encoding='none'?><r>00</r>", "declares an encoding that is not known: none"),
    ],
)
def test_text_that_is_not_in_its_encoding(document, message):
    with pytest.raises(_core.Error, match=message) as raised:
        records(document, "r")
    assert raised.value.code == "ENCODING"


def as_dict(element):
    """The oracle: what the rules say of an element of xml.etree."""
    members = {}

    def add(key, value):
        if key in members:
            members[key] = [*members[key], value] if isinstance(members[key], list) else [members[key], value]
        else:
            members[key] = value

    for key, value in element.attrib.items():
        add(key.rpartition("}")[2], value)
    text = element.text or ""
    for child in element:
        add(child.tag.rpartition("}")[2], as_dict(child))
        text += child.tail or ""
    text = text.strip()
    if members and text:
        add("text", text)
    return members or text or None


def random_element(depth):
    element = ET.Element(
        random.choice(["a", "b", "c", "{u}a", "{v}d", "text"]),
        {
            key: random.choice(["", "x", "<&\"'>"])
            for key in random.sample(["k", "l", "{u}k", "a"], random.randrange(3))
        },
    )
    for _ in range(random.randrange(4) if depth else 0):
        element.append(random_element(depth - 1))
    element.text = random.choice([None, "t", " é\n", "\u00a0 \u3000x\u2028"])
    element.tail = random.choice([None, "u", "\n"])
    return element


def test_random_documents_are_what_xml_etree_reads():
    random.seed(3)
    for _ in range(300):
        root = ET.Element("root")
        root.extend(random_element(3) for _ in range(3))
        for child in root:
            child.tag = "rec"
        expected = [value if isinstance(value, dict) else {"text": value} for value in map(as_dict, root)]
        found = records(ET.tostring(root), "root/rec", block=random.choice([1, 5, 10_000]))
        assert found == expected


def test_records_become_the_tables_that_dlt_makes_of_them(tmp_path):
    (tmp_path / "a.xml").write_text(BOOKS)
    (tmp_path / "b.xml.gz").write_bytes(gzip.compress(BOOKS.replace("One", "Two").encode()))
    ours = run(
        files,
        "read_xml",
        tmp_path,
        tmp_path / "ours",
        "*.xml*",
        record="books/book".replace("books/", "catalog/books/"),
    )
    theirs = make_pipeline(tmp_path / "dlt", "files")
    rows = records(BOOKS, "catalog/books/book") + records(BOOKS.replace("One", "Two"), "catalog/books/book")
    theirs.run(dlt.resource(rows, name="t"), loader_file_format="parquet")
    assert trees(ours) == trees(theirs)
    assert [row["value"] for row in read_tables(ours)["t__author"]] == ["A", "B", "A", "B"]


def test_hints_coerce_texts(tmp_path):
    (tmp_path / "a.xml").write_text(BOOKS)
    reader = files.filesystem(f"file://{tmp_path}", file_glob="*.xml") | files.read_xml(record="catalog/books/book")
    reader.apply_hints(columns={"id": {"data_type": "bigint"}})
    pipeline = make_pipeline(tmp_path / "work", "files")
    pipeline.run(reader.with_name("t"), loader_file_format="parquet")
    assert [row["id"] for row in read_tables(pipeline)["t"]] == [1, 2]


def test_a_large_file_is_streamed(tmp_path):
    import tracemalloc

    with (tmp_path / "a.xml").open("w") as out:
        out.write("<r>")
        for i in range(20_000):
            out.write(f"<rec><id>{i}</id><name>{'x' * 300}</name></rec>")
        out.write("</r>")
    item = files.FileItemDict({"file_url": f"file://{tmp_path}/a.xml", "file_name": "a.xml"})
    tracemalloc.start()
    content = JsonOfXml(item, Options(_path("rec")))
    n_lines = sum(1 for _ in io.BufferedReader(content))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_lines == 20_000
    assert peak < 4 << 20


LAUGHS = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><r><rec>&b;</rec></r>'
BAD = {
    "empty": ("", "the XML is not well-formed: it is empty at line 1"),
    "misnamed": (
        "a,b\n1,2\n",
        "the XML is not well-formed: syntax error at line 1, column 1, byte 0; 0 records stand before it",
    ),
    "cut": (
        "<r><rec>1</rec><rec>2</rec><rec>3",
        "no element found at line 1, column 34, byte 33; 2 records stand before it",
    ),
    "mismatched": (
        "<r>\n<rec>1</rec><rec>2</r>",
        "mismatched tag at line 2, column [0-9]+, byte 24; 1 records stand before it",
    ),
    "entities": (LAUGHS, "the XML declares the entity `a`: entities are refused, at line 1"),
    "external": (
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><rec>&x;</rec></r>',
        "declares the entity `x`",
    ),
    "parameter": ('<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]><r/>', "declares the entity `p`"),
    "undeclared": (
        '<!DOCTYPE r SYSTEM "x.dtd"><r><rec>&y;</rec></r>',
        "uses the entity `y`, which it does not declare",
    ),
    "deep": ("<r>" + "<a>" * 600, "the XML has elements nested deeper than 512, at line 1, byte 1536"),
    "encoding": (
        b'<?xml version="1.0" encoding="utf-8"?><r><rec>\xff</rec></r>',
        r"not well-formed \(invalid token\) at line 1",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_an_error_with_its_place(tmp_path, kind):
    content, message = BAD[kind]
    (tmp_path / "bad.xml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(Exception, match=message) as raised:
        read(files._read_xml, tmp_path, "*.xml", record="rec")
    assert f"{tmp_path}/bad.xml" in str(raised.value)


def test_records_before_an_error_stay_with_skip_file(tmp_path):
    (tmp_path / "a.xml").write_text("<r>" + "<rec><a>1</a></rec>" * 3 + "<rec>")
    (tmp_path / "b.xml").write_text("<r><rec><a>2</a></rec></r>")
    pipeline = run(files, "read_xml", tmp_path, tmp_path / "work", "*.xml", record="rec", on_error="skip_file")
    assert [row["a"] for row in read_tables(pipeline)["t"]] == ["1", "1", "1", "2"]


def test_a_record_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE__MAX_BODY_BYTES", "1000")
    path = tmp_path / "a.xml"
    path.write_text("<r><rec>" + "<a>x</a>" * 200 + "</rec></r>")
    with pytest.raises(Exception, match="a record that is larger than max_body_bytes, 1000 bytes, at line 1"):
        read(files._read_xml, tmp_path, "*.xml", record="rec")
    path.write_text("<r>" + "<rec><a>x</a></rec>" * 200 + "</r>")
    assert [len(page) for page in read(files._read_xml, tmp_path, "*.xml", record="rec")] == [200]


def test_random_bytes_are_records_or_an_error():
    """Nothing but `Error` comes of a broken document."""
    random.seed(4)
    for _ in range(1_000):
        content = bytearray(BOOKS.encode())
        for _ in range(random.choice([1, 3, 10])):
            at = random.randrange(len(content))
            content[at : at + random.randrange(3)] = random.choice(
                [b"<", b"&", b"]]>", b"\xff", b"<!ENTITY a 'b'>", b"\0", b"</book>"]
            )
        try:
            records(bytes(content), "book", block=1000)
        except _core.Error:
            continue


def test_a_record_must_be_named():
    with pytest.raises(ValueError, match="`record` of `read_xml`: expected an element's name or path, found `None`"):
        _read_xml([])
