"""Answers that do not end: server-sent events and JSON lines, taken a stretch a run."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace._rest_api import live as _live
from headrace.exceptions import ConfigurationError
from oracle import make_pipeline, read_tables


class Streams:
    """A server whose answers are made by `handler(headers, send)`; `send(None)` waits for the client to go away."""

    def __init__(self, handler: Callable[[dict[str, str], Callable[[bytes], None]], Any]) -> None:
        self.requests: list[dict[str, str]] = []
        self.gone: queue.Queue[int] = queue.Queue()
        streams = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                streams.requests.append(headers)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                is_whole = False
                try:
                    is_whole = handler(headers, self._send) is not False
                    if is_whole:
                        self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    streams.gone.put(1)
                self.close_connection = True

            def _send(self, data: bytes | None) -> None:
                if data is None:
                    while self.connection.recv(1):
                        pass
                    raise OSError("the client is gone")
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def streams() -> Iterator[Callable[[Any], Streams]]:
    """Starts servers that end with the test."""
    started: list[Streams] = []

    def start(handler: Any) -> Streams:
        started.append(Streams(handler))
        return started[-1]

    yield start
    for server in started:
        server.close()
    assert not _live._kept


def event(number: int) -> bytes:
    """An event with its id."""
    return f"id: {number}\nevent: tick\ndata: {json.dumps({'n': number, 'tags': [number]})}\n\n".encode()


def endless(headers: dict[str, str], send: Any) -> None:
    """Ten events behind the last one that the client has, a few at a time, then silence."""
    first = int(headers.get("last-event-id", -1)) + 1
    for number in range(first, first + 10):
        send(event(number)[:10])
        send(event(number)[10:] + b": still here\n")
    send(None)


def config(url: str, stream: Any, **endpoint: Any) -> Any:
    """One resource."""
    made = {"path": "events", "stream": stream, **endpoint}
    return {"client": {"base_url": url}, "resources": [{"name": "events", "endpoint": made}]}


def source(url: str, stream: Any, **endpoint: Any) -> Any:
    """One source."""
    return rest_api.rest_api_source(config(url, stream, **endpoint), name="api")


def run(pipeline: Any, made: Any) -> Any:
    """Runs once; the resource's status."""
    info = pipeline.run(made, loader_file_format="parquet")
    return headrace.status()[info.loads_ids[0]]["resources"]["events"]


def numbers(pipeline: Any) -> list[int]:
    """What was loaded."""
    return [row["data__n"] for row in read_tables(pipeline)["events"]]


def test_a_run_ends_by_rows_and_the_next_goes_on_behind_them(streams: Any, tmp_path: Path, native_only: Any) -> None:
    server = streams(endless)
    pipeline = make_pipeline(tmp_path, "events")
    status = run(pipeline, source(server.url, {"format": "sse", "commit_every": "4 rows"}))
    assert status["native"] and status["counts"]["rows"] == 4
    assert status["in_python"] == ["the stream's bytes come through requests"]
    run(pipeline, source(server.url, {"format": "sse", "commit_every": {"rows": 7}}))
    assert numbers(pipeline) == list(range(11))
    assert [headers.get("last-event-id") for headers in server.requests] == [None, "3"]
    assert {row["event"] for row in read_tables(pipeline)["events"]} == {"tick"}
    assert len(read_tables(pipeline)["events__data__tags"]) == 11
    server.gone.get(timeout=20), server.gone.get(timeout=20)


def test_follow_keeps_its_connection(streams: Any, tmp_path: Path, native_only: Any) -> None:
    server = streams(endless)
    pipeline = make_pipeline(tmp_path, "events")
    stream = {"format": "sse", "commit_every": "3 rows", "stop_after": "8 rows"}
    infos = list(headrace.follow(pipeline, lambda: source(server.url, stream), loader_file_format="parquet"))
    assert len(infos) == 3 and len({info.loads_ids[0] for info in infos}) == 3
    assert numbers(pipeline) == list(range(8)) and len(server.requests) == 1
    server.gone.get(timeout=20)


def test_a_stretch_ends_by_bytes_or_silence(streams: Any, tmp_path: Path) -> None:
    server = streams(endless)
    pipeline = make_pipeline(tmp_path, "events")
    assert 1 <= run(pipeline, source(server.url, {"format": "sse", "stop_after": {"idle": 2}}))["counts"]["rows"] <= 10
    assert run(pipeline, source(server.url, {"format": "sse", "commit_every": {"bytes": 1}}))["counts"]["rows"] >= 1
    assert run(pipeline, source(server.url, {"format": "sse", "commit_every": 0.2}))["native"]


def test_a_connection_that_breaks_is_made_again_behind_the_last_event(streams: Any, tmp_path: Path) -> None:
    """Also in the middle of an event; each brings two."""

    def handler(headers: dict[str, str], send: Any) -> bool:
        first = int(headers.get("last-event-id", -1)) + 1
        send(b"retry: 10\n\n" + event(first) + event(first + 1) + event(first + 2)[:-3])
        return first % 4 == 0  # ends well or not

    server = streams(handler)
    pipeline = make_pipeline(tmp_path, "events")
    run(pipeline, source(server.url, {"format": "sse", "stop_after": "7 rows"}))
    assert numbers(pipeline) == list(range(7))
    assert [h.get("last-event-id") for h in server.requests[:4]] == [None, "1", "3", "5"]


