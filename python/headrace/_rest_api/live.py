"""`stream` of an endpoint: an answer that does not end, taken in stretches, each of which is a run of its own.

    reader thread   socket -> whole lines or events -> Connection (bounded; kept between the runs of `headrace.follow`)
    feeder thread   Connection -> pages of the engine -> the run's rows, until the stretch is over

Bytes are read and cut here, never records: the engine's workers decode them. docs/more-than-get.md describes the rules.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
from dlt.common import logger
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from urllib3.exceptions import HTTPError as Urllib3Error

from headrace import _core
from headrace._rest_api.chain import Chain
from headrace._rest_api.completeness import Unwatched
from headrace._rest_api.request import NativeResponse
from headrace._rest_api.stream_rules import Limits, StreamRules
from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_text, mask_url

if TYPE_CHECKING:
    from headrace._rest_api.job import Job

STATE = "headrace_stream"  # key of dlt's state of a resource
_READ = 1 << 16  # bytes asked for at once
_PAGE = 256 << 10  # bytes that go to the engine together
_LINGER_S = 0.1  # so long bytes wait for others
_BUFFERED = 8 << 20  # bytes that wait for a run; then the server has to
_MOST_PENDING = 16 << 20  # bytes of one record or event
_MOST_ID = 4096  # bytes
_MOST_WAIT_S = 300.0  # for another connection
_MOST_DOUBLED = 31  # times that such a wait is doubled


class Block(NamedTuple):
    """JSON lines as they came together, how many, and the id of the last event."""

    text: bytes
    n_rows: int
    last_id: str


class Connection:
    """A stream that is read as far as there is room. Made again when it breaks, behind the last event that came."""

    def __init__(self, rules: StreamRules, where: str, send: Callable[[str], requests.Response], last_id: str) -> None:
        self.changed = threading.Condition()
        self.blocks: deque[Block] = deque()
        self.n_bytes = 0  # in blocks
        self.error: BaseException | None = None  # nothing comes behind the blocks
        self.is_ended = False  # likewise
        self.is_stopped = False  # `stop_after` is reached: no run takes more
        self.rows = self.bytes = 0  # taken by all runs
        self.began = self.last_came = time.monotonic()
        self._rules = rules
        self._where = where  # for messages
        self._send = send
        self._last_id = last_id
        self._retry_s = rules.delay_s
        self._is_closed = False
        self._response: requests.Response | None = None
        threading.Thread(target=self._run, name="headrace-stream", daemon=True).start()

    @property
    def has_all(self) -> bool:
        """Whether no run takes more: it has ended well, or `stop_after` is reached."""
        return self.is_stopped or (self.is_ended and not self.blocks and self.error is None)

    def take(self, most_rows: int, most_bytes: int) -> Block | None:
        """Lines that have come, at most so many rows (0: no limit). `changed` is held."""
        parts: list[bytes] = []
        n_rows = size = 0
        last_id = ""
        while self.blocks and (size < most_bytes) and not (most_rows and n_rows >= most_rows):
            block = self.blocks.popleft()
            self.n_bytes -= len(block.text)
            if most_rows and n_rows + block.n_rows > most_rows:
                block, rest = _cut(block, most_rows - n_rows, self._rules.is_sse)
                self.blocks.appendleft(rest)
                self.n_bytes += len(rest.text)
            parts.append(block.text)
            n_rows += block.n_rows
            size += len(block.text)
            last_id = block.last_id
        if not parts:
            return None
        self.rows += n_rows
        self.bytes += size
        self.changed.notify_all()
        return Block(b"".join(parts), n_rows, last_id)

    def close(self) -> None:
        """Ends the reader, wherever it waits."""
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()
            response = self._response
        if response is not None:
            _hang_up(response)

    # ---- the reader's thread

    def _run(self) -> None:
        n_failed = 0
        try:
            while not self._is_closed:
                before = self._rows_come()
                try:
                    self._read()
                    failure: Exception | None = None
                except (requests.RequestException, Urllib3Error, OSError) as error:
                    if isinstance(error, requests.HTTPError) and not _may_pass(error):
                        raise
                    failure = error
                if self._rules.attempts == 0:
                    if failure is not None:
                        raise failure
                    break
                n_failed = 0 if self._rows_come() > before else n_failed + 1
                if n_failed >= self._rules.attempts:
                    raise failure or ResourceFailedTransient(
                        f"fetch: {self._where}: {n_failed} connections in a row brought nothing. Raise"
                        " stream.reconnect.attempts if the stream may be silent for so long."
                    )
                why = mask_text(str(failure or "by the server"))
                logger.info(f"headrace: {self._where}: the stream ended ({why}): again")
                wait_s = min(self._retry_s * 2 ** min(max(0, n_failed - 1), _MOST_DOUBLED), _MOST_WAIT_S)
                with self.changed:
                    self.changed.wait_for(lambda: self._is_closed, wait_s)
        except BaseException as error:
            if not self._is_closed:
                self.error = error
        with self.changed:
            self.is_ended = True
            self.changed.notify_all()

    def _rows_come(self) -> int:
        with self.changed:
            return self.rows + sum(block.n_rows for block in self.blocks)

    def _read(self) -> None:
        response = self._send(self._last_id)
        with self.changed:
            self._response = response
        try:
            if response.status_code == 204:  # an end that is meant (HTML Living Standard, 9.2.3)
                self._is_closed = True
                return
            pending = bytearray()
            is_first = True
            for data in _pieces(response):
                if is_first and data[:3] == b"\xef\xbb\xbf":
                    data = data[3:]
                is_first = False
                self.last_came = time.monotonic()
                pending += data
                used = self._put_events(pending) if self._rules.is_sse else self._put_lines(pending)
                del pending[:used]
                if len(pending) > _MOST_PENDING:
                    raise ResourceFailed(
                        f"fetch: {self._where}: a record of the stream has more than {_MOST_PENDING} bytes. Is"
                        " `stream.format` what the server sends?"
                    )
                if self._is_closed:
                    return
            if pending.strip() and not self._rules.is_sse:
                self._put(Block(bytes(pending) + b"\n", 1, ""))  # the last line of an answer needs no end
        finally:
            self._response = None
            response.close()

    def _put_events(self, pending: bytearray) -> int:
        text, used, n_rows, last_id, retry_ms = _core.sse_lines(pending, self._last_id.encode(), 1 << 40)
        if len(last_id) <= _MOST_ID:
            self._last_id = last_id.decode("utf-8", "replace")
        if retry_ms >= 0:
            self._retry_s = retry_ms / 1000
        if n_rows:
            self._put(Block(text, n_rows, self._last_id))
        return used

    def _put_lines(self, pending: bytearray) -> int:
        used = pending.rfind(b"\n") + 1
        if used and (n_rows := _core.count_lines(memoryview(pending)[:used])):
            self._put(Block(bytes(pending[:used]), n_rows, ""))
        return used

    def _put(self, block: Block) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._is_closed or self.n_bytes < _BUFFERED)
            self.blocks.append(block)
            self.n_bytes += len(block.text)
            self.changed.notify_all()


def _may_pass(error: requests.HTTPError) -> bool:
    status = error.response.status_code if error.response is not None else 0
    return status == 429 or status >= 500


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Bytes as they come."""
    read1 = getattr(response.raw, "read1", None)
    if read1 is None:  # urllib3 before 2.0.4
        yield from response.iter_content(None)
        return
    while data := read1(_READ, decode_content=True):
        yield data


