"""One extraction through the engine: pages are asked for, handled in order, and their rows handed to the generators.

    generator (dlt's extract thread)  Job.batches() <- Stream.next_batch
    pager thread                      Engine.poll -> Chain.arrive -> paginator -> next request, Stream.accept

A `Job` is one call of a resource's generator: a stream of rows fed by one `Chain` of pages, or, for a dependent resource, by a
chain a parent item. Chains run side by side; their pages are accepted chain after chain, page after page.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from typing import Any

import requests
from dlt.common import jsonpath, logger
from dlt.extract.incremental import Incremental
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.exceptions import IgnoreResponseException
from dlt.sources.helpers.rest_client.paginators import (
    BasePaginator,
    HeaderCursorPaginator,
    HeaderLinkPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    OffsetPaginator,
    PageNumberPaginator,
    RangePaginator,
    SinglePagePaginator,
)

from headrace import _core
from headrace._request import NativeResponse, Sender, selector_steps
from headrace.config import HeadraceConfiguration
from headrace.exceptions import ResourceFailed, mask_url, page_error

_AHEAD = (OffsetPaginator, PageNumberPaginator)  # their next request is known before the answer
_BUILT_IN = (
    SinglePagePaginator,
    HeaderLinkPaginator,
    HeaderCursorPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    *_AHEAD,
)
_PATHS = ("total_path", "has_more_path", "next_url_path", "cursor_path")
_FIRST_WINDOW = 2


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
        )
        self.lock = threading.RLock()  # everything below and all chains
        self.window = settings.max_in_flight_per_host
        self._waiting: dict[int, tuple[Chain, int]] = {}
        self._next_tag = 0
        self._users = 0
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
        self.engine.cancel()
        self._thread.join()
        self.engine.close()

    def submit(self, chain: Chain, number: int, prepared: requests.PreparedRequest) -> None:
        """Sends page `number` of a chain on its way."""
        tag = self._next_tag
        self._next_tag += 1
        self._waiting[tag] = (chain, number)
        chain.job.tags[tag] = (mask_url(prepared.url or ""), number)
        self.engine.submit(chain.job.stream, tag, **chain.job.sender.arguments(prepared))

    def _page_loop(self) -> None:
        while True:
            try:
                pages = self.engine.poll(1000)
            except _core.Error:
                return
            with self.lock:
                for page in pages:
                    chain, number = self._waiting.pop(page.tag)
                    self._dispatch(chain, number, page)

    def _dispatch(self, chain: Chain, number: int, page: _core.Page) -> None:
        job = chain.job
        job.counts["requests"] += page.attempts
        job.counts["bytes"] += page.size
        if job.error is not None or chain.ended:
            page.release()
            return
        if page.attempts > 1:
            self.window = max(1, self.window // 2)
        try:
            chain.arrive(number, page)
            job.advance()
        except BaseException as ex:
            job.fail(ex)


class Chain:
    """The pages of one pagination, from the first request to the paginator's stop."""

    def __init__(
        self, job: Job, request: requests.Request, paginator: BasePaginator | None, extra: bytes | None
    ) -> None:
        self.job = job
        self.request = request
        self.paginator = paginator
        self.extra = extra
        self.selector: Any = job.data_selector
        self.steps = selector_steps(self.selector) if self.selector else None
        self.ready: deque[_core.Page] = deque()  # handled, to be accepted at the chain's turn
        self.ended = False
        self._arrived: dict[int, _core.Page] = {}
        self._next = 0  # number of the page to be handled next
        self._sent: dict[int, requests.PreparedRequest] = {}
        self._ahead: tuple[requests.Request, RangePaginator] | None = None  # the furthest request made ahead
        self._n_sent = 0
        self._window = _FIRST_WINDOW
        self._limit: int | None = None  # of the paginator's value
        self._seen: set[bytes] = set()

    def start(self) -> None:
        """Makes the first request."""
        if self.paginator:
            self.paginator.init_request(self.request)
        self._send(self.job.sender.prepare(self.request))

    def _send(self, prepared: requests.PreparedRequest) -> None:
        number = self._n_sent
        self._n_sent += 1
        self._sent[number] = prepared
        self.job.run.submit(self, number, prepared)

    def arrive(self, number: int, page: _core.Page) -> None:
        """Takes a page, handles those that are next."""
        self._arrived[number] = page
        while not self.ended and self._next in self._arrived:
            page = self._arrived.pop(self._next)
            prepared = self._sent.pop(self._next)
            self._next += 1
            self._handle(page, prepared)

    # ---- one page, as RESTClient.paginate does it

    def _handle(self, page: _core.Page, prepared: requests.PreparedRequest) -> None:
        response = NativeResponse(page, prepared)
        number = self._next - 1
        try:
            self._check(page, response)
        except IgnoreResponseException:
            self._end()
            page.release()
            return
        except _core.Error as error:
            raise page_error(
                error, resource=self.job.name, schema_name=self.job.schema_name, url=prepared.url, page=number
            ) from error
        self._select(page, response)
        n_records = page.n_records
        self.job.counts["pages"] += 1
        if self.paginator is None:
            response.show(page.shape())
            self.paginator = self.job.client.detect_paginator(response, [None] * min(n_records, 1))
        self._page_on(page, response, n_records)
        self.ready.append(page)

    def _check(self, page: _core.Page, response: NativeResponse) -> None:
        """Hooks, status and decoding. Raises what dlt's client would, or the engine's error."""
        if page.error is not None and page.error.stage == "fetch":
            raise page.error
        hooks = self.job.hooks.get("response")
        if hooks is None:
            if page.status >= 400:
                self.job.client._create_response_handler()(response)  # type: ignore[call-arg]
        else:
            for hook in hooks if isinstance(hooks, (list, tuple)) else [hooks]:
                hook(response)
            if response.was_replaced:
                page.decode(response.text.encode("utf-8", "surrogatepass"))
                return
        error = page.error
        if (error is not None and error.code == "ENCODING") or (
            not response.is_plain_utf8 and not response.content.isascii()
        ):
            page.decode(response.text.encode("utf-8", "surrogatepass"))
        elif error is not None:
            raise error
        elif not page.decoded:
            page.decode()

    def _select(self, page: _core.Page, response: NativeResponse) -> None:
        if self.selector:
            if not self.job.has_selector:
                page.select(self.steps or [])
            return
        response.show(page.shape())
        self.selector = self.job.client.detect_data_selector(response)
        self.steps = selector_steps(self.selector)
        page.select(self.steps or [])

    def _page_on(self, page: _core.Page, response: NativeResponse, n_records: int) -> None:
        """The paginator's step, and the next request if there is one."""
        paginator = self.paginator
        assert paginator is not None
        light = self._reads_envelope()
        response.show(page.envelope() if light else None)
        paginator.update_state(response, range(n_records))  # type: ignore[arg-type]
        paginator.update_request(self.request)
        if not paginator.has_next_page:
            self._end()
            return
        if type(paginator) in _AHEAD:
            self._go_ahead(response)
            return
        prepared = self.job.sender.prepare(self.request)
        digest = hashlib.blake2b(
            repr((prepared.method, prepared.url, prepared.body, sorted(prepared.headers.items()))).encode(),
            digest_size=12,
        ).digest()
        if digest in self._seen:
            raise ResourceFailed(
                f"fetch: resource `{self.job.name}`, {mask_url(prepared.url or '')}, page {self._next}: the paginator repeats a"
                " request it has made before, so it would never end. Check its cursor or next link."
            )
        self._seen.add(digest)
        self._send(prepared)

    def _reads_envelope(self) -> bool:
        """Whether the paginator's paths end outside of the records."""
        if type(self.paginator) not in _BUILT_IN:
            return False
        records = list(self.steps or [])
        records = records[: records.index(None)] if None in records else records
        for attribute in _PATHS:
            path = getattr(self.paginator, attribute, None)
            if path is None:
                continue
            steps = selector_steps(path)
            if steps is None or (len(steps) > len(records) and steps[: len(records)] == records and records):
                return False
            if not records and steps and isinstance(steps[0], int):
                return False
        return True

    def _go_ahead(self, response: NativeResponse) -> None:
        """Keeps a window of requests in flight whose pages are known beforehand; the paginator still says when to stop."""
        paginator = self.paginator
        assert isinstance(paginator, RangePaginator)
        if self._ahead is None:
            self._ahead = (self._copy_request(self.request), copy(paginator))
            limits = []
            if paginator.total_path:
                found = jsonpath.find_values(paginator.total_path, response.json())
                limits.append(int(found[0]) + paginator.base_index)
            if paginator.maximum_value is not None:
                limits.append(paginator.maximum_value)
            self._limit = min(limits) if limits else None
            self._send(self.job.sender.prepare(self.request))
        request, ahead = self._ahead
        most = min(self._window, self.job.run.window)
        self._window = min(self._window * 2, self.job.run.settings.max_in_flight_per_host)
        if self._n_sent <= self._next:  # what is next in order always goes
            most = max(most, 1)
        while self._n_sent - self._next < most:
            value = ahead.current_value + ahead.value_step
            if self._n_sent > self._next and (
                (self._limit is not None and value >= self._limit) or self.job.run.engine.is_full()
            ):
                break
            ahead.current_value = value
            ahead.update_request(request)
            self._send(self.job.sender.prepare(request))

    @staticmethod
    def _copy_request(request: requests.Request) -> requests.Request:
        other = copy(request)
        other.params = deepcopy(request.params)
        other.json = deepcopy(request.json)
        return other

    def _end(self) -> None:
        self.ended = True
        for page in self._arrived.values():
            page.release()
        self._arrived.clear()
        self._sent.clear()


