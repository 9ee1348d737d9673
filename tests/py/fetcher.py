"""The engine as a fetcher of single pages, for tests of what goes over the wire."""

from typing import Any

from headrace import _core
from test_core_engine import make_stream


class Fetcher:
    """An engine and its stream: submits, collects pages by tag."""

    def __init__(self, **options: Any) -> None:
        self.engine = _core.Engine(workers=1, **options)
        self.stream = make_stream(self.engine, selector=["items"])
        self.next_tag = 0

    def submit(self, url: str, **options: Any) -> int:
        request = {"method": "GET", "headers": [], "body": None} | options
        parts = {name: request.pop(name) for name in ("method", "headers", "body")}
        route = _core.Route(**({"max_attempts": 1, "backoff_ms": 1} | {k: v for k, v in request.items()}))
        self.engine.submit(self.stream, self.next_tag, route, url=url, **parts)
        self.next_tag += 1
        return self.next_tag - 1

    def pages(self, n: int) -> list[_core.Page]:
        """The next n pages, by tag."""
        found: list[_core.Page] = []
        while len(found) < n:
            came = self.engine.poll(10_000)
            assert came, "no page came in 10 s"
            found += came
        return sorted(found, key=lambda page: page.tag)

    def get(self, url: str, **options: Any) -> _core.Page:
        self.submit(url, **options)
        return self.pages(1)[0]
