"""The benchmark's API: pages prepared in memory, HTTP/1.1 keep-alive, a latency. Prints its port, serves until killed.

GET /items?page=N        page_number with "total"
GET /cursor?cursor=N     the same pages; the next cursor stands in the header X-Next
"""

from __future__ import annotations

import argparse
import asyncio
import re

from records import pages

_PAGE = re.compile(rb"[?&](?:page|cursor)=(\d+)")


class _Server(asyncio.Protocol):
    def __init__(self, bodies: list[bytes], latency: float) -> None:
        self._bodies, self._latency = bodies, latency
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            request, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            target = request.split(b" ", 2)[1]
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer, target)
            else:
                self._answer(target)

    def _answer(self, target: bytes) -> None:
        found = _PAGE.search(target)
        number = int(found.group(1)) if found else 0
        body = self._bodies[number] if number < len(self._bodies) else b'{"items": [], "total": 0}'
        more = b"X-Next: %d\r\n" % (number + 1) if b"/cursor" in target and number + 1 < len(self._bodies) else b""
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" % (more, len(body))
        )
        self._transport.write(body)


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--page-size", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0, help="milliseconds")
    options = parser.parse_args()
    bodies = pages(options.pages, options.page_size)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(bodies, options.latency / 1000), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], sum(map(len, bodies)), flush=True)
    await server.serve_forever()


asyncio.run(_main())
