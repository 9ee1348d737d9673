"""A loopback HTTP server that misbehaves on demand. Standard library only.

    python tests/servers/faults.py            serves until standard input ends
    python tests/servers/faults.py COMMAND..  serves while COMMAND runs, ends with its status

The first line it prints (without COMMAND) is JSON: `port` of the plain listener, `tls_port`, and `cert`, the file of the
self-signed certificate for `localhost` that the TLS listener shows. COMMAND gets them as HR_FAULTS_PORT,
HR_FAULTS_TLS_PORT and HR_FAULTS_CERT. From Python: `with Faults() as faults: faults.url, faults.tls_url, faults.cert`.

Routes (query arguments with their defaults):

    /json?n=3                        {"items": [{"id": 0}, ...]}
    /status/<code>?times=            that status; after `times` of the same request line, 200
    /retry-after?seconds=1&times=1   429 with Retry-After, then 200; `date=1`: as an HTTP date
    /busy?limit=1&ms=50              429 when more than `limit` requests of /busy are in flight, else 200 after `ms`;
                                     `refused=2`: and not before so many of the same `case` were refused
    /reset?sent=1024                 a reset after `sent` bytes of a body of 4096
    /close                           the connection closed instead of an answer
    /garbage                         bytes that are no HTTP
    /short?sent=1024&length=4096     fewer bytes than Content-Length says
    /cut?at=9&form=length&end=close  /json (`length`, `chunked`, `gzip`, or until the connection ends: `bare`), its first `at`
                                     bytes, head included; then closed or `reset`. `times=`: that often, then whole
    /short-chunked                   a chunked body without its last chunk
    /slow?ms=100                     /json after a while
    /hang, /hang-body                never an answer; a first byte of the body, then nothing
    /drip?n=5&ms=20                  a body of `n` bytes, one every `ms`
    /redirect/<n>                    n redirects, then /json
    /redirect-loop                   to itself
    /redirect-to?url=&code=302       Location: url; `cookie=`: with Set-Cookie; `bytes=`: with a body of that size
    /gzip?n=3, /deflate?n=3          /json, compressed; `members=2`: as gzip in two members
    /encoded?coding=utf-8            /json, which says that it has that Content-Encoding
    /bad-gzip                        says gzip and is not
    /bomb?bytes=1073741824           a small gzip body of that many zeros
    /big?bytes=1000000               that many bytes "x"
    /many-headers?n=300              an answer with that many headers X-0, X-1, ...
    /headers                         {"method", "target", "headers": [[name, value], ...]} of the request
    /raw-header?value=               an answer with X-Raw: value, in UTF-8
    /echo                            the request's body
    /stats                           {"max_in_flight", "connections", "paths": {path: requests}}; `reset=1` starts anew

As a proxy it answers requests for absolute URLs like its own, and CONNECT by a tunnel (to port 1: by 403).
"""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

LIMIT = 1 << 24


class Dropped(Exception):
    """The connection is over: nothing more is said on it."""


