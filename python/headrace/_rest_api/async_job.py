"""`job` of an endpoint: its request creates a job, which is asked for its state until it is done; then its results are fetched.

    create -> poll, poll, ... -> a chain of pages for each result, in order

docs/more-than-get.md describes the keys.
"""

from __future__ import annotations

import email.utils
import json
import time
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from dlt.common import jsonpath, logger
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.helpers.rest_client.utils import join_url

from headrace import _core
from headrace._rest_api.chain import Chain
from headrace._rest_api.job_rules import FIELD, Place
from headrace._rest_api.request import NativeResponse, without_credentials
from headrace.exceptions import ResourceFailed, ResourceFailedTransient, mask_text, mask_url

if TYPE_CHECKING:
    from headrace._rest_api.job import Job

_LOCATIONS = ("Operation-Location", "Location", "Content-Location")
_CONTROL = -1  # number of the request that is no page: it creates the job or asks for its state
_MOST_RESULTS = 100_000  # of a job
_MOST_CONTROL = 16 << 20  # bytes of such an answer
_SHOWN = 300  # characters of what a job says


class JobChain(Chain):
    """Creates a job and asks for its state; its results are chains of their own that stand behind it."""

    def __init__(
        self, job: Job, request: requests.Request, paginator: BasePaginator | None, extra: bytes | None
    ) -> None:
        super().__init__(job, request, paginator, extra)
        rules = job.options.job
        assert rules is not None
        self._rules = rules
        self._created: Any = None  # answer to the first request
        self._began = time.monotonic()
        self._wait_s = rules.every_s
        self._state = "just created"
        self._n_asked = 0  # questions for its state

    def start(self) -> None:
        """Creates the job."""
        self._ask(self._prepare())

    def stream(self, number: int) -> _core.Stream:
        """Answers that are no pages stay as they are."""
        return self.job.control if number == _CONTROL else super().stream(number)

    def _ask(self, prepared: requests.PreparedRequest, delay_ms: int = 0) -> None:
        self._sent[_CONTROL] = prepared
        self.job.run.submit(self, _CONTROL, prepared, delay_ms)

    def arrive(self, number: int, page: _core.Page) -> None:
        """Takes an answer of the job, or the page that has its result."""
        if number != _CONTROL:
            super().arrive(number, page)
            return
        if page.status != 401 or not self._asks_with_new_token(number):
            self._follow(page)
        page.release()

    def _follow(self, page: _core.Page) -> None:
        """Does what an answer of the job says is next."""
        prepared = self._sent[_CONTROL]
        response = self._response(_CONTROL, page, prepared)
        if page.error is not None:
            raise self._error(page.error, prepared, _CONTROL, page.attempts)
        try:
            if response.status_code >= 400:
                self.job.client._create_response_handler()(response)  # type: ignore[call-arg]
        except requests.HTTPError as error:
            raise self.told(error, _CONTROL, prepared.url, page.attempts) from None
        self._renewed.discard(_CONTROL)
        answer = self._answer(response)
        if self._n_asked == 0:
            self._created = answer
        if not self._is_done(response, answer):
            self._poll(response, answer)
        elif self._rules.download is None:
            self._take(prepared, response)
        else:
            self._download(response, answer)

    def _where(self, url: str | None) -> str:
        return f"fetch: resource `{self.job.name}`, {mask_url(url or '')}"

    def _answer(self, response: NativeResponse) -> Any:
        body = response.content
        if len(body) > _MOST_CONTROL and self._rules.download is not None:
            raise ResourceFailed(
                f"{self._where(response.url)}: expected the state of a job, found {len(body)} bytes, more than"
                f" {_MOST_CONTROL}. If that answer has the records itself, leave out `job.download`."
            )
        try:
            return json.loads(body) if body.strip() else None
        except ValueError as error:
            raise ResourceFailed(
                f"{self._where(response.url)}: expected the state of a job as JSON, found {mask_text(repr(body[:60]))}: {error}. Check where"
                " `job.status` leads."
            ) from None

    def _is_done(self, response: NativeResponse, answer: Any) -> bool:
        """Whether the job has ended well. Raises what it says if it has failed."""
        rules = self._rules
        found = jsonpath.find_values(rules.state, answer) if answer is not None else []
        if found:
            self._state = str(found[0])
        state = self._state.lower() if found else ""
        if state in rules.failed:
            told = jsonpath.find_values(rules.error, answer) if rules.error else [answer]
            raise ResourceFailed(
                f"{self._where(response.url)}: the job ended in state `{self._state}` after"
                f" {time.monotonic() - self._began:.0f} s: {_shown(told[0] if told else answer)}"
            )
        if rules.done:
            return state in rules.done
        return self._n_asked > 0 and response.status_code != 202

    def _poll(self, response: NativeResponse, answer: Any) -> None:
        rules = self._rules
        used = time.monotonic() - self._began
        wait = _retry_after(response.headers.get("Retry-After"))
        if wait is None:
            wait = self._wait_s
            self._wait_s = min(self._wait_s * 2, rules.max_s)
        if used + wait > rules.timeout_s:
            raise ResourceFailedTransient(
                f"{self._where(response.url)}: the job is in state `{self._state}` after {used:.0f} s and {self._n_asked}"
                f" questions, and would be asked again in {wait:g} s. Raise job.poll.timeout ({rules.timeout_s:g} s) if it needs"
                " longer, or name the state under job.done or job.failed."
            )
        if self._n_asked == 0:
            url = self._urls(rules.status, response, answer, "job.status")[0]
            self.request = self._request(url)
        self._n_asked += 1
        self._ask(self.job.sender.prepare(self.request), int(wait * 1000))

    def _urls(self, place: Place, response: NativeResponse, answer: Any, key: str) -> list[str]:
        """Where to go, by the last answer and the first."""
        base = response.url or self.url
        if place.path is not None:
            path = FIELD.sub(
                lambda field: quote(str(self._field(field[1], answer, response, key)), safe=""), place.path
            )
            return [
                path if path.startswith(("http://", "https://")) else join_url(self.job.client.base_url or "", path)
            ]
        if place.url is None:
            for name in _LOCATIONS:
                if name in response.headers:
                    return [urljoin(base, response.headers[name])]
            raise ResourceFailed(
                f"{self._where(response.url)}: expected a Location header of the job, found none: set `{key}.path` or `.url`"
            )
        found = jsonpath.find_values(place.url, answer if answer is not None else {})
        if not found and "[*]" in place.url:  # of an empty list
            found = jsonpath.find_values(place.url.partition("[*]")[0], answer if answer is not None else {})
        urls = found[0] if len(found) == 1 and isinstance(found[0], list) else found
        is_none = not urls and (not found or key != "job.download")
        if is_none or not all(isinstance(url, str) and url for url in urls):
            shown = _shown(urls, 100) if found else f"nothing in {_shown(answer)}"
            raise ResourceFailed(
                f"{self._where(response.url)}: expected URLs at `{key}.url` ({place.url}), found {shown}. Check the path."
            )
        if len(urls) > _MOST_RESULTS:
            raise ResourceFailed(
                f"{self._where(response.url)}: a job of {len(urls)} results, more than {_MOST_RESULTS}: have"
                " `job.create` ask for fewer and larger ones"
            )
        return [urljoin(base, url) for url in urls]

    def _field(self, path: str, answer: Any, response: NativeResponse, key: str) -> Any:
        for one in (answer, self._created):
            found = jsonpath.find_values(path, one) if one is not None else []
            if found and found[0] is not None and not isinstance(found[0], (dict, list)):
                return found[0]
        raise ResourceFailed(
            f"{self._where(response.url)}: expected a value at `{path}` for `{key}.path`, found none in {_shown(answer)}."
            " Check the name in braces."
        )

    def _request(self, url: str) -> requests.Request:
        """A GET like the first request, without what does not belong to another origin."""
        first = self.job.client
        made = requests.Request(
            "GET", url, headers=dict(first.headers or {}), auth=self.request.auth, hooks=self.request.hooks
        )
        return made if self.job.sender.may_have_credentials(self.origin, url) else without_credentials(made)

    def _take(self, prepared: requests.PreparedRequest, response: NativeResponse) -> None:
        """The answer that says that the job is done has the records."""
        self.given[self.n_sent] = response
        self._give(prepared, response.content)

    def _download(self, response: NativeResponse, answer: Any) -> None:
        assert self._rules.download is not None
        urls = self._urls(self._rules.download, response, answer, "job.download")
        logger.info(f"headrace: resource `{self.job.name}`: the job is done, {len(urls)} results are fetched")
        chains: list[Chain] = []
        for url in urls:
            chain = Download(self.job, self._request(url), deepcopy(self.paginator), self.extra)
            chain.parent = self.parent
            chain.host = urlsplit(url).netloc  # whose window says when it may start
            chains.append(chain)
        self.job.add_behind(self, chains)
        self.end()


class Download(Chain):
    """A job's result; it starts when its turn comes near."""

    @property
    def is_waiting(self) -> bool:
        """Whether it has not started."""
        return not self._is_started

    _is_started = False

    def resume(self) -> None:
        """Starts it, or sends what was held back."""
        if self._is_started:
            super().resume()
        elif self._may_go():
            self._is_started = True
            self.job.start(self)


def _shown(value: Any, most: int = _SHOWN) -> str:
    """What a job says, for an error: its answers have signed URLs."""
    return mask_text(value if isinstance(value, str) else json.dumps(value, default=str))[:most]


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), at most an hour."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(min(int(value), 3600))
    try:
        at = email.utils.parsedate_to_datetime(value)
        return min(max(at.timestamp() - time.time(), 0.0), 3600.0)
    except (TypeError, ValueError, OverflowError):
        return None
