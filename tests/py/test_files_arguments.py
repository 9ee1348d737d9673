"""Arguments of `filesystem` and its readers: a wrong one is told when it is given, with no file there; right ones are taken."""

from __future__ import annotations

import inspect
from typing import Any

import dlt
import dlt.sources.filesystem as dlts
import pyarrow.compute as pc
import pytest
from headrace._files import arguments
from headrace.exceptions import ConfigurationError
from headrace.sources import filesystem as files

READERS = [name for name in files.__all__ if name.startswith("read_") and name != "read_csv_duckdb"]
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("filesystem", {"only_new": "etags"}, "expected one of None, `name`, `version`, `etag`, `hash`, found `etags`"),
    ("filesystem", {"files_per_page": 0}, "expected a whole number, at least 1, found `0`"),
    ("read_jsonl", {"chunksize": "10"}, "expected a whole number, at least 1, found `10`"),
    ("read_jsonl", {"record_path": "a"}, "unexpected keyword argument 'record_path'"),
    ("read_json", {"record_path": "a..b"}, "expected keys with dots between them, found `a..b`"),
    ("read_csv", {"ragged": "skip"}, "`ragged` of `read_csv`: expected one of ``, `raise`, `pad`, found `skip`"),
    ("read_csv", {"seperator": ";"}, "neither headrace's reader nor pandas' has an argument `seperator`"),
    ("read_parquet", {"columns": "id"}, "expected a list of texts, or None, found `id`"),
    ("read_parquet", {"filters": [("a", "~", 1)]}, "expected an Expression of pyarrow"),
    ("read_parquet", {"nested": "no"}, "expected one of `tables`, `keep`, or None, found `no`"),
    ("read_orc", {"nested": None}, "expected one of `tables`, `keep`, found `None`"),
    ("read_orc", {"columns": [1]}, "`columns` of `read_orc`"),
    ("read_avro", {"nested": "x"}, "`nested` of `read_avro`"),
    ("read_excel", {"sheets": -1}, "`sheets` of `read_excel`: expected a number from 0"),
    ("read_excel", {"sheets": []}, "`sheets` of `read_excel`"),
    ("read_excel", {"header_row": 0}, "expected a row from 1, None or `auto`, found `0`"),
    ("read_excel", {"dtypes": {"a": "flot"}}, "expected names of columns with one of int, float"),
    ("read_excel", {"merged": "all"}, "expected one of `first`, `fill`, found `all`"),
    ("read_excel", {"errors": "skip"}, "expected one of `null`, `raise`, found `skip`"),
    ("read_wav", {"samples": "list"}, "expected one of None, `column`, `frames`, `bytes`, found `list`"),
    ("read_wav", {"levels": 1}, "expected True or False, found `1`"),
    ("read_xml", {"record": "/"}, "expected an element's name or path, found `/`"),
    ("read_xml", {"lists": "b"}, "expected a list of texts, found `b`"),
    ("read_xml", {"text_key": ""}, "`text_key` of `read_xml`: expected a text, found ``"),
    ("read_text", {"mode": "words"}, "expected one of `lines`, `file`, found `words`"),
    ("read_text", {"encoding": "utf-9"}, "expected an encoding that Python has, or None, found `utf-9`"),
    ("read_text", {"fields": [("a", 0)]}, "a width of at least 1, or None, found `[('a', 0)]`"),
    ("read_text", {"fields": [("a", 1), ("a", 2)]}, "`fields` of `read_text`"),
    ("read_text", {"skip_lines": -1}, "expected a whole number, at least 0, found `-1`"),
    ("read_any", {"options": {"xls": {}}}, "no format `xls`: expected some of avro, csv"),
    ("read_any", {"options": {"xml": {"record": 1}}}, "`record` of `read_xml`: expected an element's name or path"),
    ("read_any", {"options": {"excel": {"sheet": 1}}}, "`read_excel`: got an unexpected keyword argument 'sheet'"),
    ("read_any", {"options": {"wav": {"samples": "frames"}}}, "take `read_wav`"),
    *((reader, {"on_error": "skip"}, "one of `raise`, `skip_file`, `skip_row`, found `skip`") for reader in READERS),
]


@pytest.mark.parametrize(("name", "given", "expected"), BAD)
def test_a_wrong_argument_is_told_when_it_is_given(name, given, expected):
    with pytest.raises(ConfigurationError) as raised:
        getattr(files, name)(**given)
    assert expected in str(raised.value)
    assert next(iter(given)) in str(raised.value)


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("filesystem", {"bucket_url": "/data", "only_new": "etag", "files_per_page": 10}),
    ("read_csv", {"sep": None, "engine": "python", "parse_dates": ["a"], "on_bad_lines": "skip", "dialect": "sniff"}),
    ("read_parquet", {"filters": pc.field("a") > 1, "columns": ("a.b",), "chunksize": None}),
    ("read_parquet", {"filters": [[("a", "=", 1)], [("b", "in", [1])]], "nested": None}),
    ("read_excel", {"sheets": ["a*", 2], "header_row": "auto", "dtypes": {"a": "date"}, "table": None}),
    ("read_xml", {"record": "{u}a/*", "lists": {"b"}}),
    ("read_text", {"fields": [("a", 1), (None, 2)], "encoding": "cp1252"}),
    ("read_any", {"options": {"csv": {"sep": ";"}, "xml": {"record": "a"}, "jsonl": {}}, "on_error": "skip_row"}),
    *((reader, {"on_error": dlt.config.value}) for reader in READERS),
]


@pytest.mark.parametrize(("name", "given"), GOOD)
def test_what_is_right_is_taken(name, given):
    assert getattr(files, name)(**given) is not None


@pytest.mark.parametrize("reader", READERS)
def test_every_argument_has_a_check(reader):
    """So that a new one cannot be forgotten."""
    kind = inspect.Parameter.VAR_KEYWORD
    given = list(inspect.signature(getattr(files, f"_{reader}")).parameters.values())[1:]
    names = {one.name for one in given if one.kind is not kind} - {"options"}
    assert {name for name in names if name not in arguments._CHECKS} == set()


def test_an_argument_of_the_configuration_is_told_with_the_first_file(tmp_path, monkeypatch):
    (tmp_path / "a.xml").write_text("<r/>")
    monkeypatch.setenv("SOURCES__FILESYSTEM__READ_XML__RECORD", "/")
    reader = files.filesystem(f"file://{tmp_path}", file_glob="*.xml") | files.read_xml()
    with pytest.raises(Exception, match="`record` of `read_xml`: expected an element's name or path, found `/`"):
        list(reader)


@pytest.mark.parametrize("name", ["filesystem", "read_csv", "read_jsonl", "read_parquet"])
def test_the_configuration_has_the_section_that_it_has_in_dlt(name):
    assert getattr(files, name).section == getattr(dlts, name).section == "filesystem"