def _hang_up(response: requests.Response) -> None:
    """Wakes a thread that waits for the response's bytes."""
    raw: Any = response.raw
    finds: list[Callable[[], socket.socket]] = [lambda: raw._connection.sock, lambda: raw._fp.fp.raw._sock]
    for find in finds:
        with suppress(Exception):
            find().shutdown(socket.SHUT_RDWR)
            return


def _cut(block: Block, n_rows: int, is_sse: bool) -> tuple[Block, Block]:
    """The first rows of a block and the rest: the end of the line is looked for by halves, no line is looked at."""
    text = memoryview(block.text)
    low, high = 0, len(text)
    while low < high:  # the least end with n_rows line ends before it
        middle = (low + high) // 2
        if _core.count_lines(text[:middle]) >= n_rows:
            high = middle
        else:
            low = middle + 1
    last_id = ""
    if is_sse:
        last_id = json.loads(block.text[block.text.rfind(b"\n", 0, low - 1) + 1 : low])["id"] or ""
    return Block(bytes(text[:low]), n_rows, last_id), Block(bytes(text[low:]), block.n_rows - n_rows, block.last_id)


_kept: dict[tuple[str, ...], Connection] = {}  # between the runs of `follow`
_keepers = 0
_lock = threading.Lock()


@contextmanager
def kept() -> Iterator[Callable[[], bool]]:
    """Connections of streams stay open from run to run. Gives what says whether all of them have ended."""
    global _keepers
    with _lock:
        _keepers += 1
    try:
        yield lambda: all(one.has_all for one in list(_kept.values()))
    finally:
        with _lock:
            _keepers -= 1
            closed = list(_kept.values()) if _keepers == 0 else []
            if _keepers == 0:
                _kept.clear()
        for connection in closed:
            connection.close()


