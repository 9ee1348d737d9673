"""Odd answers and odd documents that dlt can read: the same tables. All of them are resources of one run."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from oracle import run_both
from servers import Answer, Request

JSON = b'{"items": [{"id": 1}, {"id": 2}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json"


def raw(body: bytes, *lines: str, first: bytes = HEAD, sized: bool = True) -> Answer:
    """An answer byte by byte."""
    head = [first, *(line.encode("latin-1") for line in lines), *([b"Content-Length: %d" % len(body)] if sized else [])]
    return Answer(raw=b"\r\n".join(head) + b"\r\n\r\n" + body)


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


GZIP = gzip.compress(JSON)
HEADS = {
    "gzip": raw(GZIP, "Content-Encoding: gzip"),
    "gzip_upper": raw(GZIP, "Content-Encoding: GZIP"),
    "x_gzip": raw(GZIP, "Content-Encoding: x-gzip"),
    "gzip_twice": raw(gzip.compress(GZIP), "Content-Encoding: gzip, gzip"),
    "gzip_in_two_members": raw(gzip.compress(JSON[:10]) + gzip.compress(JSON[10:]), "Content-Encoding: gzip"),
    "gzip_and_more": raw(GZIP + b"junk", "Content-Encoding: gzip"),
    "gzip_without_its_trailer": raw(GZIP[:-8], "Content-Encoding: gzip"),
    "deflate": raw(zlib.compress(JSON), "Content-Encoding: deflate"),
    "deflate_bare": raw(zlib.compress(JSON)[2:-4], "Content-Encoding: deflate"),
    "encoding_utf8": raw(JSON, "Content-Encoding: utf-8"),
    "encoding_none": raw(JSON, "Content-Encoding: none"),
    "encoding_blank": raw(JSON, "Content-Encoding: "),
    "encoding_identity": raw(JSON, "Content-Encoding: identity"),
    "encoding_utf8_of_latin1": raw('{"items": [{"a": "café"}]}'.encode("latin-1"), "Content-Encoding: utf-8"),
    "more_than_its_length": Answer(raw=HEAD + b"\r\nContent-Length: %d\r\n\r\n" % len(JSON) + JSON + b"extra"),
    "until_closed": raw(JSON, sized=False),
    "http_1_0": raw(JSON, first=b"HTTP/1.0 200 OK", sized=False),
    "same_length_twice": raw(JSON, f"Content-Length: {len(JSON)}"),
    "chunks": raw(chunked(JSON[:5], JSON[5:]), "Transfer-Encoding: chunked", sized=False),
    "chunks_and_a_trailer": raw(chunked(JSON, end=b"0\r\nX-T: 1\r\n\r\n"), "Transfer-Encoding: chunked", sized=False),
    "chunks_and_a_length": raw(chunked(JSON), "Transfer-Encoding: chunked", "Content-Length: 3", sized=False),
    "continue_first": raw(JSON, first=b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD),
    "found_without_location": raw(JSON, first=b"HTTP/1.1 302 Found"),
    "many_choices": raw(JSON, first=b"HTTP/1.1 300 Multiple Choices"),
    "no_reason": raw(JSON, first=b"HTTP/1.1 200"),
    "bare_line_feeds": Answer(raw=b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(JSON) + JSON),
    "folded_header": raw(JSON, "X-A: b\r\n  c"),
    "says_html": Answer(JSON, headers={"Content-Type": "text/html"}),
    "unknown_charset": Answer(JSON, headers={"Content-Type": "application/json; charset=nope"}),
}

DIGITS = b"7" * 10_000
DOCUMENTS = {
    "doc_null": b"null",
    "doc_true": b"true",
    "doc_text": b'"x"',
    "doc_number": b"5",
    "doc_empty_list": b"[]",
    "doc_empty_object": b"{}",
    "doc_list_of_null": b"[null]",
    "doc_list_of_numbers": b"[1, 2]",
    "doc_list_of_lists": b'[[], [{"a": 1}]]',
    "doc_list_of_all": b'[{"a": 1}, 5, null, "x", [1]]',
    "items_null": b'{"items": null}',
    "items_text": b'{"items": "x"}',
    "items_object": b'{"items": {"a": 1}}',
    "items_of_all": b'{"items": [{"a": 1}, 5, null, "x", [1, {"b": 2}]]}',
    "items_twice": b'{"items": [{"id": 1}], "items": [{"id": 2}]}',
    "bom": b"\xef\xbb\xbf" + JSON,
    "bad_utf8_beside": b'{"x": "\xff", "items": [{"id": 1}]}',
    "lone_surrogate_beside": b'{"x": "\\ud800", "items": [{"id": 1}]}',
}
RECORDS = {
    "float_too_large": b'{"a": 1e400}, {"a": -1e400}',
    "float_too_small": b'{"a": 1e-400}, {"a": -0}, {"a": -0.0}',
    "integers_at_the_edge": b'{"a": 9223372036854775807, "b": -9223372036854775808}',
    "digits_behind_the_point": b'{"a": 0.' + DIGITS + b"}",
    "digits_before_the_point": b'{"a": ' + DIGITS + b'.5}, {"a": ' + DIGITS[:300] + b".5}",
    "digits_of_the_exponent": b'{"a": 1e' + DIGITS + b'}, {"a": 1e-' + DIGITS + b"}",
    "zeros_behind_the_point": b'{"a": 0.' + b"0" * 10_000 + b"1}",
    "bad_utf8": b'{"a": "\xff\xfe"}, {"a": "\xc0\xaf"}, {"a": "\xed\xa0\x80"}, {"a": "\xe2\x82"}, {"a": "\xf5\x80\x80\x80"}',
    "bad_utf8_in_a_key": b'{"a\xff": 1}',
    "nul_and_pairs": b'{"a": "x\\u0000y", "b": "\\ud83d\\ude00"}',
    "key_twice": b'{"a": 1, "a": "x", "b": {"c": 1}, "b": {"d": 2}, "l": [1, 2], "l": [3], "m": [1], "m": 3}',
    "names_meet": b'{"Name": 1, "name": 2, "NAME": 3}, {"Name": 1, "name": null}',
    "names_meet_with_other_types": b'{"Name": 1, "name": "x"}',
    "names_meet_in_objects": b'{"A": {"b": 1}, "a": {"B": 2}, "c": {"d": 1}, "c__d": 2}',
    "names_meet_in_lists": b'{"A": [1], "a": [2, 3], "B": [{"x": 1}], "b": {"x": 1}, "C": [1], "c": 5}',
    "names_meet_in_tables": b'{"l": {"m": [1]}, "l__m": [2]}',
    "odd_keys": '{"": 1, " ": 2, "!!!": 3, "😀": 4, "日本": 5, "1": 6, "2a": 7, "a\\nb": 8, "a\\"b": 9, "a\\u0000b": 10}'.encode(),
    "long_key": b'{"' + b"k" * 10_000 + b'": 1}',
    "reserved_names": b'{"select": 1, "from": 2, "_dlt_id": "mine", "_dlt_load_id": "mine"}',
    "names_of_links": b'{"a": [{"_dlt_parent_id": "x", "_dlt_list_idx": 7, "b": 1}]}',
    "many_columns": b"{" + b",".join(b'"c%d": %d' % (n, n) for n in range(1500)) + b"}",
    "nothing": b"{}, {}",
    "nulls": b'{"a": null}, {"a": null}',
    "null_then_object": b'{"a": null}, {"a": {"b": 1}}',
    "scalar_then_object": b'{"a": 1}, {"a": {"b": 1}}',
    "scalar_then_list": b'{"a": 1}, {"a": [1]}',
    "list_then_scalar": b'{"a": [1]}, {"a": 1}',
    "empty_inside": b'{"a": [[], {}, null, [[]]], "b": []}',
}


def same_tables(api: Any, tmp_path: Path, answers: dict[str, Answer]) -> None:
    """Both read each answer as the page of a resource of its name."""

    def handler(request: Request) -> Answer:
        return answers[request.path.strip("/")]

    server = api(handler)
    made: Any = {"client": {"base_url": server.url, "paginator": "single_page"}, "resources": list(answers)}
    run_both(lambda: made, tmp_path)


def test_odd_answers(api: Any, tmp_path: Path, native_only: Any) -> None:
    same_tables(api, tmp_path, HEADS)


def test_odd_documents(api: Any, tmp_path: Path, native_only: Any) -> None:
    records = {name: b'{"items": [' + text + b"]}" for name, text in RECORDS.items()}
    same_tables(api, tmp_path, {name: Answer(body) for name, body in (DOCUMENTS | records).items()})