@dataclass
class Exchange:
    """One request and the means to answer it."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: list[tuple[str, str]]
    body: bytes
    writer: asyncio.StreamWriter

    def number(self, name: str, default: int) -> int:
        return int(self.query.get(name, default))

    def head(self, status: int = 200, *lines: str, reason: str = "Said So") -> None:
        """Status line and header lines, without Content-Length."""
        self.writer.write("\r\n".join([f"HTTP/1.1 {status} {reason}", *lines, "", ""]).encode())

    def answer(self, body: bytes, status: int = 200, *lines: str) -> None:
        """A whole answer."""
        self.head(status, "Content-Type: application/json", f"Content-Length: {len(body)}", *lines)
        if self.method != "HEAD":
            self.writer.write(body)

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def cut_answer(form: str, body: bytes) -> bytes:
    """What /cut sends when it is not cut."""
    if form == "gzip":
        body = gzip.compress(body, mtime=0)
    lines = {
        "length": f"Content-Length: {len(body)}\r\n",
        "gzip": f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n",
        "chunked": "Transfer-Encoding: chunked\r\n",
        "bare": "",
    }
    if form == "chunked":
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    # It says that it closes: the next request would begin on the connection that is being closed, and count as tried.
    return f"HTTP/1.1 200 OK\r\nConnection: close\r\n{lines[form]}\r\n".encode() + body


def items(exchange: Exchange) -> bytes:
    return json.dumps({"items": [{"id": i} for i in range(exchange.number("n", 3))]}).encode()


class Faults:
    """The server; a context manager that runs it on a thread of its own."""

    def __init__(self) -> None:
        self.port = self.tls_port = 0
        self._folder = tempfile.TemporaryDirectory(prefix="faults-")
        self.cert, self.key = (str(Path(self._folder.name) / name) for name in ("cert.pem", "key.pem"))
        self.url = self.tls_url = ""
        self.seen: Counter[str] = Counter()
        self._forget()
        self.in_flight = self.busy = 0
        self.refused: Counter[str] = Counter()
        self.refusal = asyncio.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def _forget(self) -> None:
        self.paths: Counter[str] = Counter()
        self.max_in_flight = self.connections = 0
        self.asked: list[str] = []  # "GET /json", "GET http://..." of a proxy's, "CONNECT host:port"

    # life

    def __enter__(self) -> Faults:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *args: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._folder.cleanup()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        await self._start()
        self._ready.set()
        await self._stop.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self) -> None:
        command = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        )
        subprocess.run([*command.split(), "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        plain = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LIMIT)
        tls = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, limit=LIMIT)
        self._servers = (plain, tls)
        self.port = plain.sockets[0].getsockname()[1]
        self.tls_port = tls.sockets[0].getsockname()[1]
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://localhost:{self.tls_port}"

    # connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (exchange := await self._read(reader, writer)) is not None:
                self.asked.append(f"{exchange.method} {exchange.target}")
                if exchange.method == "CONNECT":
                    await self._tunnel(exchange, reader)
                    break
                await self._answer(exchange)
                await writer.drain()
        except (Dropped, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
        byte = await reader.readexactly(1)
        if byte == b"\x16":  # a TLS handshake: it may hold no line break to wait for
            return None
        first = (byte + await reader.readline()).decode("latin-1").split()
        if len(first) != 3:
            return None
        headers = []
        while (line := (await reader.readline()).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        sizes = [int(value) for name, value in headers if name.lower() == "content-length"]
        body = await reader.readexactly(sizes[0]) if sizes else b""
        parts = urlsplit(first[1] if first[0] != "CONNECT" else "/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Exchange(first[0], first[1], parts.path, query, headers, body, writer)

    async def _answer(self, exchange: Exchange) -> None:
        route, _, argument = exchange.path[1:].partition("/")
        handler: Callable[[Exchange, str], Awaitable[None]] | None
        handler = getattr(self, "on_" + route.replace("-", "_"), None)
        if route != "stats":
            self.paths[exchange.path] += 1
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            if handler is None:
                exchange.answer(b'{"error": "no such route"}', 404)
            else:
                await handler(exchange, argument)
        finally:
            if route != "stats":
                self.in_flight -= 1

    async def _tunnel(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        host, _, port = exchange.target.rpartition(":")
        if port == "1":
            exchange.answer(b"no", 403)
            return
        there, back = await asyncio.open_connection(host, int(port))
        exchange.head(200)

        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                to.write(data)
                await to.drain()
            to.close()

        await asyncio.gather(copy(reader, back), copy(there, exchange.writer))

    def _nth(self, exchange: Exchange) -> int:
        """How often this very request came, from 1."""
        self.seen[exchange.target] += 1
        return self.seen[exchange.target]

    async def _forever(self) -> None:
        await asyncio.sleep(3600)

    # routes

    async def on_json(self, exchange: Exchange, _: str) -> None:
        exchange.answer(items(exchange))

    async def on_status(self, exchange: Exchange, code: str) -> None:
        times = exchange.query.get("times")
        if times is not None and self._nth(exchange) > int(times):
            exchange.answer(items(exchange))
        else:
            exchange.answer(b'{"error": "as asked"}', int(code))

    async def on_retry_after(self, exchange: Exchange, _: str) -> None:
        seconds = exchange.number("seconds", 1)
        if self._nth(exchange) > exchange.number("times", 1):
            exchange.answer(items(exchange))
            return
        value = email.utils.formatdate(time.time() + seconds, usegmt=True) if "date" in exchange.query else str(seconds)
        exchange.answer(b"{}", 429, f"Retry-After: {value}")

    async def on_busy(self, exchange: Exchange, _: str) -> None:
        case = exchange.query.get("case", "")
        self.busy += 1
        try:
            if self.busy > exchange.number("limit", 1):
                exchange.answer(b"{}", 429)
                async with self.refusal:
                    self.refused[case] += 1
                    self.refusal.notify_all()
            else:
                async with self.refusal:
                    await self.refusal.wait_for(lambda: self.refused[case] >= exchange.number("refused", 0))
                await asyncio.sleep(exchange.number("ms", 50) / 1000)
                exchange.answer(items(exchange))
        finally:
            self.busy -= 1

    async def on_reset(self, exchange: Exchange, _: str) -> None:
        exchange.head(200, "Content-Length: 4096")
        exchange.writer.write(b"x" * exchange.number("sent", 1024))
        await exchange.writer.drain()
        await asyncio.sleep(0.05)  # a reset overtakes what the peer has not read yet
        exchange.reset()
        raise Dropped

    async def on_close(self, exchange: Exchange, _: str) -> None:
        raise Dropped

    async def on_garbage(self, exchange: Exchange, _: str) -> None:
        exchange.writer.write(b"220 mail.example ESMTP\r\n")
        await exchange.writer.drain()
        raise Dropped

    async def on_short(self, exchange: Exchange, _: str) -> None:
        exchange.head(200, f"Content-Length: {exchange.number('length', 4096)}")
        exchange.writer.write(b"x" * exchange.number("sent", 1024))
        raise Dropped

    async def on_cut(self, exchange: Exchange, _: str) -> None:
        self.seen[exchange.target] += 1
        answer = cut_answer(exchange.query.get("form", "length"), items(exchange))
        is_whole = self.seen[exchange.target] > exchange.number("times", 1 << 30)
        exchange.writer.write(answer if is_whole else answer[: exchange.number("at", 9)])
        await exchange.writer.drain()
        if exchange.query.get("end") == "reset" and not is_whole:
            exchange.reset()
        raise Dropped

    async def on_short_chunked(self, exchange: Exchange, _: str) -> None:
        exchange.head(200, "Transfer-Encoding: chunked")
        exchange.writer.write(b"4\r\nbody\r\n")
        raise Dropped

    async def on_slow(self, exchange: Exchange, _: str) -> None:
        await asyncio.sleep(exchange.number("ms", 100) / 1000)
        exchange.answer(items(exchange))

    async def on_hang(self, exchange: Exchange, _: str) -> None:
        await self._forever()

    async def on_hang_body(self, exchange: Exchange, _: str) -> None:
        exchange.head(200, "Content-Length: 100")
        exchange.writer.write(b"x")
        await self._forever()

    async def on_drip(self, exchange: Exchange, _: str) -> None:
        n = exchange.number("n", 5)
        exchange.head(200, f"Content-Length: {n}")
        for _i in range(n):
            exchange.writer.write(b"x")
            await exchange.writer.drain()
            await asyncio.sleep(exchange.number("ms", 20) / 1000)

    async def on_redirect(self, exchange: Exchange, left: str) -> None:
        to = "/json" if int(left) <= 1 else f"/redirect/{int(left) - 1}"
        exchange.answer(b"moved", 302, f"Location: {to}")

    async def on_redirect_loop(self, exchange: Exchange, _: str) -> None:
        exchange.answer(b"moved", 302, "Location: /redirect-loop")

    async def on_redirect_to(self, exchange: Exchange, _: str) -> None:
        lines = [f"Location: {exchange.query['url']}"]
        if "cookie" in exchange.query:
            lines.append(f"Set-Cookie: {exchange.query['cookie']}")
        exchange.answer(b"m" * exchange.number("bytes", 5), exchange.number("code", 302), *lines)

    async def on_gzip(self, exchange: Exchange, _: str) -> None:
        body = items(exchange)
        half = len(body) // exchange.number("members", 1)
        packed = gzip.compress(body[:half]) + (gzip.compress(body[half:]) if body[half:] else b"")
        exchange.answer(packed, 200, "Content-Encoding: gzip")

    async def on_encoded(self, exchange: Exchange, _: str) -> None:
        exchange.answer(items(exchange), 200, f"Content-Encoding: {exchange.query['coding']}")

    async def on_deflate(self, exchange: Exchange, _: str) -> None:
        exchange.answer(zlib.compress(items(exchange)), 200, "Content-Encoding: deflate")

    async def on_bad_gzip(self, exchange: Exchange, _: str) -> None:
        exchange.answer(b"this is no gzip stream", 200, "Content-Encoding: gzip")

    async def on_bomb(self, exchange: Exchange, _: str) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        mebibyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        n = exchange.number("bytes", 1 << 30) >> 20
        crc = 0
        for _i in range(n if n <= 16 else 0):  # of a large bomb nobody reads the end
            crc = zlib.crc32(bytes(1 << 20), crc)
        body = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + mebibyte * n + packer.flush() + struct.pack("<II", crc, n << 20)
        exchange.answer(body, 200, "Content-Encoding: gzip")

    async def on_big(self, exchange: Exchange, _: str) -> None:
        exchange.answer(b"x" * exchange.number("bytes", 1_000_000))

    async def on_many_headers(self, exchange: Exchange, _: str) -> None:
        exchange.answer(b"{}", 200, *(f"X-{i}: {i}" for i in range(exchange.number("n", 300))))

    async def on_raw_header(self, exchange: Exchange, _: str) -> None:
        exchange.answer(b"{}", 200, f"X-Raw: {exchange.query['value']}")

    async def on_headers(self, exchange: Exchange, _: str) -> None:
        said = {"method": exchange.method, "target": exchange.target, "headers": exchange.headers}
        exchange.answer(json.dumps(said).encode())

    async def on_echo(self, exchange: Exchange, _: str) -> None:
        exchange.answer(exchange.body)

    async def on_stats(self, exchange: Exchange, _: str) -> None:
        said: dict[str, Any] = {
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "paths": dict(self.paths),
        }
        if "reset" in exchange.query:
            self._forget()
        exchange.answer(json.dumps(said).encode())


def main() -> int:
    """The command line."""
    with Faults() as faults:
        if len(sys.argv) == 1:
            print(json.dumps({"port": faults.port, "tls_port": faults.tls_port, "cert": faults.cert}), flush=True)
            sys.stdin.read()
            return 0
        known = {"PORT": faults.port, "TLS_PORT": faults.tls_port, "CERT": faults.cert}
        env = {**os.environ, **{f"HR_FAULTS_{name}": str(value) for name, value in known.items()}}
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