def test_a_stream_that_brings_nothing_fails(streams: Any, tmp_path: Path) -> None:
    server = streams(lambda headers, send: send(b": nothing\n\n"))
    stream = {"format": "sse", "stop_after": "1 rows", "reconnect": {"attempts": 2, "delay": 0.01}}
    with pytest.raises(PipelineStepFailed, match="2 connections in a row brought nothing"):
        run(make_pipeline(tmp_path, "events"), source(server.url, stream))
    assert len(server.requests) == 2


def test_keys_of_a_url_are_not_shown(tmp_path: Path, logged: list[str], monkeypatch: Any, caplog: Any) -> None:
    """requests' own texts have the URL."""
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    caplog.set_level("INFO", logger="dlt")
    stream = {"format": "sse", "stop_after": "1 rows", "reconnect": {"attempts": 2, "delay": 0.01}}
    made = source("http://127.0.0.1:9", stream, params={"api_key": "5ecret", "q": 1})
    with pytest.raises(PipelineStepFailed) as caught:
        run(make_pipeline(tmp_path, "events"), made)
    told = "".join(traceback.format_exception(caught.value))
    assert "/events?api_key=***&q=1" in told and any("the stream ended (" in line for line in logged)
    assert "5ecret" not in told + " ".join(logged)


def test_lines_until_their_end(streams: Any, tmp_path: Path, native_only: Any) -> None:
    def handler(headers: dict[str, str], send: Any) -> None:
        for number in range(5):
            send(json.dumps({"data": {"n": number}}).encode() + (b"\n" if number < 4 else b""))

    server = streams(handler)
    pipeline = make_pipeline(tmp_path, "events")
    stream = {"format": "ndjson", "commit_every": "1m"}
    infos = list(headrace.follow(pipeline, source(server.url, stream), loader_file_format="parquet"))
    assert len(infos) == 1 and numbers(pipeline) == list(range(5)) and len(server.requests) == 1


def test_lines_that_break_off_are_told(streams: Any, tmp_path: Path) -> None:
    def handler(headers: dict[str, str], send: Any) -> bool:
        send(b'{"data": {"n": 1}}\n{"data": {')
        return False

    server = streams(handler)
    pipeline = make_pipeline(tmp_path, "events")
    status = run(pipeline, source(server.url, {"format": "ndjson", "commit_every": "1m"}))
    assert numbers(pipeline) == [1]
    assert "the stream broke after 1 rows of this run" in status["warnings"][0]


def test_a_bad_line_is_named(streams: Any, tmp_path: Path) -> None:
    server = streams(lambda headers, send: send(b'{"a": 1}\n{"a": x}\n'))
    with pytest.raises(PipelineStepFailed, match=r"page 0, record 1, byte 15: expected a value, found 'x'"):
        run(make_pipeline(tmp_path, "events"), source(server.url, {"format": "ndjson", "stop_after": "9 rows"}))


def test_a_refusal_fails(api: Any, tmp_path: Path) -> None:
    from servers import Answer

    server = api(lambda r: Answer({}, status=403))
    with pytest.raises(PipelineStepFailed, match="403"):
        run(make_pipeline(tmp_path, "events"), source(server.url, {"format": "sse", "stop_after": "1 rows"}))
    assert len(server.requests) == 1


def test_a_stretch_does_not_replace_those_before(streams: Any, tmp_path: Path) -> None:
    made = config(streams(endless).url, {"format": "sse", "commit_every": "1s"})
    made["resources"][0]["write_disposition"] = "replace"
    with pytest.raises(PipelineStepFailed, match="is a stream with write_disposition `replace`"):
        run(make_pipeline(tmp_path, "events"), rest_api.rest_api_source(made, name="api"))


PROGRAM = """
    import sys
    sys.path.insert(0, {folder!r})
    import headrace
    from test_streams import make_pipeline, source
    from pathlib import Path

    stream = {{"format": "sse", "commit_every": "3 rows"}}
    for info in headrace.follow(make_pipeline(Path({path!r}), "events"), source({url!r}, stream), loader_file_format="parquet"):
        print("loaded", flush=True)
"""


def test_ctrl_c_keeps_what_was_committed(streams: Any, tmp_path: Path) -> None:
    server = streams(endless)
    program = textwrap.dedent(PROGRAM).format(folder=str(Path(__file__).parent), path=str(tmp_path), url=server.url)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout is not None
    for _ in range(3):  # the fourth stretch waits for rows that do not come
        assert child.stdout.readline() == "loaded\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(30) != 0
    assert numbers(make_pipeline(tmp_path, "events")) == list(range(9)) and len(server.requests) == 1


@pytest.mark.parametrize(
    ("stream", "endpoint", "expected"),
    [
        ("sse", {}, "stream` needs `commit_every` or `stop_after`"),
        ({"format": "csv", "stop_after": 1}, {}, "stream.format` must be one of sse, ndjson, jsonl"),
        (
            {"format": "sse", "stop_after": "soon"},
            {},
            "stream.stop_after` must be as '10s', '5m', '1h', '1000 rows' or '8mb'",
        ),
        (
            {"format": "sse", "stop_after": {"row": 1}},
            {},
            "stream.stop_after.row` is not known. Known are: seconds, rows",
        ),
        ({"format": "sse", "stop_after": 1}, {"paginator": "header_link"}, "has no pages: take `paginator` out"),
        ({"format": "sse", "stop_after": 1, "reconnect": {"n": 1}}, {}, "reconnect.n` is not known"),
    ],
)
def test_wrong_configurations(stream: Any, endpoint: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        source("http://x", stream, **endpoint)
    assert expected in str(caught.value)
