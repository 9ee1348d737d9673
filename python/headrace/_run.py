"""One extraction through the engine: pages are asked for, handled in order, and their rows handed to the generators.

    generator (dlt's extract thread)  Job.batches() <- Stream.next_batch
    pager thread                      Engine.poll -> Chain.arrive -> paginator -> next request, Stream.accept

A `Job` is a stream of rows fed by one `Chain` of pages, or, for a dependent resource, by a chain a parent item. Chains run
side by side; their pages are accepted chain after chain, page after page.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from dlt.common import jsonpath, logger
from dlt.common.json import json as dlt_json
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
from orjson import Fragment

from headrace import _core
from headrace._completeness import Watch, html_instead
from headrace._isolation import MOST_SKIPPED, Skipped, may_skip, skipped
from headrace._options import in_force
from headrace._reasons import Way
from headrace._request import (
    GivenResponse,
    NativeResponse,
    Sender,
    Unsent,
    copy_request,
    may_have_credentials,
    origin_of,
    selector_steps,
)
from headrace._sessions import Sessions
from headrace._sessions import width as session_width
from headrace.config import HeadraceConfiguration
from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_url, page_error

if TYPE_CHECKING:
    from headrace._incremental import Cursor

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
_CREDENTIALS = ("authorization", "cookie")
_MOST_ITEMS = 16  # pages that wait for steps in Python
PACER = _core.Pacer()  # what is known of hosts, for all runs of the process: one budget
_MOST_WARNINGS = 20  # of a resource that are kept
_LOGGED_WARNINGS = 3


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
        self._next_tag = 0
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
        self.engine.close()

    def window(self, host: str) -> int:
        """How many requests to a host may be under way: in flight, and as many that wait for their turn."""
        return min(
            2 * self._windows.get(host, self.settings.first_in_flight_per_host), self.settings.max_in_flight_per_host
        )

    @staticmethod
    def _say_throttled(host: str) -> None:
        logger.info(f"headrace: {host} refuses some requests or does not answer: fewer are sent at once")

    def submit(self, chain: Chain, number: int, prepared: requests.PreparedRequest, delay_ms: int = 0) -> None:
        """Sends page `number` of a chain on its way, not before `delay_ms`."""
        tag = self._next_tag
        self._next_tag += 1
        self._waiting[tag] = (chain, number)
        job = chain.job
        job.tags[tag] = (prepared.url or "", number)
        if isinstance(prepared, Unsent):
            self.sessions.ask(job.client, prepared.made, job.is_parallel, lambda found: self._answer(tag, found))
        else:
            self.engine.submit(job.fetched, tag, *job.sender.arguments(prepared), delay_ms=delay_ms, more=self._is_busy)

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
                    self.engine.submit_bytes(job.fetched, tag, found.content, found.url or "")
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
                for page in pages:
                    chain, number = self._waiting.pop(page.tag)
                    self._dispatch(chain, number, page)
                if self._is_busy:
                    self._is_busy = False
                    self.engine.flush()

    def _dispatch(self, chain: Chain, number: int, page: _core.Page) -> None:
        job = chain.job
        job.counts["requests"] += page.attempts
        job.counts["bytes"] += page.size
        if job.error is not None:
            page.release()
            return
        if page.throttled and chain.host not in self._throttled:
            self._throttled.add(chain.host)
            self._say_throttled(chain.host)
        if page.window:  # else it came from a session
            self._windows[chain.host] = page.window
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


class Chain:
    """The pages of one pagination, from the first request to the paginator's stop."""

    def __init__(
        self, job: Job, request: requests.Request, paginator: BasePaginator | None, extra: bytes | None
    ) -> None:
        self.job = job
        self.request = request
        self.paginator = paginator
        self.extra = extra
        self.parent: Any = None  # of a dependent resource's chain: the fields that it is made of
        self.selector: Any = job.data_selector
        self.steps = selector_steps(self.selector) if self.selector else None
        self.ready: deque[tuple[_core.Page, bytes | None]] = deque()  # handled, to be accepted at the chain's turn
        self.ended = False
        self.host = self.url = ""  # of the first request
        self.given: dict[int, requests.Response] = {}  # answers of a session of the user's, by number
        self._arrived: dict[int, _core.Page] = {}
        self._next = 0  # number of the page to be handled next
        self._sent: dict[int, requests.PreparedRequest] = {}
        self._ahead: tuple[requests.Request, RangePaginator] | None = None  # the furthest request made ahead
        self._n_sent = 0
        self._window = _FIRST_WINDOW
        self._renewed: set[int] = set()  # pages that were asked for again with another token
        self._limit: int | None = None  # of the paginator's value
        self._seen: set[bytes] = set()
        self._held: requests.PreparedRequest | None = (
            None  # not sent: memory is full and it is not this chain's turn, or rows wait
        )
        self._is_cut_out = False  # the page at hand holds the records alone
        self.watch = Watch(job.name, job.options, job.say)
        self._is_short = False  # fewer are sent ahead than the window allows, for the same reason
        self._again: dict[
            int, tuple[int, float]
        ] = {}  # attempts and first time of pages asked for again for what they hold
        self._origin = ("", "")

    def start(self) -> None:
        """Makes the first request."""
        if self.paginator:
            self.paginator.init_request(self.request)
        prepared = self.job.sender.prepare(self.request)
        self.url = prepared.url or ""
        self.host = urlsplit(self.url).netloc
        self._origin = origin_of(self.url)
        self._seen.add(_digest(prepared))
        self._send(prepared)

    def resume(self) -> None:
        """Sends what was held back, if it may go now."""
        if not self._may_go():
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)
        elif self._is_short:
            self._fill_window()

    def _may_go(self) -> bool:
        """Whether what comes next in this chain may be asked for: its turn or memory is left, and its rows are taken."""
        return (self.job.is_first(self) or not self.job.run.engine.is_full()) and not self.job.is_behind()

    def _send(self, prepared: requests.PreparedRequest) -> None:
        number = self._n_sent
        self._n_sent += 1
        self._sent[number] = prepared
        try:
            self.job.run.submit(self, number, prepared)
        except _core.Error as error:
            raise self._error(error, prepared, number) from error

    def _error(
        self, error: _core.Error, prepared: requests.PreparedRequest, number: int, attempts: int = 1
    ) -> Exception:
        names = {"resource": self.job.name, "schema_name": self.job.schema_name}
        return page_error(error, **names, url=prepared.url, page=number, attempts=attempts)

    def arrive(self, number: int, page: _core.Page) -> None:
        """Takes a page, handles those that are next."""
        if page.status == 401 and self._asks_with_new_token(number):
            page.release()
            return
        self._arrived[number] = page
        while not self.ended and self._next in self._arrived:
            page = self._arrived.pop(self._next)
            prepared = self._sent.pop(self._next)
            self._next += 1
            self._handle(page, prepared)

    def told(self, error: BaseException, number: int, url: str | None = None, attempts: int = 1) -> BaseException:
        """The error of a page, with its place in a note."""
        if isinstance(error, requests.RequestException) and hasattr(error, "add_note"):  # Python 3.11
            tried = f" ({attempts} attempts)" if attempts > 1 else ""
            prepared = self._sent.get(number)
            where = mask_url(url or (prepared.url if prepared else "") or "")
            error.add_note(f"fetch: resource `{self.job.name}`, {where}, page {number}{tried}")
        return error

    def _asks_with_new_token(self, number: int) -> bool:
        """Asks once more, with another token, for a page that was refused."""
        if number in self._renewed:
            return False
        prepared = self.job.sender.renewed(self._sent[number])
        if prepared is None:
            return False
        self._renewed.add(number)
        self._sent[number] = prepared
        self.job.run.submit(self, number, prepared)
        return True

    # ---- one page, as RESTClient.paginate does it

    def _handle(self, page: _core.Page, prepared: requests.PreparedRequest) -> None:
        number = self._next - 1
        if number in self.given:
            response: NativeResponse = GivenResponse(self.given.pop(number))
        else:
            response = NativeResponse(page, prepared, self.job.run.settings.max_body_bytes)
            self.job.sender.keep_cookies(page, prepared)
        try:
            self._check(page, response)
            if self.job.sender.options.on_content and self._asks_again(page, prepared, number):
                return
            self._select(page, response)
        except IgnoreResponseException:
            self.end()
            page.release()
            return
        except _core.Error as error:
            if error.code == "SYNTAX" and (found := html_instead(response)) is not None:
                error.args = (f"{found} ({error})",)
            raise self._error(error, prepared, number, page.attempts) from error
        except requests.HTTPError as error:
            raise self.told(error, number, prepared.url, page.attempts) from None
        self.watch.see(page, response, self.paginator, str(self.selector))
        cursor = self.job.cursor
        keep = self.job.cut(self, page) if self.job.cuts_at_once else None
        self.job.counts["pages"] += 1
        self.job.counts["records"] += page.n_records
        if self.paginator is None:
            response.show(page.shape())
            self.paginator = self.job.client.detect_paginator(response, [None] * min(page.n_records, 1))
        self._page_on(page, response, is_last=cursor is not None and cursor.closed)
        self.ready.append((page, keep))

    def _asks_again(self, page: _core.Page, prepared: requests.PreparedRequest, number: int) -> bool:
        """Whether the page holds what the configuration names as a reason to ask again: then it is on its way."""
        options = self.job.sender.options
        body = json.loads(page.body())
        met = next((one for one in options.on_content if one.meets(body)), None)
        if met is None:
            self._again.pop(number, None)
            return False
        attempts, began = self._again.get(number, (0, time.monotonic()))
        delay_ms = self.job.sender.again_ms(attempts + 1, time.monotonic() - began)
        if delay_ms is None:
            raise ResourceFailedTransient(
                f"fetch: resource `{self.job.name}`, {mask_url(prepared.url or '')}, page {number}: the answer still has what"
                f" `retry.on_content` names at `{met.text}` after {attempts + 1} attempts. Raise max_attempts or max_delay"
                " there if the API needs longer."
            )
        self._again[number] = (attempts + 1, began)
        page.release()
        self._sent[number] = prepared
        self._next = number  # its turn again; those that came behind it wait
        self.job.run.submit(self, number, prepared, delay_ms)
        return True

    def _check(self, page: _core.Page, response: NativeResponse) -> None:
        """Hooks, status and decoding. Raises what dlt's client would, or the engine's error."""
        if page.error is not None and page.error.stage == "fetch":
            raise page.error
        hooks = self.job.hooks.get("response")
        if response.has_passed_hooks:
            pass
        elif hooks is None:
            if page.status >= 400:
                self.job.client._create_response_handler()(response)  # type: ignore[call-arg]
        else:
            for hook in hooks if isinstance(hooks, (list, tuple)) else [hooks]:
                hook(response)
            if response.was_replaced:
                page.decode(response.text.encode("utf-8", "surrogatepass"))
                return
        error = page.error
        if page.encoded:
            try:
                page.decode(response.content)
            except _core.Error as undecoded:
                error = undecoded
        if (error is not None and error.code == "ENCODING") or (
            not response.is_plain_utf8 and not response.content.isascii()
        ):
            page.decode(response.text.encode("utf-8", "surrogatepass"))
        elif error is not None:
            wide = response.wide_text()
            if wide is None:
                raise error
            page.decode(wide.encode("utf-8", "surrogatepass"))
        elif not page.decoded:
            page.decode()

    def _select(self, page: _core.Page, response: NativeResponse) -> None:
        self._is_cut_out = False
        if not self.selector:
            response.show(page.shape())
            self.selector = self.job.client.detect_data_selector(response)
            jsonpath.compile_path(self.selector)  # raises what dlt would
            self.steps = selector_steps(self.selector)
            response.show(None)
        if self.steps is not None and (None not in self.steps or self._meets_array(page)):
            if not self.job.has_selector:
                page.select(self.steps)
            return
        # names, indices and [*] over arrays are the engine's; dlt's own code knows every other path
        records = self.job.client.extract_response(response, self.selector)
        page.decode(dlt_json.dumpb(records))
        page.select([])
        self._is_cut_out = True

    def _meets_array(self, page: _core.Page) -> bool:
        """Whether the selector's `[*]` stands for elements of an array on this page."""
        value = json.loads(page.shape())
        for step in self.steps or []:
            if step is None:
                return isinstance(value, list)
            if not isinstance(value, dict) or step not in value:
                return True  # inside of an array, or nothing there
            value = value[step]
        return True

    def _page_on(self, page: _core.Page, response: NativeResponse, is_last: bool) -> None:
        """The paginator's step, and the next request if there is one."""
        paginator = self.paginator
        assert paginator is not None
        response.show(page.envelope() if self._reads_envelope() else None)
        data: Any = range(page.n_records)
        if type(paginator) not in _BUILT_IN:  # may look at the records
            data = json.loads(page.project(None))
        paginator.update_state(response, data)
        paginator.update_request(self.request)
        if is_last or not paginator.has_next_page:
            if not is_last:
                self.watch.ended(page, response, paginator)
            self.end()
            return
        if type(paginator) in _AHEAD:
            self._go_ahead(response)
            return
        self._keep_credentials()
        prepared = self.job.sender.prepare(self.request)
        digest = _digest(prepared)
        if digest in self._seen:
            raise ResourceFailed(
                f"fetch: resource `{self.job.name}`, {mask_url(prepared.url or '')}, page {self._next}: the paginator repeats a"
                " request it has made before, so it would never end. Check its cursor or next link."
            )
        self._seen.add(digest)
        if self._may_go():
            self._send(prepared)
        else:
            self._held = prepared

    def _keep_credentials(self) -> None:
        """Takes them off a request whose URL a server chose and that goes to another origin."""
        url = str(self.request.url or "")
        origin = origin_of(url)
        if may_have_credentials(self._origin, origin) or self.job.sender.options.allowed_hosts:
            return
        if self.request.auth is not None or any(name.lower() in _CREDENTIALS for name in self.request.headers or {}):
            logger.warning(
                f"headrace: resource `{self.job.name}`: the next page is at {mask_url(url)}, another origin than"
                f" {self.host}: it is asked for without credentials. Name its host in network.allowed_hosts if it may have them."
            )
        self.request.auth = None
        headers = self.request.headers or {}
        self.request.headers = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}

    def _reads_envelope(self) -> bool:
        """Whether the paginator's paths end outside of the records."""
        if type(self.paginator) not in _BUILT_IN or self._is_cut_out:
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
            self._ahead = (copy_request(self.request), copy(paginator))
            limits = []
            if paginator.total_path:
                found = jsonpath.find_values(paginator.total_path, response.json())
                limits.append(int(found[0]) + paginator.base_index)
            if paginator.maximum_value is not None:
                limits.append(paginator.maximum_value)
            self._limit = min(limits) if limits else None
            self._held = self.job.sender.prepare(self.request)
        self._window = min(self._window * 2, self.job.run.settings.max_in_flight_per_host)
        self._fill_window()

    def _fill_window(self) -> None:
        assert self._ahead is not None
        request, ahead = self._ahead
        most = min(self._window, self.job.window(self.host))
        self._is_short = not self._may_go()
        if self._is_short:
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)
        while self._n_sent - self._next < most:
            value = ahead.current_value + ahead.value_step
            if self._n_sent > self._next and (
                (self._limit is not None and value >= self._limit) or self.job.run.engine.is_full()
            ):
                break
            ahead.current_value = value
            ahead.update_request(request)
            self._send(self.job.sender.prepare(request))

    def end(self) -> None:
        """No more pages: what has come beyond the last is dropped."""
        self.ended = True
        for page in self._arrived.values():
            page.release()
        self._arrived.clear()
        self._sent.clear()
        self._held = None
        self._is_short = False


