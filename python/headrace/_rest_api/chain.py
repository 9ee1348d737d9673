"""The pages of one pagination: what is asked for next, and each answer in its order."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from dlt.common import jsonpath, logger
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
from headrace._rest_api.completeness import Watch, html_instead
from headrace._rest_api.early import early_arguments, foreseen_request
from headrace._rest_api.native_pages import NativePages, native_pages
from headrace._rest_api.numbered import NumberedLinks, limit_of, numbered_links
from headrace._rest_api.reader import Reader
from headrace._rest_api.request import (
    CREDENTIALS,
    GivenResponse,
    NativeResponse,
    copy_request,
    origin_of,
    without_credentials,
)
from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_error, mask_url, page_error

if TYPE_CHECKING:
    from headrace._rest_api.job import Job

_AHEAD = (OffsetPaginator, PageNumberPaginator)  # their next request is known before the answer
_BUILT_IN = (
    SinglePagePaginator,
    HeaderLinkPaginator,
    HeaderCursorPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    *_AHEAD,
)
_FIRST_WINDOW = 2


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
        self.reader = Reader(job)
        self.ready: deque[tuple[_core.Page, bytes | None]] = deque()  # handled, to be accepted at the chain's turn
        self.ended = False
        self.host = self.url = ""  # of the first request
        self.given: dict[int, requests.Response] = {}  # answers of a session of the user's, by number
        self.read: dict[int, Exception | None] = {}  # pages decoded by the endpoint's format, or why not, by number
        self._arrived: dict[int, _core.Page] = {}
        self._next = 0  # number of the page to be handled next
        self._sent: dict[int, requests.PreparedRequest] = {}
        # the furthest request made ahead
        self._ahead: tuple[requests.Request, RangePaginator | NumberedLinks] | None = None
        self._is_unforeseen = False  # a link led to another page than those before it
        self._n_dropped = 0  # numbers of pages that were asked for and are none of the chain's
        self._n_sent = 0
        self._window = _FIRST_WINDOW
        self._renewed: set[int] = set()  # pages that were asked for again with another token
        self._limit: int | None = None  # of the paginator's value
        self._seen: set[bytes] = set()
        self._held: requests.PreparedRequest | None = (
            None  # not sent: memory is full and it is not this chain's turn, or rows wait
        )
        self.watch = Watch(job.name, job.options, job.say, self.reader)
        self._is_short = False  # fewer are sent ahead than the window allows, for the same reason
        self.early: dict[str, Any] | None = None  # what shall come early of each page; None: not looked at yet
        self._came_early: dict[int, bytes] = {}  # by number of the page, until its turn
        self._again: dict[
            int, tuple[int, float]
        ] = {}  # attempts and first time of pages asked for again for what they hold
        self.origin = ("", "")  # of the first request
        self._native: NativePages | None = None  # the engine asks for the pages
        self._is_native_held = False  # until the page at hand is accepted

    @property
    def n_sent(self) -> int:
        """Pages asked for so far."""
        return self._n_sent

    def start(self) -> None:
        """Makes the first request."""
        if self.paginator:
            self.paginator.init_request(self.request)
        prepared = self._prepare()
        self._seen.add(_digest(prepared))
        self._send(prepared)

    def _prepare(self) -> requests.PreparedRequest:
        """The first request; from now on it is known where the chain asks."""
        prepared = self.job.sender.prepare(self.request)
        self.url = prepared.url or ""
        self.host = urlsplit(self.url).netloc
        self.origin = origin_of(self.url)
        return prepared

    def stream(self, number: int) -> _core.Stream:
        """Which stream's rules the answer is decoded by."""
        return self.job.fetched

    @property
    def is_waiting(self) -> bool:
        """Whether it stands in its place but has not started."""
        return False

    def resume(self) -> None:
        """Sends what was held back, if it may go now."""
        if self._native is not None:
            self._go_on_natively(self._native)
            return
        if not self._may_go():
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)
        elif self._is_short:
            self._fill_window()

    def _go_on_natively(self, native: NativePages) -> None:
        """Lets the engine go on, once what it gave to us is dealt with."""
        if not self._is_native_held:
            native.count()
            native.pager.poke()
            return
        if self.ready:
            return
        self._is_native_held = False
        prepared = self.job.sender.prepare(self.request)
        if native.is_still(prepared, self._next):
            native.pager.resume()
            return
        # an answer has changed what is sent (a cookie): what is under way comes to us
        assert isinstance(self.paginator, RangePaginator)
        self._native = None
        self._n_sent = native.count()["n_sent"]
        for number in range(self._next, self._n_sent):
            self._sent[number] = native.request_of(number)
        ahead = copy(self.paginator)
        ahead.current_value = native.value_of(self._n_sent - 1)
        self._ahead = (copy_request(self.request), ahead)
        native.pager.pass_on()
        self._fill_window()

    def _may_go(self) -> bool:
        """Whether what comes next in this chain may be asked for: its turn or memory is left, and its rows are taken."""
        return (self.job.is_first(self) or not self.job.run.engine.is_full()) and not self.job.is_behind()

    def _send(self, prepared: requests.PreparedRequest) -> None:
        number = self._n_sent
        self._n_sent += 1
        self._sent[number] = prepared
        if self.early is None and self.paginator is not None:
            self.early = early_arguments(self) if type(self) is Chain else {}
        try:
            self.job.run.submit(self, number, prepared)
        except _core.Error as error:
            raise self._error(error, prepared, number) from error

    def _give(self, prepared: requests.PreparedRequest, body: bytes) -> None:
        """The next page, whose bytes are here."""
        number = self._n_sent
        self._n_sent += 1
        self._sent[number] = prepared
        self.job.run.submit_answer(self, number, prepared, body)

    def _error(
        self, error: _core.Error, prepared: requests.PreparedRequest, number: int, attempts: int = 1
    ) -> Exception:
        job = self.job
        is_once = attempts == 1 and job.sender.is_made_once(str(prepared.method))
        return page_error(
            error,
            resource=job.name,
            schema_name=job.schema_name,
            url=prepared.url,
            page=self.name_of(number) if number >= 0 else None,
            attempts=attempts,
            kind=job.format.kind,
            once=prepared.method if is_once else None,
        )

    def arrive(self, number: int, page: _core.Page) -> None:
        """Takes a page, handles those that are next."""
        if self._native is None and number < self._next:  # asked for ahead, and none of the chain's
            self.read.pop(number, None)
            page.release()
            return
        if self._native is not None:
            self._native.take_over(number)
            self._next = number
            self._sent[number] = self._native.request_of(number)
        if page.status == 401 and self._asks_with_new_token(number):
            page.release()
            return
        self._arrived[number] = page
        while not self.ended and self._next in self._arrived:
            page = self._arrived.pop(self._next)
            prepared = self._sent.pop(self._next)
            self._next += 1
            self._handle(page, prepared)

    def foresee(self, number: int, value: bytes) -> None:
        """Asks for the page behind this one, of which so much has come. What fails is told when the whole page is there."""
        if number != self._next:
            self._came_early[number] = value
            return
        if number != self._n_sent - 1 or not self.early or not self._may_go():
            return
        with suppress(Exception):
            prepared = foreseen_request(self, copy(self.paginator), self.early, value)  # type: ignore[arg-type]
            if prepared is not None and _digest(prepared) not in self._seen:
                try:
                    self._send(prepared)
                except Exception:
                    self._n_sent -= 1
                    del self._sent[self._n_sent]
                    raise

    def _look_ahead(self, digest: bytes) -> None:
        """Holds what was asked for early against the request that is really next."""
        ahead = self._sent.get(self._next)
        if ahead is not None and self._ahead is None and _digest(ahead) != digest:
            self._drop_ahead()

    def name_of(self, number: int) -> int:
        """What a page that is asked for now is called in messages: its number among the chain's pages."""
        return number - self._n_dropped

    def told(self, error: BaseException, number: int, url: str | None = None, attempts: int = 1) -> BaseException:
        """The error of a page without secrets, with its place in a note."""
        if isinstance(error, requests.RequestException):
            mask_error(error)
        if hasattr(error, "add_note"):  # Python 3.11
            tried = f" ({attempts} attempts)" if attempts > 1 else ""
            prepared = self._sent.get(number)
            where = mask_url(url or (prepared.url if prepared else "") or "")
            page = f", page {self.name_of(number)}" if number >= 0 else ""  # else it was no page that was asked for
            error.add_note(f"fetch: resource `{self.job.name}`, {where}{page}{tried}")
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

    def _response(self, number: int, page: _core.Page, prepared: requests.PreparedRequest) -> NativeResponse:
        if number in self.given:
            return GivenResponse(self.given.pop(number))
        self.job.sender.keep_cookies(page, prepared)
        return NativeResponse(page, prepared, self.job.run.settings.max_body_bytes)

    def _handle(self, page: _core.Page, prepared: requests.PreparedRequest) -> None:
        number = self._next - 1
        response = self._response(number, page, prepared)
        try:
            self.reader.check(page, response, number in self.read, self.read.pop(number, None))
            if self.job.sender.options.on_content and self._asks_again(page, response, prepared, number):
                return
            self.reader.select(page, response)
        except IgnoreResponseException:
            self.end()
            page.release()
            return
        except _core.Error as error:
            expected = self.job.format.kind
            if error.code == "SYNTAX" and (found := html_instead(response, expected)) is not None:
                error.args = (f"{found} ({error})",)
            raise self._error(error, prepared, number, page.attempts) from error
        except requests.HTTPError as error:
            raise self.told(error, number, prepared.url, page.attempts) from None
        self.watch.see(page, response, self.paginator, str(self.reader.selector))
        cursor = self.job.cursor
        keep = self.job.cut(self, page) if self.job.cuts_at_once else None
        self.job.counts["pages"] += 1
        self.job.counts["records"] += page.n_records
        if self.paginator is None:
            response.show(page.shape())
            self.paginator = self.job.client.detect_paginator(response, [None] * min(page.n_records, 1))
        self._page_on(page, response, is_last=cursor is not None and cursor.closed)
        self.ready.append((page, keep))

    def _asks_again(
        self, page: _core.Page, response: NativeResponse, prepared: requests.PreparedRequest, number: int
    ) -> bool:
        """Whether the page holds what the configuration names as a reason to ask again: then it is on its way."""
        options = self.job.sender.options
        body = json.loads(page.body()) if self.job.format.is_json else response.json()
        met = next((one for one in options.on_content if one.meets(body)), None)
        if met is None:
            self._again.pop(number, None)
            return False
        attempts, began = self._again.get(number, (0, time.monotonic()))
        delay_ms = self.job.sender.again_ms(attempts + 1, time.monotonic() - began)
        if delay_ms is None:
            raise ResourceFailedTransient(
                f"fetch: resource `{self.job.name}`, {mask_url(prepared.url or '')}, page {self.name_of(number)}: the answer still"
                f" has what `retry.on_content` names at `{met.text}` after {attempts + 1} attempts. Raise max_attempts or max_delay"
                " there if the API needs longer."
            )
        self._again[number] = (attempts + 1, began)
        page.release()
        self._sent[number] = prepared
        self._next = number  # its turn again; those that came behind it wait
        self.job.run.submit(self, number, prepared, delay_ms)
        return True

    def _page_on(self, page: _core.Page, response: NativeResponse, is_last: bool) -> None:
        """The paginator's step, and the next request if there is one."""
        paginator = self.paginator
        assert paginator is not None
        response.show(page.envelope() if type(paginator) in _BUILT_IN and self.reader.is_outside(paginator) else None)
        data: Any = range(page.n_records)
        if type(paginator) not in _BUILT_IN:  # may look at the records
            data = json.loads(page.project(None))
        try:
            paginator.update_state(response, data)
            paginator.update_request(self.request)
        except Exception as error:
            if type(paginator) in _BUILT_IN and isinstance(error, (AttributeError, TypeError)):
                raise self._unreadable(error, paginator, response) from error
            self.told(error, self._next - 1, response.url)
            raise
        if is_last or not paginator.has_next_page:
            if not is_last:
                self.watch.ended(page, response, paginator)
            self.end()
            return
        if type(paginator) in _AHEAD:
            self._go_ahead(page, response)
            return
        self._keep_credentials()
        prepared = self.job.sender.prepare(self.request)
        digest = _digest(prepared)
        if digest in self._seen:
            raise ResourceFailed(
                f"fetch: resource `{self.job.name}`, {mask_url(prepared.url or '')}, page {self.name_of(self._next)}: the"
                " paginator repeats a request it has made before, so it would never end. Check its cursor or next link."
            )
        self._seen.add(digest)
        self._look_ahead(digest)
        is_plain = type(paginator) is HeaderLinkPaginator and prepared.method == "GET"
        if is_plain and not self.job.sender.in_python:
            self._follow_link(prepared, response)
        elif self._next in self._sent:
            pass
        elif self._may_go():
            self._send(prepared)
        else:
            self._held = prepared
        if (early := self._came_early.pop(self._next, None)) is not None and self._next not in self._arrived:
            self.foresee(self._next, early)

    def _unreadable(self, error: Exception, paginator: BasePaginator, response: NativeResponse) -> ResourceFailed:
        """Of a value by which dlt's paginator cannot go on, such as a number in place of a link."""
        path = getattr(paginator, "next_url_path", None) or getattr(paginator, "cursor_path", None)
        found = jsonpath.find_values(path, response.json()) if path is not None else []
        what = f"expected a URL at `{path}`, found {json.dumps(found[0])[:80]}" if found else str(error)
        return ResourceFailed(
            f"fetch: resource `{self.job.name}`, {mask_url(response.url or '')}, page {self.name_of(self._next - 1)}:"
            f" {what}, so `{type(paginator).__name__}` cannot go on. Check its path, or take another paginator."
        )

    def _follow_link(self, prepared: requests.PreparedRequest, response: NativeResponse) -> None:
        """Asks for the next page, unless that was done before; where links are numbered up to a last one, for those behind it.
        Each page's own link says whether the next is the one that was asked for.
        """
        ahead = self._sent.get(self._next)
        if ahead is not None and (ahead.url, ahead.body) != (prepared.url, prepared.body):
            self._drop_ahead()
            ahead = None
        if ahead is None:
            self._held = prepared
        links = None if self._is_unforeseen else numbered_links(response, str(self.request.url))
        if links is not None:
            self._limit = links.last + 1
            if self._ahead is None:
                self._ahead = (copy_request(self.request), links)
        if self._ahead is not None:
            self._window = min(self._window * 2, self.job.run.settings.max_in_flight_per_host)
            self._fill_window()
        elif ahead is None and self._may_go():
            self._held = None
            self._send(prepared)

    def _drop_ahead(self) -> None:
        """Forgets pages that were asked for ahead: the next is another, and none is asked for ahead any more."""
        for page in self._arrived.values():
            page.release()
        self._arrived.clear()
        self._sent.clear()
        self._came_early.clear()
        self._n_dropped += self._n_sent - self._next
        self._next = self._n_sent
        self._ahead = None
        self._is_short = False
        self._is_unforeseen = True

    def _keep_credentials(self) -> None:
        """Takes them off a request whose URL a server chose and that goes to another origin."""
        url = str(self.request.url or "")
        if self.job.sender.may_have_credentials(self.origin, url):
            return
        if self.request.auth is not None or any(name.lower() in CREDENTIALS for name in self.request.headers or {}):
            logger.warning(
                f"headrace: resource `{self.job.name}`: the next page is at {mask_url(url)}, another origin than"
                f" {self.host}: it is asked for without credentials. Name its host in network.allowed_hosts if it may have them."
            )
        without_credentials(self.request)

    def _go_ahead(self, page: _core.Page, response: NativeResponse) -> None:
        """Keeps a window of requests in flight whose pages are known beforehand; the paginator still says when to stop."""
        if self._native is not None:
            self._is_native_held = True
            return
        paginator = self.paginator
        assert isinstance(paginator, RangePaginator)
        if self._ahead is None:
            self._ahead = (copy_request(self.request), copy(paginator))
            limits = []
            if paginator.total_path:
                found = jsonpath.find_values(paginator.total_path, response.json())
                limits.append(int(found[0]) + paginator.base_index)
            elif (seen := limit_of(paginator, response, page.n_records, self.watch.total)) is not None:
                limits.append(seen)
            if paginator.maximum_value is not None:
                limits.append(paginator.maximum_value)
            self._limit = min(limits) if limits else None
            self._held = self.job.sender.prepare(self.request)
            if type(self) is Chain:  # others have rules of their own
                self._native = native_pages(self, page, response, self._held, self._limit)
            if self._native is not None:
                self._is_native_held = True
                self._held = None
                return
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
        self.drop_native()
        for page in self._arrived.values():
            page.release()
        self._arrived.clear()
        self._sent.clear()
        self._came_early.clear()
        self._held = None
        self._is_short = False

    def drop_native(self) -> None:
        """Lets the engine ask for no more pages, and drops those under way."""
        if self._native is not None:
            self._native.pager.drop()
            self._native.count()
            self._native = None


def _digest(prepared: requests.PreparedRequest) -> bytes:
    """What makes a request the same as another."""
    parts = (prepared.method, prepared.url, prepared.body, sorted(prepared.headers.items()))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).digest()
