"""Text in lines, files and fields of fixed width; formats told from content, and each file by its reader."""

import gzip
import io
import json
import zipfile

import fastavro
import openpyxl
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import soundfile
from files_reading import read, run
from headrace._files.sniff import sniff
from headrace.sources import filesystem as files
from oracle import read_tables


def lines_of(folder, content, **options):
    (folder / "a.txt").write_bytes(content)
    found = read(files._read_text, folder, **options)
    return [text for table in found for text in table["text"].to_pylist()]


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\r\nb\r\n", "\n\na\n \n", "é\u2028x\x0by\n\U0001f600", "a\r\r\nb"])
def test_lines_are_what_stands_between_line_ends(tmp_path, text):
    expected = [line.rstrip("\r") for line in text.split("\n")]
    assert lines_of(tmp_path, text.encode()) == (expected[:-1] if not expected[-1] else expected)


def test_lines_have_numbers_and_their_file(tmp_path):
    (tmp_path / "a.txt").write_text("h\nx\ny\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"z"))
    rows = [row for table in read(files._read_text, tmp_path, skip_lines=1) for row in table.to_pylist()]
    assert rows == [
        {"file_name": "a.txt", "line_number": 2, "text": "x"},
        {"file_name": "a.txt", "line_number": 3, "text": "y"},
    ]
    tables = read_tables(run(files, "read_text", tmp_path, tmp_path / "work", "*.txt*"))
    assert sorted((row["file_name"], row["line_number"], row["text"]) for row in tables["t"])[-1] == (
        "b.txt.gz",
        1,
        "z",
    )


def test_big_files_come_in_blocks(tmp_path):
    lines = [f"{i} " + "é" * (i % 100) for i in range(50_000)]
    assert lines_of(tmp_path, "\n".join(lines).encode()) == lines


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("é\n", {}),
        ("\ufeffé\n", {}),
        ("é\n", {"encoding": "latin-1"}),
        ("é\n", {"encoding": "utf-16"}),
        ("\ufeffé\n", {"encoding": "utf-8"}),
    ],
)
def test_encodings(tmp_path, content, options):
    assert lines_of(tmp_path, content.encode(options.get("encoding", "utf-8")), **options) == ["é"]
    assert lines_of(tmp_path, "\ufeffé\n".encode("utf-16-le")) == ["é"]


def test_whole_files(tmp_path):
    (tmp_path / "a.txt").write_text("x\ny\n")
    (table,) = read(files._read_text, tmp_path, mode="file")
    assert table.to_pylist() == [{"file_name": "a.txt", "text": "x\ny\n"}]


def test_fields_of_fixed_width(tmp_path):
    (tmp_path / "a.txt").write_text("1    Jürgen   12.5\n22   Zoë\n\n333  \U0001f600        7\n")
    (table,) = read(files._read_text, tmp_path, fields=[("id", 4), (None, 1), ("name", 9), ("amount", 5)])
    assert table.to_pylist() == [
        {"id": "1", "name": "Jürgen", "amount": "12.5"},
        {"id": "22", "name": "Zoë", "amount": None},
        {"id": "333", "name": "\U0001f600", "amount": "7"},
    ]


BAD_TEXT = {
    "encoding": (b"ok\n" * 400_000 + b"a\xff\n", {}, r"line 400001, byte 1200001: .*not in utf-8: b'\\xff\\n'"),
    "cut": (b"a\nb\xc3", {}, r"line 2, byte 3: .*not in utf-8: b'\\xc3' \(unexpected end of data\)"),
}


@pytest.mark.parametrize("kind", BAD_TEXT)
def test_text_in_another_encoding_is_an_error_with_its_place(tmp_path, kind):
    content, options, message = BAD_TEXT[kind]
    with pytest.raises(Exception, match=message):
        lines_of(tmp_path, content, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "words"}, "`mode` of `read_text`"),
        (
            {"encoding": "utf-9"},
            "`encoding` of `read_text`: expected an encoding that Python has, or None, found `utf-9`",
        ),
        ({"fields": [("a", 0)]}, "`fields` of `read_text`: expected .* a width of at least 1"),
        ({"fields": [("a", 1), ("a", 2)]}, "`fields` of `read_text`: expected .* a name of its own"),
    ],
)
def test_options_that_are_none_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        lines_of(tmp_path, b"a", **options)


# ---- what a file is


