"""What bad input gets: a clear error or a right result, never a crash, a hang or silently fewer rows."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt.sources.rest_api as dlt_rest_api
import headrace.sources.rest_api as rest_api
import pytest
from dlt.common.exceptions import TerminalException, TransientException
from dlt.common.schema.exceptions import CannotCoerceNullException
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_text, mask_url
from oracle import make_pipeline, read_tables, run_both
from requests import HTTPError
from servers import Answer, Request

N_PAGES = 4


def config(url: str, endpoint: Any = None, **resource: Any) -> Any:
    """One resource in pages."""
    made = {"path": "items", "paginator": {"type": "page_number"}, **(endpoint or {})}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": made, **resource}]}


def good(request: Request) -> Answer:
    """Pages of ten records."""
    page = int(request.query.get("page", 0))
    return Answer({"total": N_PAGES, "items": [{"id": page * 10 + i, "tags": ["x"]} for i in range(10)]})


def fails(tmp_path: Path, made: Any) -> Any:
    """What the run raises, unwrapped from dlt's exceptions; all threads of the run must have ended."""
    pipeline = make_pipeline(tmp_path, "bad")
    before = set(threading.enumerate())  # of other tests
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.extract(rest_api.rest_api_source(made, name="api"))
    found: Any = caught.value
    while isinstance(found, (PipelineStepFailed, ResourceExtractionError)):
        found = found.__cause__
    assert not [t for t in threading.enumerate() if t.name.startswith("headrace") and t not in before]
    return found


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket, str], None]], str]]:
    """A server whose handler gets the socket and the request's path."""
    started = []

    def start(handler: Callable[[socket.socket, str], None], context: ssl.SSLContext | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        started.append(listener)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    head = connection.recv(65536)
                    handler(connection, head.split(b" ")[1].decode())
                except OSError:
                    pass
                finally:
                    connection.close()

        threading.Thread(target=loop, daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{listener.getsockname()[1]}"

    yield start  # type: ignore[misc]
    for listener in started:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answer_text(body: bytes, length: int | None = None) -> bytes:
    """An answer as bytes."""
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size + body


def test_an_error_says_where(api: Any, tmp_path: Path) -> None:
    def handler(request: Request) -> Answer:
        if request.query["page"] == "2":
            return Answer(b'{"total": 4, "items": [{"id": 1}, {"id": 2')
        return good(request)

    error = fails(tmp_path, config(api(handler).url, {"params": {"api_key": "s3cret", "x": "1"}}))
    assert isinstance(error, ResourceFailed)
    assert isinstance(error, TerminalException)
    text = str(error)
    assert re.match(
        r"decode: resource `items`, http://127\.0\.0\.1:\d+/items\?api_key=\*\*\*&x=1&page=2, page 2, byte 42: ", text
    ), text
    assert "s3cret" not in text
    assert "look at it with curl" in text


DEEP = b"[" * 100_000 + b"]" * 100_000
LOOK = "look at it with curl"
AGAIN = "run again later"
# what page 2 is, what the error says of it: stage, place behind the page, words, what to do
BAD_PAGES: dict[str, tuple[Answer, str, str, str, str]] = {
    "truncated": (
        Answer(b'{"items": [{"id": 1}, {"id'),
        "decode",
        "byte 23",
        "the string that starts at byte 23 does not end",
        LOOK,
    ),
    "html": (Answer(b"<html>log in</html>"), "decode", "byte 0", "expected a value, found '<'", LOOK),
    "empty": (Answer(b""), "decode", "byte 0", "the body is empty", LOOK),
    "no content": (Answer(b"", status=204), "decode", "byte 0", "the body is empty", LOOK),
    "two documents": (Answer(b"{}\n{}"), "decode", "byte 3", "expected the end of the document", LOOK),
    "deep": (Answer(b'{"items": ' + DEEP + b"}"), "decode", "byte 1033", "nested deeper than 1024 levels", "dlt's own"),
    "deep elsewhere": (
        Answer(b'{"x": ' + DEEP + b', "items": []}'),
        "decode",
        "byte 1029",
        "nested deeper",
        "dlt's own",
    ),
    "control character": (Answer(b'{"items": [{"a": "\n"}]}'), "decode", "byte 18", "control character 0x0a", LOOK),
    "bad escape": (Answer(b'{"items": [{"a": "\\x"}]}'), "decode", "byte 19", "after a backslash, found 'x'", LOOK),
    "lone surrogate": (
        Answer(b'{"total": 4, "items": [{"a": 1}, {"a": "\\ud800x"}]}'),
        "normalize",
        "record 1, byte 33",
        'value "\\xed\\xa0\\x80x" holds a lone surrogate, which is not text [table `items`, column `a`]',
        "encoding",
    ),
    "digits": (
        Answer(b'{"total": 4, "items": [{"id": 1}, {"l": [{"v": -' + b"7" * 10_000 + b"}]}]}"),
        "normalize",
        "record 1, byte 34",
        "an integer of 10000 digits exceeds 64 bits [table `items__l`, column `v`]",
        "data_type",
    ),
    "not gzip": (
        Answer(b"plain", headers={"Content-Encoding": "gzip"}),
        "fetch",
        "",
        "the body is not what its Content-Encoding `gzip` says",
        "curl",
    ),
    "gzip bomb": (
        Answer(b"[" + b" " * 20_000_000 + b"]", compress=True),
        "fetch",
        "",
        "larger than max_body_bytes (1000000 bytes after decompression)",
        "raise max_body_bytes",
    ),
    "gzip bomb in two members": (
        Answer(gzip.compress(b"[") + gzip.compress(b" " * 20_000_000 + b"]"), headers={"Content-Encoding": "gzip"}),
        "fetch",
        "",
        "larger than max_body_bytes (1000000 bytes after decompression)",
        "raise max_body_bytes",
    ),
    "short": (
        Answer(raw=answer_text(b'{"items": []', 1000)),
        "fetch",
        "",
        "cut short: it ended after 12 of 1000 bytes (Content-Length) (2 attempts)",
        AGAIN,
    ),
    "chunks cut": (
        Answer(raw=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{"items": []\r\n'),
        "fetch",
        "",
        "cut short: it ended after 12 bytes, before its last chunk",
        AGAIN,
    ),
    "no answer": (Answer(raw=b""), "fetch", "", "closed before an answer came", AGAIN),
    "no http": (Answer(raw=b"220 smtp\r\n"), "fetch", "", "expected an HTTP answer from", AGAIN),
    "headers without end": (
        Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500_000),
        "fetch",
        "",
        "headers of the answer of",
        "",
    ),
    "a long header": (Answer(b"{}", headers={"X": "y" * 200_000}), "fetch", "", "a header of the answer of", ""),
    "redirects": (
        Answer({}, status=302, headers={"Location": "/items?page=2&token=t0ken"}),
        "fetch",
        "",
        "redirected more than 30 times",
        "curl -L",
    ),
    "redirect to a file": (
        Answer({}, status=302, headers={"Location": "file:///etc/passwd"}),
        "fetch",
        "",
        "redirected to scheme file: only http and https are followed",
        "curl -L",
    ),
}


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_bad_page_is_told(api: Any, tmp_path: Path, monkeypatch: Any, name: str) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("HEADRACE__MAX_BODY_BYTES", "1000000")
    answer, stage, place, words, advice = BAD_PAGES[name]
    server = api(lambda request: answer if request.query["page"] == "2" else good(request))
    error = fails(tmp_path, config(server.url, {"params": {"api_key": "s3cret"}}))
    text = str(error).replace(server.url, "URL")
    assert text.startswith(
        f"{stage}: resource `items`, URL/items?api_key=***&page=2, page 2{', ' if place else ''}{place}: "
    ), text
    assert words in text
    assert advice.lower() in text.rpartition(words)[2].lower()
    assert isinstance(error, ResourceFailedTransient if advice == AGAIN else (ResourceFailed, ResourceFailedTransient))
    assert "s3cret" not in text
    assert "t0ken" not in text


@pytest.mark.parametrize("status", [400, 401, 404, 410, 500, 503])
def test_a_status_is_dlts_error_with_its_place(api: Any, tmp_path: Path, monkeypatch: Any, status: int) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    server = api(lambda request: Answer({}, status=status) if request.query["page"] == "2" else good(request))
    error = fails(tmp_path, config(server.url, {"params": {"api_key": "s3cret"}}))
    assert isinstance(error, HTTPError)
    assert str(status) in str(error)
    assert "s3cret" not in str(error)
    attempts = 3 if status >= 500 else 1
    assert len([r for r in server.requests if r.query["page"] == "2"]) == attempts
    place = f"fetch: resource `items`, {server.url}/items?api_key=***&page=2, page 2"
    assert error.__notes__ == [place + (" (3 attempts)" if attempts == 3 else "")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_that_recovers(api: Any, tmp_path: Path, status: int, native_only: Any) -> None:
    said: dict[str, int] = {}

    def handler(request: Request) -> Answer:
        said[request.query["page"]] = said.get(request.query["page"], 0) + 1
        return Answer({}, status=status) if said[request.query["page"]] < 3 else good(request)

    pipeline = make_pipeline(tmp_path, "recovers")
    pipeline.run(rest_api.rest_api_source(config(api(handler).url), name="api"), loader_file_format="parquet")
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(N_PAGES * 10))


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("ftp://127.0.0.1/items", "expected an http or https URL, found scheme ftp"),
        ("http://127.0.0.1:9/items?token=t0ken", "connection to 127.0.0.1:9 refused"),
        ("http://no.such.host.invalid/?token=t0ken", "host no.such.host.invalid"),
        ("http://[/", ""),
    ],
)
def test_a_next_link_that_leads_nowhere(api: Any, tmp_path: Path, monkeypatch: Any, link: str, words: str) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    server = api(lambda _: Answer({"items": [{"id": 1}], "next": link}))
    error = fails(tmp_path, config(server.url, {"paginator": {"type": "json_link", "next_url_path": "next"}}))
    assert words in str(error)
    assert "t0ken" not in str(error)
    assert not words or "page 1" in str(error)


def test_a_childs_page_names_the_child(api: Any, tmp_path: Path) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/items/2":
            return Answer(b'{"items": [{"v": 1}')
        return Answer({"items": [{"id": n} for n in range(4)]})

    server = api(handler)
    endpoint = {"path": "items/{id}", "params": {"id": {"type": "resolve", "resource": "items", "field": "id"}}}
    made = config(server.url, {"paginator": "single_page"})
    made["resources"].append({"name": "children", "endpoint": {**endpoint, "paginator": "single_page"}})
    assert f"decode: resource `children`, {server.url}/items/2, page 0, byte 19: " in str(fails(tmp_path, made))


def test_a_record_that_does_not_fit_names_record_and_column(api: Any, tmp_path: Path) -> None:
    def handler(request: Request) -> Answer:
        answer = good(request)
        if request.query["page"] == "3":
            answer.body["items"][4]["id"] = None
        return answer

    error = fails(tmp_path, config(api(handler).url, None, columns={"id": {"nullable": False}}))
    assert isinstance(error, CannotCoerceNullException)
    assert "id" in str(error)
    assert any("page 3, record 4" in text for text in getattr(error, "__notes__", [str(error)]))


def test_secrets_are_masked() -> None:
    url = "https://user:pw@h.example:8/a?page=1&access_token=abc&apikey=d&X-Amz-Signature=e&q=f#frag"
    assert mask_url(url) == "https://h.example:8/a?page=1&access_token=***&apikey=***&X-Amz-Signature=***&q=f"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "key",
            "apikey",
            "api_key",
            "apiKey",
            "API-Key",
            "x-functions-key",
            "AWSAccessKeyId",
            "subscription-key",
            "hapikey",
        ),
        *(
            "token",
            "access_token",
            "accessToken",
            "sessiontoken",
            "client_secret",
            "password",
            "passwd",
            "pwd",
        ),
        *(
            "code",
            "auth_code",
            "authorizationCode",
            "sig",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "auth",
            "oauth",
            "jwt",
        ),
        *("api%5Fkey", "API_TOKEN", "authkey"),
    ],
)
def test_values_of_secret_names_are_masked(name: str) -> None:
    assert mask_url(f"http://h/a?{name}=v") == f"http://h/a?{name}=***"
    assert mask_text(f"at http://h/a?x=1&{name}=v no") == f"at http://h/a?x=1&{name}=*** no"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "country_code",
            "countryCode",
            "currency-code",
            "zipcode",
            "author",
            "authority",
            "design",
            "keyword",
            "sort_key",
        ),
        *("monkeys", "primaryKey", "page", "encoded", "signed", "passenger", "compass", "status_code"),
    ],
)
def test_values_of_other_names_are_shown(name: str) -> None:
    assert mask_url(f"http://h/a?{name}=v") == f"http://h/a?{name}=v"
    assert mask_text(f"at http://h/a?x=1&{name}=v no") == f"at http://h/a?x=1&{name}=v no"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such host", "no such host"),
        (
            "Max retries exceeded with url: /events?api_key=abc&x=1 (Caused by X('reset'))",
            "Max retries exceeded with url: /events?api_key=***&x=1 (Caused by X('reset'))",
        ),
        (
            '{"files": ["https://b/x?X-Amz-Signature=00ff&n=1"], "error_code": "E1", "upload_token": "t\\"x"}',
            '{"files": ["https://b/x?X-Amz-Signature=***&n=1"], "error_code": "E1", "upload_token": "***"}',
        ),
        ("https://me:pw@h/a?q=1 and https://h/b@c", "https://h/a?q=1 and https://h/b@c"),
        (r'"https:\/\/h/?a=1\u0026sig=ab%3D"', r'"https:\/\/h/?a=1\u0026sig=***"'),
        ('{"password": "cut off he', '{"password": "***"'),
    ],
    ids=["plain", "urllib3", "json", "user", "escaped", "cut"],
)
def test_secrets_in_texts_of_others_are_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown


