"""One extraction through the engine: pages are asked for, handled in order, and their rows handed to the generators.

    generator (dlt's extract thread)  Job.batches() <- Stream.next_batch
    pager thread                      Engine.poll -> Chain.arrive -> paginator -> next request, Stream.accept

A `Job` (_rest_api/job.py) is a stream of rows fed by one `Chain` (_rest_api/chain.py) of pages, or, for a dependent resource, by a chain a
parent item. Chains run side by side; their pages are accepted chain after chain, page after page. A `Reader` (_rest_api/reader.py)
makes records of a page.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests
from dlt.common import logger
from dlt.sources.helpers.rest_client.exceptions import IgnoreResponseException

from headrace import _core
from headrace._rest_api.native_pages import TAG_BITS, NativePages
from headrace._rest_api.request import Unsent
from headrace._rest_api.sessions import Sessions
from headrace.config import HeadraceConfiguration

if TYPE_CHECKING:
    from headrace._rest_api.chain import Chain

PACER = _core.Pacer()  # what is known of hosts, for all runs of the process: one budget
_CONVERTERS = 2  # threads for bodies that the engine's workers do not decode


class Run:
    """The engine and its pager thread, shared by the jobs of one extraction."""

    _open: dict[str, Run] = {}  # noqa: RUF012 - a registry
    _open_lock = threading.Lock()

    def __init__(self, key: str, settings: HeadraceConfiguration) -> None:
        self.key = key
        self.settings = settings
        self.engine = _core.Engine(
            workers=settings.workers,
            memory_limit=settings.memory_limit,
            max_in_flight=settings.max_in_flight,
            max_in_flight_per_host=settings.max_in_flight_per_host,
            first_window=settings.first_in_flight_per_host,
            max_pause_ms=int(settings.max_rate_pause * 1000),
            pacer=PACER,
        )
        self.sessions = Sessions()
        self.lock = threading.RLock()  # everything below and all chains
        self._windows: dict[str, int] = {}  # requests that a host may be asked at once, by its last answer
        self._throttled: set[str] = set()
        self._is_busy = False  # pages are handled: what they send goes together
        self._waiting: dict[int, tuple[Chain, int]] = {}
        self._converters: ThreadPoolExecutor | None = None
        self._next_tag = 0
        self._pagers: list[NativePages] = []  # pages that the engine asks for, by the number of their pager - 1
        self._users = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._page_loop, name="headrace-pager", daemon=True)
        self._thread.start()

    @classmethod
    def join(cls, key: str, settings: HeadraceConfiguration) -> Run:
        """The run of this key; it ends when each who joined has left."""
        with cls._open_lock:
            run = cls._open.get(key)
            if run is None:
                run = cls._open[key] = cls(key, settings)
            run._users += 1
            return run

    def leave(self) -> None:
        """Ends the run with its last user."""
        with self._open_lock:
            self._users -= 1
            if self._users > 0:
                return
            self._open.pop(self.key, None)
        with self.lock:
            self._is_closed = True
        self.sessions.close()
        self.engine.cancel()
        self._thread.join()
        if self._converters is not None:  # what is under way ends by itself: it holds its page
            self._converters.shutdown(wait=False, cancel_futures=True)
        self.engine.close()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended. The lock is held."""
        return self._is_closed

    def window(self, host: str) -> int:
        """How many requests to a host may be under way: in flight, and as many that wait for their turn."""
        return min(2 * self.window_of(host), self.settings.max_in_flight_per_host)

    @staticmethod
    def _say_throttled(host: str) -> None:
        logger.info(f"headrace: {host} refuses some requests or does not answer: fewer are sent at once")

    def submit(self, chain: Chain, number: int, prepared: requests.PreparedRequest, delay_ms: int = 0) -> None:
        """Sends page `number` of a chain on its way, not before `delay_ms`."""
        tag = self.new_tag()
        self._waiting[tag] = (chain, number)
        job = chain.job
        job.note_origin(tag, prepared.url or "", chain.name_of(number))
        if isinstance(prepared, Unsent):
            self.sessions.ask(
                job.client, prepared.made, job.is_parallel, lambda found: self._answer(tag, found), delay_ms / 1000
            )
        else:
            self.engine.submit(
                chain.stream(number),
                tag,
                *job.sender.arguments(prepared),
                delay_ms=delay_ms,
                more=self._is_busy,
                **(chain.early or {}),
            )

    def submit_answer(self, chain: Chain, number: int, prepared: requests.PreparedRequest, body: bytes) -> None:
        """Page `number` of a chain, whose bytes are here."""
        tag = self.new_tag()
        self._waiting[tag] = (chain, number)
        chain.job.note_origin(tag, prepared.url or "", chain.name_of(number))
        self.engine.submit_bytes(chain.stream(number), tag, body, prepared.url or "")

    def new_pager(self, pages: NativePages) -> int:
        """The number of a pager in the engine: the high bits of its tags."""
        self._pagers.append(pages)
        return len(self._pagers)

    def native_of(self, tag: int) -> tuple[NativePages, int] | None:
        """Who knows a page that the engine asked for, and its number; None: the engine did not."""
        pager = tag >> TAG_BITS
        return (self._pagers[pager - 1], tag & ((1 << TAG_BITS) - 1)) if pager > 0 else None

    def window_of(self, host: str) -> int:
        """How many requests a host may be asked at once, by its last answer."""
        return self._windows.get(host, self.settings.first_in_flight_per_host)

    def note_host(self, host: str, window: int, is_throttled: bool) -> None:
        """Remembers what an answer told of its host."""
        if is_throttled and host not in self._throttled:
            self._throttled.add(host)
            self._say_throttled(host)
        if window:  # else it came from a session
            self._windows[host] = window

    def new_tag(self) -> int:
        """A number that no page has yet."""
        with self.lock:
            self._next_tag += 1
            return self._next_tag - 1

    def _answer(self, tag: int, found: requests.Response | BaseException) -> None:
        """A session's answer: its body goes to the engine, to come back as a page."""
        with self.lock:
            if self._is_closed:
                return
            chain, number = self._waiting[tag]
            job = chain.job
            try:
                if isinstance(found, requests.Response):
                    chain.given[number] = found
                    job.counts["requests"] += 1
                    self.engine.submit_bytes(chain.stream(number), tag, found.content, found.url or "")
                    return
                del self._waiting[tag]
                if job.error is not None or chain.ended:
                    return
                if isinstance(found, IgnoreResponseException):
                    chain.end()
                else:
                    job.failed(chain, chain.told(found, number))
                job.advance()
            except BaseException as ex:
                job.fail(ex)

    def _page_loop(self) -> None:
        while True:
            try:
                pages = self.engine.poll(1000)
            except _core.Error:
                return
            with self.lock:
                self._is_busy = len(pages) > 1
                whole = {page.tag for page in pages if not page.is_early}
                for page in pages:
                    if page.is_early:
                        if page.tag not in whole:
                            self._foresee(page)
                        page.release()
                        continue
                    native = self.native_of(page.tag)
                    chain, number = (native[0].chain, native[1]) if native else self._waiting.pop(page.tag)
                    if number >= 0 and chain.job.format.needs(page) and not chain.job.hooks.get("response"):
                        self._convert(chain, number, page)
                    else:
                        self._dispatch(chain, number, page)
                if self._is_busy:
                    self._is_busy = False
                    self.engine.flush()

    def _foresee(self, page: _core.Page) -> None:
        """Hands what has come early to its chain."""
        if page.tag in self._waiting:
            chain, number = self._waiting[page.tag]
            if chain.job.error is None and not chain.ended:
                chain.foresee(number, page.body())

    def _convert(self, chain: Chain, number: int, page: _core.Page) -> None:
        """Has a thread decode a page that the engine's workers do not; then it goes its way."""

        def work() -> None:
            try:
                chain.job.format.decode(page, page.body(), self.settings.max_body_bytes)
                chain.read[number] = None
            except Exception as error:
                chain.read[number] = error
            with self.lock:
                if self._is_closed:
                    page.release()
                else:
                    self._dispatch(chain, number, page)

        if self._converters is None:
            self._converters = ThreadPoolExecutor(_CONVERTERS, "headrace-format")
        self._converters.submit(work)

    def _dispatch(self, chain: Chain, number: int, page: _core.Page) -> None:
        job = chain.job
        job.counts["requests"] += page.attempts
        job.counts["bytes"] += page.size
        if job.error is not None:
            page.release()
            return
        self.note_host(chain.host, page.window, bool(page.throttled))
        try:
            if chain.ended:
                page.release()
            else:
                try:
                    chain.arrive(number, page)
                except Exception as ex:
                    job.failed(chain, ex)
            job.advance()
        except BaseException as ex:
            job.fail(ex)
