"""What all Python tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
sys.path.insert(0, str(Path(__file__).parent))

import pytest
from servers import Answer, Api, Request


@pytest.fixture
def api() -> Iterator[Callable[[Callable[[Request], Answer]], Api]]:
    """Starts servers that end with the test."""
    started: list[Api] = []

    def start(handler: Callable[[Request], Answer]) -> Api:
        started.append(Api(handler))
        return started[-1]

    yield start
    for server in started:
        server.close()