def make_all(folder):
    """A file of each format, under a name that tells nothing."""
    table = pa.table({"a": [1, 2]})
    pq.write_table(table, folder / "parquet.bin")
    orc.write_table(table, folder / "orc.bin")
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]}
    with (folder / "avro.bin").open("wb") as out:
        fastavro.writer(out, schema, [{"a": 3}])
    soundfile.write(folder / "wav.bin", [0.0, 0.5], 8000, format="WAV")
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append([4])
    book.save(folder / "excel.bin")
    (folder / "jsonl.bin").write_text('{"a": 5}\n{"a": 6}\n')
    (folder / "json.bin").write_text('[\n {"a": 7}\n]')
    (folder / "xml.bin").write_text("<r><rec><a>8</a></rec></r>")
    (folder / "csv.bin").write_text("a,b\n9,x\n")
    (folder / "text.bin").write_text("some words\nand more, of them\n")


def test_formats_are_told_from_content(tmp_path):
    make_all(tmp_path)
    from headrace._files.any import told_of

    for path in tmp_path.iterdir():
        packed = tmp_path / f"{path.name}.packed"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        for one in (path, packed):
            item = files.FileItemDict({"file_url": f"file://{one}", "file_name": one.name})
            assert told_of(item).format == path.name.partition(".")[0], one.name
        packed.unlink()


TOLD = [
    (b"", None, "it is empty"),
    (b"a,b\n1,2\n", "csv", "each of its first 2 lines has 1 of ','"),
    (b'a;b;c\n"x;y";2;3\n', "csv", "2 of ';'"),
    (b"a\tb\tc\n", "csv", "1 lines has 2 of"),
    (b"one, two\n", "text", "text"),
    (b"hello", "text", "text"),
    (b"\n \n", "text", "blank"),
    (b'{"a":1}', "jsonl", "JSON"),
    (b'{\n"a":1\n}', "json", "an object"),
    (b'{"a":1', "text", "text"),
    (b"[1,2]", "json", "an array"),
    (b"[section]\nx=1\n", "text", "text"),
    (b"<!DOCTYPE html><html>", None, "it is HTML"),
    (b"<html><body>", None, "it is HTML"),
    (b"<?xml version='1.0'?><a/>", "xml", "it begins with '<?xml"),
    ("\ufeff<a/>".encode("utf-16-le"), "xml", "it begins with"),
    (b"< 5\n", "text", "text"),
    (b"\x7fELF\x01\0\0", None, "it begins with b'"),
    (b"RIFF\0\0\0\0AVI ", None, "b'AVI '"),
    ("größe;zahl\nä;1\n".encode("cp1252"), "csv", "1 of ';'"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel", "OLE"),
    (b"PK\x03\x04", None, "zip"),
]


@pytest.mark.parametrize(("head", "name", "why"), TOLD)
def test_told(head, name, why):
    found = sniff(head, io.BytesIO(head) if head[:2] == b"PK" else None)
    assert found.format == name
    assert why in found.why


def test_a_zip_that_is_no_workbook_says_what_it_has():
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as parts:
        parts.writestr("a.csv", "x")
    assert sniff(sink.getvalue(), sink).why == "it is a zip of 1 files that is no workbook: a.csv"


def test_each_file_goes_to_its_reader_and_all_into_one_table(tmp_path):
    make_all(tmp_path)
    for name in ("text", "wav"):
        (tmp_path / f"{name}.bin").unlink()
    (tmp_path / "csv.bin").write_text("a;b\n10;x\n11;y\n")
    options = {"xml": {"record": "rec"}}
    rows = read_tables(run(files, "read_any", tmp_path, tmp_path / "work", "*.bin", options=options))["t"]
    assert sorted(int(row["a"]) for row in rows if row["a"] is not None) == [1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert all(row["_dlt_id"] for row in rows)


def test_files_of_no_format_go_by_on_error(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")
    (tmp_path / "b.bin").write_text(json.dumps([{"a": 1}]))
    with pytest.raises(
        Exception, match=r"a.bin: .*no format that headrace reads: it begins with b'\\x00\\x01\\x02', and is no text"
    ):
        read(files._read_any, tmp_path)
    assert read(files._read_any, tmp_path, on_error="skip_file") == [[{"a": 1}]]
    with pytest.raises(ValueError, match="no format `xls`: expected some of avro, csv, excel"):
        read(files._read_any, tmp_path, options={"xls": {}})
