"""What all Python tests share."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
sys.path.insert(0, str(Path(__file__).parent))
# A shell's background job ignores Ctrl-C, and so would the programs that the tests of Ctrl-C start.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(1, str(Path(__file__).parent.parent / "servers"))

import pytest
from faults import Faults
from fetcher import Fetcher
from headrace import _core, _install
from headrace._rest_api import run as _run
from http2 import Http2
from servers import Answer, Api, Request


def pytest_report_header() -> str:
    """Which dlt is tested; that which `./dev` means to test, if it names one."""
    version = metadata.version("dlt")
    assert os.environ.get("HR_EXPECTED_DLT", version) == version
    return f"dlt {version}"


@pytest.fixture(autouse=True)
def _as_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees what an earlier one said of headrace by install() or uninstall()."""
    monkeypatch.setattr(_install, "_wanted", None)
    monkeypatch.setattr(_install, "_rest_api_wanted", None)
    yield
    if _install._wanted:
        _install.uninstall()  # the environment, too


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


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """An empty folder for files to be read."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def faults() -> Iterator[Faults]:
    """The server that misbehaves on demand."""
    with Faults() as started:
        yield started


@pytest.fixture
def fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Makes engines that end with the test."""
    made: list[Fetcher] = []

    def make(**options: Any) -> Fetcher:
        made.append(Fetcher(**options))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()


@pytest.fixture
def http2(faults: Faults) -> Iterator[Callable[..., Http2]]:
    """Starts HTTP/2 servers that end with the test."""
    started: list[Http2] = []

    def start(**options: Any) -> Http2:
        started.append(Http2(faults.cert, faults.key, **options).__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture(autouse=True)
def nothing_known_of_hosts(monkeypatch: Any) -> None:
    """Ports come again: what was learned of a host is not for the next test."""
    monkeypatch.setattr(_run, "PACER", _core.Pacer())


class _Lines(logging.Handler):
    """Keeps what is said with one of these words."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self.words = words
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if any(word in record.getMessage() for word in self.words):
            self.lines.append(record.getMessage())


@contextmanager
def _listening(*words: str) -> Iterator[list[str]]:
    """The lines of dlt's logger with one of the words."""
    handler, logger = _Lines(*words), logging.getLogger("dlt")
    level = logger.level
    logger.addHandler(handler)
    yield handler.lines
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What dlt's logger says."""
    with _listening("") as lines:
        yield lines


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The lines that say that a resource takes dlt's path."""
    with _listening("takes dlt's path") as lines:
        yield lines


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines that say which way a resource takes, other than the fastest."""
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    with _listening("takes dlt's path", "become Python objects", "in dlt's normalize step") as lines:
        logging.getLogger("dlt").setLevel(logging.INFO)
        yield lines


@pytest.fixture
def native_only(said: list[str]) -> Iterator[None]:
    """Fails the test if a resource took dlt's path."""
    yield
    assert not said
