"""A loopback server of HTTP/2 over TLS, by the `h2` package: what is asked and how many streams a connection carries are
counted, faults are asked for by path.

    with Http2(cert, key) as server: server.url, server.connections, server.most_streams, server.requests

Routes (query arguments with their defaults):

    /items?page=0             {"total": TOTAL, "items": [{"id": 10 * page}, ...]}; `pad=`: with text of that size in each
    /together?n=4             the same, once `n` of its requests are in flight side by side; the first page and the last
                              at once
    /reset-stream?times=1     RST_STREAM in mid-body, then as /items
    /refused?times=1          RST_STREAM with REFUSED_STREAM, then as /items
    /goaway?times=1           the answer, then GOAWAY: the connection takes no more
    /drop?times=1             the connection is closed in mid-body, then as /items
    /cut?at=9                 the first `at` bytes of the answer's frames, then the connection is closed; `whole` is how many
                              bytes they are. `times=`: that often, then as /items
    /short                    a body shorter than its content-length
    /garbage                  bytes that are no HTTP/2
    /close                    the connection is closed instead of an answer

`behind`: a server of HTTP/1.1 ("127.0.0.1:8080") that answers everything else: its statuses, headers and bodies as they come;
where it breaks off, the stream is reset.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

TOTAL = 12


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Http2) -> None:
        self.server = server
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.left: dict[int, bytes] = {}  # what the windows hold back, by stream
        self.open: set[int] = set()
        self.bodies: dict[int, bytes] = {}  # of requests
        self.ends: dict[int, asyncio.Event] = {}  # whether a request has come whole
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.protocols.add(transport.get_extra_info("ssl_object").selected_alpn_protocol())
        self.server.connections += 1
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.server.max_streams})
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.open.add(event.stream_id)
                self.server.most_streams = max(self.server.most_streams, len(self.open))
                headers = dict(event.headers)
                self.ends[event.stream_id] = asyncio.Event()
                self.server.asked(self, event.stream_id, headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.ends:
                self.ends[event.stream_id].set()
            elif isinstance(event, h2.events.WindowUpdated):
                for stream in list(self.left):
                    self.pump(stream)
            elif isinstance(event, h2.events.StreamReset):
                self.left.pop(event.stream_id, None)
                self.open.discard(event.stream_id)
        self.flush()

    def answer(self, stream: int, body: bytes, length: int | None = None, end: bool = True) -> None:
        size = len(body) if length is None else length
        headers = [(":status", "200"), ("content-type", "application/json"), ("content-length", str(size))]
        self.h2.send_headers(stream, headers)
        self.left[stream] = body
        self.pump(stream, end)
        self.flush()

    def pump(self, stream: int, end: bool = True) -> None:
        """Sends what the windows let through."""
        while self.left[stream]:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            self.h2.send_data(stream, self.left[stream][:room])
            self.left[stream] = self.left[stream][room:]
        del self.left[stream]
        if end:
            self.h2.end_stream(stream)
            self.open.discard(stream)


class Http2:
    """The server; a context manager that runs it on a thread of its own."""

    def __init__(
        self, cert: str, key: str, protocols: tuple[str, ...] = ("h2",), max_streams: int = 100, behind: str = ""
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(list(protocols))
        self.max_streams = max_streams
        self.behind = behind
        self.connections = self.most_streams = 0
        self.protocols: set[str | None] = set()  # that were agreed on
        self.requests: list[tuple[str, dict[str, str]]] = []  # path and query, headers
        self.url = ""
        self.whole = 0  # bytes of the last answer to /cut
        self._seen: Counter[str] = Counter()
        self._together: list[tuple[Connection, int, bytes]] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Http2:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *args: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        starting = self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0, ssl=self.context)
        server = self._loop.run_until_complete(starting)
        self.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for relay in self._relays:
            relay.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._relays, return_exceptions=True))
        self._loop.close()

    def asked(self, connection: Connection, stream: int, headers: dict[str, str]) -> None:
        """Answers a request."""
        target = headers[":path"]
        self.requests.append((target, headers))
        self._seen[target] += 1
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        page = int(query.get("page", 0))
        pad = {"pad": "x" * int(query["pad"])} if "pad" in query else {}
        body = json.dumps({"total": TOTAL, "items": [{"id": page * 10 + i, **pad} for i in range(10)]}).encode()
        if parts.path == "/together" and 0 < page < TOTAL - 1:
            self._together.append((connection, stream, body))
            if len(self._together) == int(query.get("n", 4)):
                for waiting in self._together:
                    waiting[0].answer(*waiting[1:])
                self._together.clear()
        elif parts.path == "/cut" and self._seen[target] <= int(query.get("times", 1 << 30)):
            connection.flush()
            connection.h2.send_headers(
                stream, [(":status", "200"), ("x-filler", "f" * 20), ("content-length", str(len(body)))]
            )
            connection.h2.send_data(stream, body[:50])
            connection.h2.send_data(stream, body[50:], end_stream=True)
            answer = connection.h2.data_to_send()
            self.whole = len(answer)
            connection.transport.write(answer[: int(query.get("at", 9))])
            connection.transport.abort()
        elif parts.path == "/garbage":
            connection.transport.write(b"220 mail.example ESMTP\r\n" * 3)
            connection.transport.abort()
        elif parts.path == "/close":
            connection.transport.abort()
        elif self.behind:
            relay = self._loop.create_task(self._relay(connection, stream, headers))
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)
        elif parts.path in ("/items", "/together") or self._seen[target] > int(query.get("times", 1)):
            connection.answer(stream, body)
        elif parts.path == "/refused":
            connection.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            connection.open.discard(stream)
        elif parts.path == "/reset-stream":
            connection.answer(stream, body[:20], len(body), end=False)
            connection.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            connection.open.discard(stream)
        elif parts.path == "/goaway":
            connection.answer(stream, body)
            connection.h2.close_connection()
        elif parts.path == "/drop":
            connection.answer(stream, body[:20], len(body), end=False)
            connection.flush()
            connection.transport.abort()  # close() would end TLS only and wait for the client to end it too
        elif parts.path == "/short":
            connection.answer(stream, body[:20], len(body), end=False)
            # h2 checks nothing of what a server sends: END_STREAM too early
            connection.h2.end_stream(stream)
            connection.open.discard(stream)

    async def _relay(self, connection: Connection, stream: int, headers: dict[str, str]) -> None:
        """Asks the server behind, and gives its answer on as it comes."""
        await connection.ends[stream].wait()
        body = connection.bodies.get(stream, b"")
        host, _, port = self.behind.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        own = [
            f"{name.title()}: {value}" for name, value in headers.items() if name[0] != ":" and name != "content-length"
        ]
        lines = [
            f"{headers[':method']} {headers[':path']} HTTP/1.1",
            f"Host: {headers[':authority']}",
            *own,
            f"Content-Length: {len(body)}",
        ]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = [
                (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)
            ]
            kept = [
                (name, value) for name, value in fields if name not in ("connection", "keep-alive", "transfer-encoding")
            ]
            connection.h2.send_headers(stream, [(":status", head[0].split()[1]), *kept])
            connection.flush()
            left = next((int(value) for name, value in kept if name == "content-length"), None)
            while left != 0 and (data := await reader.read(1 << 16)):
                left = None if left is None else left - len(data)
                connection.left[stream] = connection.left.get(stream, b"") + data
                connection.pump(stream, end=False)
                connection.flush()
                while connection.left.get(stream):
                    await asyncio.sleep(0.001)  # until the windows let it through
            if left:
                raise ConnectionError("broken off")
            connection.h2.end_stream(stream)
        except (OSError, asyncio.IncompleteReadError):
            connection.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        finally:
            connection.open.discard(stream)
            writer.close()
        connection.flush()