class Job:
    """One call of a native generator."""

    def __init__(
        self,
        run: Run,
        *,
        name: str,
        schema_name: str,
        client: RESTClient,
        data_selector: Any,
        hooks: dict[str, Any] | None,
        stream_options: dict[str, Any],
        parent_keys: list[str] | bool | None = False,
        incremental: Incremental[Any] | None = None,
    ) -> None:
        self.run = run
        self.name = name
        self.schema_name = schema_name
        self.client = client
        self.sender = Sender(client, run.settings.max_body_bytes)
        self.data_selector = data_selector or client.data_selector
        self.has_selector = bool(self.data_selector)
        steps = selector_steps(self.data_selector) if self.has_selector else None
        self.hooks = hooks or {}
        self.stream = run.engine.stream(selector=steps, batch_bytes=run.settings.batch_bytes, **stream_options)
        self.parent_keys = (
            parent_keys  # keys that children want of each record; False: no children; None: whole records
        )
        self.parents: deque[Any] = deque()
        self.incremental = incremental
        self.tags: dict[int, tuple[str, int]] = {}
        self.counts = {"requests": 0, "pages": 0, "bytes": 0}
        self.error: BaseException | None = None
        self.empty = True
        self._chains: deque[Chain] = deque()
        self._more: Iterator[Callable[[], Chain]] | None = None
        self._finished = False

    def start(self, chains: Iterator[Callable[[], Chain]]) -> None:
        """Starts the chains, as many at once as the host may be asked."""
        with self.run.lock:
            self._more = chains
            self.advance()

    def advance(self) -> None:
        """Accepts what is next in order, starts chains that may run. The run's lock is held."""
        while True:
            while self._chains:
                head = self._chains[0]
                while head.ready:
                    self._accept(head, head.ready.popleft())
                if not head.ended:
                    break
                self._chains.popleft()
            started = False
            while self._more is not None and len(self._chains) < max(1, self.run.window):
                if self._chains and self.run.engine.is_full():
                    break
                make = next(self._more, None)
                if make is None:
                    self._more = None
                    break
                chain = make()
                self._chains.append(chain)
                chain.start()
                started = True
            if not started:
                break
        if self._more is None and not self._chains and not self._finished:
            self._finished = True
            self.stream.finish()

    def _accept(self, chain: Chain, page: _core.Page) -> None:
        if page.n_records == 0:
            page.release()
            return
        keep = self._filter(page) if self.incremental is not None else None
        if keep is not None and not any(keep):
            page.release()
            return
        self.empty = False
        if self.parent_keys is not False:
            self.parents.extend(json.loads(page.project(self.parent_keys, keep)))  # type: ignore[arg-type]
        self.stream.accept(page, keep, chain.extra)

    def _filter(self, page: _core.Page) -> bytes:
        """A byte a record, 0 for those that dlt's incremental drops; moves the incremental's state on.

        Its cursor and key fields are enough for it, but without a key it tells rows apart by all they hold.
        """
        incremental = self.incremental
        assert incremental is not None
        key: Any = incremental.primary_key
        if key is None:
            fields = None
        else:
            steps = selector_steps(incremental.cursor_path) or []
            fields = [str(step) for step in steps] + ([key] if isinstance(key, str) else list(key))
        rows = json.loads(page.project(fields))
        kept = {id(row) for row in incremental(rows) or []}
        return bytes(id(row) in kept for row in rows)

    def fail(self, error: BaseException) -> None:
        """Remembers the first error; the generator raises it."""
        if self.error is None:
            self.error = error
            self.stream.finish()

    def batches(self) -> Iterator[list[_core.TableBatch]]:
        """Batches of rows to the end. Raises the first error of a page."""
        while True:
            if self.error is not None:
                raise self.error
            try:
                found = self.stream.next_batch(100)
            except _core.Error as error:
                if self.error is not None:
                    raise self.error from error
                url, number = self.tags.get(error.tag, (None, None))
                raise page_error(
                    error, resource=self.name, schema_name=self.schema_name, url=url, page=number
                ) from error
            if found is None:
                if self.error is not None:
                    raise self.error
                logger.info(f"headrace: resource `{self.name}`: {self.counts}, {self.run.engine.stats()}")
                return
            if found:
                yield found  # type: ignore[misc]