class Records(list[Any]):
    """A page's records as they go to dlt: objects, or JSON text that dlt's extract writes as it is."""

    parents: list[Any] | None = None  # what native children read of them, where they are text
    size = 0  # bytes of the page


def _objects(page: _core.Page, keys: list[str] | None, keep: bytes | None, extra: bytes | None) -> list[Any]:
    """The records with these members (None: all), and what comes from their parent."""
    found: list[Any] = json.loads(page.project(keys, keep))
    if extra is not None:
        more = json.loads(extra)
        for record in found:
            record.update(more)
    return found


def _digest(prepared: requests.PreparedRequest) -> bytes:
    """What makes a request the same as another."""
    parts = (prepared.method, prepared.url, prepared.body, sorted(prepared.headers.items()))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).digest()


class Job:
    """A stream of rows of one resource, and the chains that feed it."""

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
        cursor: Cursor | None = None,
        parent_keys: list[str] | bool | None = False,
        is_selected: bool = True,
        is_mapped: bool = False,
        asks_in_python: bool = False,
        is_parallel: bool = False,
        way: Way = Way.TABLES,
        is_replaced: bool = False,
    ) -> None:
        self.run = run
        self.name = name
        self.schema_name = schema_name
        self.client = client
        self.sender = Sender(client, run.settings, asks_in_python)
        self.options = in_force(self.sender.options, run.settings)
        self.data_selector = data_selector or client.data_selector
        self.has_selector = bool(self.data_selector)
        steps = selector_steps(self.data_selector) if self.has_selector else None
        self.hooks = hooks or {}
        rows = {"batch_bytes": run.settings.batch_bytes, **stream_options}
        self.is_mapped = is_mapped  # records pass steps in Python between the stream of fetched pages and that of rows
        self.stream = run.engine.stream(selector=[] if is_mapped else steps, **rows)
        self.fetched = run.engine.stream(selector=steps, **rows) if is_mapped else self.stream
        self.items: deque[tuple[Chain, _core.Page]] = deque()  # pages for the steps
        self.is_parallel = is_parallel
        self.cursor = cursor
        # one chain may end by what its page has; the pages of several come to the cursor in the order of the rows
        self.cuts_at_once = cursor is None or not cursor.has_parent  # is_mapped: the cursor is one of the steps
        self.parent_keys = parent_keys  # that children want of each record; False: no children; None: whole records
        self.is_selected = is_selected  # or it feeds children only: its records make no rows
        self.makes_tables = is_selected and way is Way.TABLES
        self._is_of_objects = way is Way.OBJECTS
        self._records: deque[Records] = deque()  # pages that leave as records
        self._records_bytes = 0
        self._changed = threading.Condition(run.lock)  # records, error, finished
        self.parents: deque[Any] = deque()
        self.tags: dict[int, tuple[str, int]] = {}
        self.counts = {"requests": 0, "pages": 0, "bytes": 0, "records": 0, "rows": 0}
        self.warnings: list[str] = []
        self.skipped: list[Skipped] = []
        self.is_skipped = False  # the whole of it, from some page on
        self.is_replaced = is_replaced
        self.error: BaseException | None = None
        self.empty = True
        self._chains: deque[Chain] = deque()
        self._waiting: deque[Callable[[], Chain]] = deque()  # chains not yet started
        self.is_closed = False  # no more chains come
        self._finished = False

    def add(self, chains: Iterable[Callable[[], Chain]]) -> None:
        """Takes chains; as many run at once as their host may be asked."""
        with self.run.lock:
            self._waiting.extend(chains)
            self.advance()

    def say(self, text: str) -> None:
        """Tells that pages seem to be missing. Raises where the configuration wants it."""
        text = f"resource `{self.name}`, {text}"
        if self.options.on_incomplete == "raise":
            raise ResourceFailed(f"fetch: {text}. If that is right, set on_incomplete to `warn` for this endpoint.")
        if len(self.warnings) < _LOGGED_WARNINGS:
            logger.warning(f"headrace: {text}")
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(text)

    def window(self, host: str) -> int:
        """How many requests this resource may make of a host at once."""
        allowed = self.run.window(host)
        return min(allowed, session_width(self.is_parallel)) if self.sender.in_python else allowed

    def is_behind(self) -> bool:
        """Whether more pages would only wait."""
        held = self._records_bytes > 2 * self.run.settings.batch_bytes
        return held or self.stream.is_behind() or len(self.items) >= _MOST_ITEMS

    @property
    def is_idle(self) -> bool:
        """Whether all chains have come to their end."""
        return not self._waiting and not self._chains

    def finish(self) -> None:
        """No more chains come."""
        with self.run.lock:
            self.is_closed = True
            self.advance()

    def is_first(self, chain: Chain) -> bool:
        """Whether the chain's pages are the next to be accepted."""
        return not self._chains or self._chains[0] is chain

    def advance(self) -> None:
        """Accepts what is next in order, starts chains that may run. The run's lock is held."""
        if self.error is not None:
            return
        while True:
            while self._chains:
                head = self._chains[0]
                while head.ready:
                    self._accept(head, *head.ready.popleft())
                if not head.ended:
                    break
                self._chains.popleft()
            if not self._start_next():
                break
        for chain in self._chains:
            chain.resume()
        if self.is_closed and self.is_idle and not self.is_mapped:
            self.finish_rows()

    def finish_rows(self) -> None:
        """No more rows come. The run's lock is held, or nobody else gives rows."""
        if not self._finished:
            self._finished = True
            self.stream.finish()
            with self._changed:
                self._changed.notify_all()

    def end_chains(self) -> None:
        """No more pages are wanted: a step has said so."""
        with self.run.lock:
            self.is_closed = True
            self._waiting.clear()
            for chain in self._chains:
                chain.end()
            self._chains.clear()
            self.items.clear()

    def next_item(self) -> tuple[list[Any], tuple[str | None, int | None]] | None:
        """The next page's records for the steps in Python, and where they are from; None: none yet."""
        with self.run.lock:
            if self.error is not None or not self.items:
                return None
            chain, page = self.items.popleft()
            self.advance()  # there is room for another
        records = _objects(page, None, None, chain.extra)
        origin = self.tags.get(page.tag, (None, None))
        page.release()
        return records, origin

    def feed(self, records: list[Any], origin: tuple[str | None, int | None]) -> None:
        """Gives records that have passed the steps to the workers. Order of calls is order of rows."""
        if not records:
            return
        tag = self.run.new_tag()
        self.tags[tag] = origin  # type: ignore[assignment]
        self.counts["rows"] += len(records)
        self.empty = False
        if isinstance(self.parent_keys, list):
            wanted = set(self.parent_keys)
            self.parents.extend(
                {k: v for k, v in r.items() if k in wanted} if isinstance(r, dict) else r for r in records
            )
        elif self.parent_keys is None:
            self.parents.extend(records)
        self.stream.feed(tag, dlt_json.typed_dumpb(records))

    def _start_next(self) -> bool:
        if not self._waiting or self.is_behind():
            return False
        if self._chains and (len(self._chains) >= self.window(self._chains[0].host) or self.run.engine.is_full()):
            return False
        chain = self._waiting.popleft()()
        self._chains.append(chain)
        try:
            chain.start()
        except Exception as error:
            self.failed(chain, error)
        return True

    def cut(self, chain: Chain, page: _core.Page) -> bytes | None:
        """Which of the page's records stay by the incremental: a byte each; None: all."""
        return self.cursor.cut(page, chain.extra) if self.cursor is not None else None

    def _accept(self, chain: Chain, page: _core.Page, keep: bytes | None) -> None:
        if self.is_mapped:
            self.items.append((chain, page))
            return
        if not self.cuts_at_once:
            keep = self.cut(chain, page)
        self.counts["rows"] += page.n_records if keep is None else keep.count(1)
        if page.n_records == 0 or (keep is not None and not any(keep)):
            self.empty = self.empty and page.n_records == 0
            page.release()
            return
        self.empty = False
        found = None
        if self.parent_keys is not False:
            found = _objects(page, self.parent_keys, keep, chain.extra)  # type: ignore[arg-type]
        if self.makes_tables:
            self.parents.extend(found or ())
            self.stream.accept(page, keep, chain.extra)
            return
        if self._is_of_objects:
            records = Records(_objects(page, None, keep, chain.extra))
        elif self.is_selected:
            records = Records(map(Fragment, self._texts(page, keep, chain.extra)))
            records.parents = found
        else:
            records = Records(found or ())
        records.size = page.size
        self._records_bytes += records.size
        self._records.append(records)
        self._changed.notify_all()
        page.release()

    def _texts(self, page: _core.Page, keep: bytes | None, extra: bytes | None) -> list[bytes]:
        try:
            return page.texts(keep, extra)
        except _core.Error as error:
            raise self._error(error, page.tag) from error

    def _error(self, error: _core.Error, tag: int) -> Exception:
        url, number = self.tags.get(tag, (None, None))
        return page_error(error, resource=self.name, schema_name=self.schema_name, url=url, page=number)

    def failed(self, chain: Chain, error: BaseException) -> None:
        """A page of the chain failed: the run ends with it, or goes on without what `on_error` leaves out."""
        way = self.options.on_error
        if way == "skip_resource" and self.is_replaced and may_skip(error) and hasattr(error, "add_note"):
            error.add_note("on_error: skip_resource is not done with write_disposition `replace`: rows would be lost")
        is_parent = way == "skip_parent" and chain.parent is not None
        if not may_skip(error) or not (is_parent or (way == "skip_resource" and not self.is_replaced)):
            self.fail(error)
            return
        if len(self.skipped) >= MOST_SKIPPED:
            self.fail(
                ResourceFailed(f"fetch: resource `{self.name}`: more than {MOST_SKIPPED} parents failed, now: {error}")
            )
            return
        found = skipped(chain.parent if is_parent else None, mask_url(chain.url), error)
        self.skipped.append(found)
        if len(self.skipped) <= _LOGGED_WARNINGS:
            what = f"parent {found['parent']}" if is_parent else "the rest of it"
            logger.warning(f"headrace: resource `{self.name}`: {what} is left out: {found['error']}")
        if is_parent:
            chain.end()
        else:
            self.is_skipped = True
            self.end_chains()

    def fail(self, error: BaseException) -> None:
        """Remembers the first error; the generator raises it."""
        with self._changed:
            if self.error is None:
                self.error = error
                self.stream.finish()
                self._changed.notify_all()

    def stop(self) -> None:
        """Drops what is under way: nobody waits for it any more."""
        with self.run.lock:
            self._waiting.clear()
            if not self._finished:
                self.fail(ResourceFailed(f"run: resource `{self.name}` was stopped"))

    def next(self, timeout_ms: int) -> list[_core.TableBatch] | Records | bool | None:
        """The next rows or records; False: none yet; None: that was all. Raises the first error of a page."""
        leaves_rows = self.makes_tables or self.is_mapped
        found = self._next_rows(timeout_ms) if leaves_rows else self._next_records(timeout_ms)
        if found is None:
            if self.error is not None:
                raise self.error
            stats = self.run.engine.stats()
            logger.info(f"headrace: resource `{self.name}`: {self.counts}, {stats}")
            if stats["throttled_ms"] >= 1000:
                logger.info(f"headrace: throttled for {stats['throttled_ms'] / 1000:.1f} s by rate limits and pauses")
        else:  # also when time ran out: rows that were being taken may have held pages back
            with self.run.lock:
                self.advance()  # pages that were held back until these were taken
        return found

    def _next_rows(self, timeout_ms: int) -> list[_core.TableBatch] | bool | None:
        if self.error is not None:
            raise self.error
        try:
            return self.stream.next_batch(timeout_ms)
        except _core.Error as error:
            if self.error is not None:
                raise self.error from error
            raise self._error(error, error.tag) from error

    def _next_records(self, timeout_ms: int) -> Records | bool | None:
        with self._changed:
            if not self._records and not self._finished and self.error is None:
                self._changed.wait(timeout_ms / 1000)
            if self.error is not None:
                raise self.error
            if not self._records:
                return None if self._finished else False
            records = self._records.popleft()
            self._records_bytes -= records.size
            return records