def test_connection_reset_in_mid_body(raw_server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")

    def reset(connection: socket.socket, path: str) -> None:
        connection.sendall(answer_text(b'{"items": [', 100_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    error = fails(tmp_path, config(raw_server(reset)))
    assert isinstance(error, ResourceFailedTransient)
    assert isinstance(error, TransientException)
    assert "page 0" in str(error)


def test_reset_that_recovers(raw_server: Any, tmp_path: Path) -> None:
    asked: list[str] = []

    def sometimes(connection: socket.socket, path: str) -> None:
        asked.append(path)
        if asked.count(path) == 1:
            connection.sendall(answer_text(b'{"items": [', 100_000))
            return
        page = int(path.rpartition("=")[2])
        connection.sendall(
            answer_text(json.dumps(good(Request("GET", "", {"page": str(page)}, {}, b"")).body).encode())
        )

    pipeline = make_pipeline(tmp_path, "recovers")
    pipeline.run(rest_api.rest_api_source(config(raw_server(sometimes)), name="api"), loader_file_format="parquet")
    assert [row["id"] for row in read_tables(pipeline)["items"]] == list(range(N_PAGES * 10))


ONCE = (
    "A POST that may have had an effect is not made again: look whether it had, and run again; where it never has one"
)


@pytest.mark.parametrize(
    ("n_attempts", "told", "words"),
    [
        ("2", {}, f'no data). {ONCE}, as a search, say so with `"retry": {{"methods": ["POST"]}}`.'),
        ("2", {"retry": {"methods": ["POST"]}}, "no data) (2 attempts). The API or the way to it may be down"),
        ("1", {}, "no data). The API or the way to it may be down"),
    ],
)
def test_a_post_that_may_have_had_an_effect(
    api: Any, tmp_path: Path, monkeypatch: Any, n_attempts: str, told: Any, words: str
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", n_attempts)
    server = api(lambda request: Answer(raw=b""))
    error = fails(tmp_path, config(server.url, {"method": "POST", "json": {}} | told))
    assert isinstance(error, ResourceFailedTransient) and words in str(error)


def test_a_server_that_is_silent(raw_server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    started = time.monotonic()
    error = fails(tmp_path, config(raw_server(lambda connection, path: time.sleep(3))))
    assert isinstance(error, ResourceFailedTransient)
    assert time.monotonic() - started < 3


def test_a_bad_certificate(raw_server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connection: socket.socket, path: str) -> None:
        connection.sendall(answer_text(b'{"total": 1, "items": [{"id": 1}]}'))

    url = raw_server(serve, context)
    error = fails(tmp_path / "bad", config(url))
    assert "certificate" in str(error)
    assert "REQUESTS_CA_BUNDLE" in str(error)
    assert isinstance(error, ResourceFailed)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    pipeline = make_pipeline(tmp_path / "good", "trusted")
    pipeline.run(rest_api.rest_api_source(config(url), name="api"), loader_file_format="parquet")
    assert len(read_tables(pipeline)["items"]) == 1


def test_a_string_of_200_mb(api: Any, tmp_path: Path, monkeypatch: Any) -> None:
    body = b'{"total": 1, "items": [{"id": 1, "text": "' + b"x" * (200 << 20) + b'"}]}'
    server = api(lambda _: Answer(body))
    pipeline = make_pipeline(tmp_path / "whole", "long")
    pipeline.extract(rest_api.rest_api_source(config(server.url), name="api"))
    assert pipeline.default_schema.tables["items"]["columns"]["text"]["data_type"] == "text"
    monkeypatch.setenv("HEADRACE__MAX_BODY_BYTES", str(100 << 20))
    error = fails(tmp_path / "limited", config(server.url))
    assert "max_body_bytes" in str(error)


def test_a_page_beyond_the_end_may_be_anything(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        page = int(request.query["page"])
        if page > N_PAGES:
            return Answer(b"<html>", status=400 if page % 2 else 200)
        answer = good(request)
        return Answer({"items": answer.body["items"] if page < N_PAGES else []})

    server = api(handler)
    paginator = {"type": "page_number", "total_path": None}
    run_both(lambda: config(server.url, {"paginator": paginator}), tmp_path)


@pytest.mark.parametrize("kind", ["link", "cursor", "itself"])
def test_paginators_that_go_round(api: Any, tmp_path: Path, kind: str) -> None:
    def handler(request: Request) -> Answer:
        page = int(request.query.get("cursor", 0))
        following = page if kind == "itself" else (page + 1) % 3
        return Answer({"items": [{"id": page}], "next": f"/items?cursor={following}", "cursor": following or "0"})

    paginator: Any = {"type": "cursor", "cursor_path": "cursor"} if kind == "cursor" else {"type": "json_link"}
    error = fails(tmp_path, config(api(handler).url, {"paginator": paginator}))
    assert "repeats a request it has made before" in str(error)


@pytest.mark.parametrize("kind", ["page_number", "offset", "header_link"])
def test_an_api_that_gives_its_first_page_for_ever(api: Any, tmp_path: Path, kind: str) -> None:
    def handler(request: Request) -> Answer:
        number = int(request.query.get("n", 0)) + 1  # the link changes, the body does not
        following = f'</items?n={number}>; rel="next"'
        return Answer({"items": [{"id": n} for n in range(10)]}, headers={"Link": following})

    paginator: Any = {"type": "header_link"} if kind == "header_link" else {"type": kind, "total_path": None}
    if kind == "offset":
        paginator["limit"] = 10
    error = fails(tmp_path, config(api(handler).url, {"paginator": paginator}))
    assert isinstance(error, ResourceFailed)
    assert "the last 92 pages are the same, byte for byte" in str(error)
    assert "Check the names of the paginator's parameters" in str(error)


def test_pages_of_one_size_are_no_loop(api: Any, tmp_path: Path) -> None:
    def handler(request: Request) -> Answer:
        page = int(request.query["page"])
        # of 130 pages the first 90 are the same, and so are the last 30
        return Answer({"items": [{"id": 0 if page < 90 else 9 if page >= 100 else page - 90}], "total": 130})

    pipeline = make_pipeline(tmp_path, "same")
    pipeline.run(rest_api.rest_api_source(config(api(handler).url), name="api"), loader_file_format="parquet")
    assert len(read_tables(pipeline)["items"]) == 130


def test_a_page_that_is_an_object_where_a_list_was(api: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(request: Request) -> Answer:
        answer = good(request)
        if request.query["page"] == "1":
            answer.body["items"] = {"id": 77, "error": {"code": [1, 2]}}
        if request.query["page"] == "2":
            answer.body["items"] = "text"
        return answer

    server = api(handler)
    run_both(lambda: config(server.url, {"data_selector": "items"}), tmp_path)


def test_a_missing_total_is_dlts_error(api: Any, tmp_path: Path) -> None:
    texts = []
    for side, module in (("dlt", dlt_rest_api), ("headrace", rest_api)):
        server = api(lambda _: Answer({"items": [{"id": 1}]}))
        pipeline = make_pipeline(tmp_path / side, "total")
        with pytest.raises(PipelineStepFailed) as caught:
            pipeline.extract(module.rest_api_source(config(server.url), name="api"))
        texts.append(str(caught.value.__cause__))
    assert "Total `pages` not found in the response" in texts[0]
    assert "Total `pages` not found in the response" in texts[1]


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import headrace.sources.rest_api as rest_api
from oracle import make_pipeline
from pathlib import Path
import threading
config = {"client": {"base_url": sys.argv[1]}, "resources": [{"name": "items", "endpoint": {"path": "items"}}]}
pipeline = make_pipeline(Path(sys.argv[3]), "full")
source = rest_api.rest_api_source(config, name="api")
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    pipeline.extract(source)
except BaseException as error:
    print(type(error).__name__, type(error.__cause__).__name__, error)
print([t.name for t in threading.enumerate()])
"""


@pytest.mark.parametrize("nested", [True, False])
def test_a_full_disk(api: Any, tmp_path: Path, nested: bool) -> None:
    text = [{"v": str(n) * 9} for n in range(30_000)] if nested else []
    n_rows = 10 if nested else 9_000
    server = api(
        lambda _: Answer({"items": [{"id": n, "l": text if n == 0 else [], "t": str(n) * 9} for n in range(n_rows)]})
    )
    arguments = [sys.executable, "-c", FULL_DISK, server.url, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert "File too large" in done.stdout, done.stdout + done.stderr
    assert not nested or "emit: table `items__l` could not be written" in done.stdout
    assert done.stdout.splitlines()[-1] == "['MainThread']"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", folder], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounts are not allowed")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("nested", [True, False])
def test_a_disk_that_fills_up(api: Any, small_disk: Path, nested: bool) -> None:
    page = [{"id": n, "l": [os.urandom(40).hex() for _ in range(20 * nested)]} for n in range(1000)]
    page += [{"t": os.urandom(40).hex()} for _ in range(0 if nested else 20_000)]
    error = fails(small_disk, config(api(lambda _: Answer({"items": page})).url, {"paginator": "single_page"}))
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    if nested:
        assert "emit: table `items__l` could not be written: " in str(error)
        assert str(error).endswith("Free space where the pipeline's folder is and run again.")


def test_a_table_name_too_long_for_a_file(api: Any, tmp_path: Path) -> None:
    server = api(lambda _: Answer(b'{"items": [{"a": ' + b"[" * 60 + b"1" + b"]" * 60 + b"}]}"))
    error = fails(tmp_path, config(server.url, {"paginator": "single_page"}))
    assert isinstance(error, OSError)
    assert "set max_table_nesting" in str(error).lower()


CTRL_C = """
import sys, threading, time
sys.path.insert(0, sys.argv[2])
import headrace.sources.rest_api as rest_api
from oracle import make_pipeline
from pathlib import Path
config = {"client": {"base_url": sys.argv[1]}, "resources": [
    {"name": "items", "endpoint": {"path": "hang"}}, {"name": "more", "endpoint": {"path": "hang"}}]}
pipeline = make_pipeline(Path(sys.argv[3]), "interrupted")
try:
    pipeline.run(rest_api.rest_api_source(config, name="api"))
except BaseException as error:
    print(time.time(), type(error).__name__, [t.name for t in threading.enumerate()], flush=True)
"""


def test_ctrl_c_ends_a_whole_run(api: Any, tmp_path: Path) -> None:
    asked, over = threading.Event(), threading.Event()

    def handler(_: Request) -> Answer:
        asked.set()
        over.wait(30)
        return Answer({})

    server = api(handler)
    arguments = [sys.executable, "-c", CTRL_C, server.url, str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.wait(30)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    over.set()
    ended, _, threads = out.split(maxsplit=2)
    assert float(ended) - sent < 1, err  # 200 ms of ours, and what dlt does to end a run
    assert threads.strip() == "['MainThread']"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes are of Python 3.11")
@pytest.mark.parametrize(
    ("paginator", "expected"),
    [
        (
            {"type": "json_link", "next_url_path": "next"},
            "expected a URL at `next`, found 5, so `JSONLinkPaginator` cannot go on",
        ),
        ({"type": "offset", "limit": 2, "total_path": "many"}, "'many' is not an `int` in the response"),
        ({"type": "offset", "limit": 2, "total_path": "none"}, "Expected a response with a `none` key"),
    ],
)
def test_what_a_paginator_cannot_read_is_told_with_its_page(
    api: Any, tmp_path: Path, paginator: Any, expected: str
) -> None:
    body = {"items": [{"id": 1}, {"id": 2}], "next": 5, "many": "lots"}
    error = fails(tmp_path, config(api(lambda request: Answer(body)).url, {"paginator": paginator}))
    text = "\n".join([str(error), *getattr(error, "__notes__", [])])
    assert expected in text
    assert re.search(r"fetch: resource `items`, http://127.0.0.1:\d+/items\S*, page 0", text)