class StreamChain(Chain):
    """One stretch of a stream, as a chain of pages."""

    def __init__(
        self,
        job: Job,
        request: requests.Request,
        paginator: BasePaginator | None,
        extra: bytes | None,
        state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(job, request, paginator, extra)
        rules = job.options.stream
        assert rules is not None
        self.watch = Unwatched(job.name, job.options, job.say, self.reader)
        self._rules = rules
        self._state = state if state is not None else {}
        self._is_over = False  # no more pages are made
        self._is_kept = False  # the connection stays open behind this run
        self._rows = self._bytes = 0
        self._began = time.monotonic()

    def start(self) -> None:
        """Connects, or goes on with what is connected; a thread feeds the pages."""
        if self.job.is_replaced:
            raise ResourceFailed(
                f"resource `{self.job.name}` is a stream with write_disposition `replace`: each run would put its stretch in place of"
                " those before. Use `append` or `merge`."
            )
        self._prepare()
        where = f"resource `{self.job.name}`, {mask_url(self.url)}"
        key = (self.job.schema_name, self.job.name, *self.origin, urlsplit(self.url).path)
        last_id = str(self._state.get(STATE, {}).get("last_event_id", ""))
        with _lock:
            connection = _kept.get(key)
            if connection is None or (connection.error is not None and not connection.blocks):
                connection = Connection(self._rules, where, self._connect, last_id)
                if _keepers:
                    _kept[key] = connection
            self._is_kept = bool(_keepers)
        threading.Thread(target=self._feed, args=(connection,), name="headrace-feeder", daemon=True).start()

    def _connect(self, last_id: str) -> requests.Response:
        request = self.request
        if self._rules.is_sse:
            request.headers = {**(request.headers or {}), "Accept": "text/event-stream"}
            if last_id:
                request.headers["Last-Event-ID"] = last_id
        response = self.job.client._send_request(request, stream=True)
        if response.status_code >= 400:
            self.job.client._create_response_handler()(response)  # type: ignore[call-arg]
        return response

    # ---- the feeder's thread

    def _feed(self, connection: Connection) -> None:
        try:
            while not self._take(connection):
                pass
        except BaseException as error:
            with self.job.run.lock:
                self.job.fail(error)
        finally:
            if not self._is_kept:
                connection.close()

    def _take(self, connection: Connection) -> bool:
        """Takes what has come; True: the stretch is over."""
        job, rules = self.job, self._rules
        own, whole = rules.commit_every, rules.stop_after
        with connection.changed:
            connection.changed.wait_for(lambda: connection.blocks or connection.is_ended, _LINGER_S)
            if connection.n_bytes < _PAGE and not connection.is_ended:
                connection.changed.wait(_LINGER_S)
        with job.run.lock:
            if self.ended or job.error is not None or job.run.is_closed:
                return True
            is_behind = job.is_behind() or job.run.engine.is_full()
        if is_behind:
            time.sleep(_LINGER_S)
            return False
        left = [most - used for most, used in ((own.rows, self._rows), (whole.rows, connection.rows)) if most]
        with connection.changed:
            block = connection.take(min(left) if left else 0, _PAGE) if not left or min(left) > 0 else None
            is_empty = connection.is_ended and not connection.blocks
        with job.run.lock:
            if self.ended or job.error is not None or job.run.is_closed:
                return True
            if block is not None:
                self._rows += block.n_rows
                self._bytes += len(block.text)
                if block.last_id:
                    self._state[STATE] = {"last_event_id": block.last_id}
                self._submit(block)
            if is_empty and connection.error is not None:
                self._fail(connection.error)
            now = time.monotonic()
            idle_s = now - max(connection.last_came, self._began) if block is None else 0.0
            connection.is_stopped = _is_over(whole, now - connection.began, connection.rows, connection.bytes, idle_s)
            is_over = _is_over(own, now - self._began, self._rows, self._bytes, idle_s)
            if not (is_empty or connection.is_stopped or is_over):
                return False
            self._is_over = True
            if self._next == self._n_sent:
                self.end()
            job.advance()
            return True

    def _fail(self, error: BaseException) -> None:
        """The stream has broken for good. What came before stays; the next run says it if it can go on no more."""
        if self._rows == 0:
            raise self._told(error)
        self.job.say(
            f"{mask_url(self.url)}: the stream broke after {self._rows} rows of this run: {mask_text(str(error))}"
        )

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, requests.RequestException):
            self.told(error, 0, self.url)
        elif isinstance(error, (OSError, Urllib3Error)):
            return ResourceFailedTransient(
                f"fetch: resource `{self.job.name}`, {mask_url(self.url)}: the stream broke: {mask_text(str(error))}"
            )
        return error

    def _submit(self, block: Block) -> None:
        self._give(requests.Request("GET", self.url).prepare(), block.text)

    def _page_on(self, page: _core.Page, response: NativeResponse, is_last: bool) -> None:
        """No request follows a page: the next comes by itself."""
        if is_last or (self._is_over and self._next == self._n_sent):
            self.end()

    def resume(self) -> None:
        """Nothing is held back here."""


def _is_over(limits: Limits, seconds: float, rows: int, n_bytes: int, idle: float) -> bool:
    return (
        (limits.seconds > 0 and seconds >= limits.seconds)
        or (limits.rows > 0 and rows >= limits.rows)
        or (limits.n_bytes > 0 and n_bytes >= limits.n_bytes)
        or (limits.idle > 0 and idle >= limits.idle)
    )
