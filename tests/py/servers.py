"""A loopback API for tests: routes are functions of the request, faults are raw bytes."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    """What the server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server shall say; `raw` replaces everything behind the status line, `parts` the body: they are sent as they come."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    compress: bool = False
    parts: Iterable[bytes] | None = None


class Api:
    """A server with one handler function; keeps the requests it got."""

    def __init__(self, handler: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: Any) -> None:
                pass

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
                size = int(self.headers.get("Content-Length") or 0)
                request = Request(self.command, parts.path, query, dict(self.headers), self.rfile.read(size))
                with api._lock:
                    api.requests.append(request)
                    api.in_flight += 1
                    api.most_in_flight = max(api.most_in_flight, api.in_flight)
                try:
                    answer = handler(request)
                finally:
                    with api._lock:
                        api.in_flight -= 1
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.wfile.flush()
                    self.close_connection = True
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                headers = {"Content-Type": "application/json", **answer.headers}
                if answer.compress:
                    body = gzip.compress(body)
                    headers["Content-Encoding"] = "gzip"
                self.send_response(answer.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if answer.parts is not None:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for part in chain(answer.parts, [b""]):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                    return
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _serve

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
