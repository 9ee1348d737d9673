"""The pages of a chain that the engine asks for and accepts by itself (src/run/pager.c), and how Python takes its place.

For dlt's page_number and offset paginators, from the second page on, as long as pages are ordinary: then no page costs a
Python object. Any other page comes to the chain as if it had asked for it; what the engine did meanwhile is counted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlt.sources.helpers.rest_client.paginators import OffsetPaginator, PageNumberPaginator, RangePaginator

from headrace import _core
from headrace._rest_api.completeness import is_error_key
from headrace._rest_api.request import NativeResponse, Ready, selector_steps

if TYPE_CHECKING:
    import requests

    from headrace._rest_api.chain import Chain

TAG_BITS = 40  # of a tag are the page's number, those above the pager's
_ODD_VALUE = 7_193_245_801  # stands in a URL at one place only
_FAR = 1 << 62  # no number of a page that the engine counts with
_COUNTED = ("requests", "pages", "bytes", "records")


class NativePages:
    """One chain's pager in the engine. `take_over` and `leave` are how the chain gets to its state."""

    def __init__(
        self, chain: Chain, page: _core.Page, like: Ready, ends: tuple[str, str], number: int, options: dict[str, Any]
    ) -> None:
        self.chain = chain
        self._like = like
        self._ends = ends  # of the URL, around the number
        self._number = number
        self._value: int = options["value"]
        self._step: int = options["step"]
        self._counted = dict.fromkeys(_COUNTED, 0)
        self._n_told = 0  # pages that the chain's watch knows of
        self._n_records_told = 0
        job = chain.job
        base = job.run.new_pager(self) << TAG_BITS
        self.pager = _core.Pager(
            stream=job.stream,
            tag=base,
            route=like.route,
            method=like.method or "GET",
            headers=like.sent,
            first=page,
            before=ends[0],
            after=ends[1],
            number=number,
            window=job.run.window_of(chain.host),
            max_window=job.run.settings.max_in_flight_per_host,
            **options,
        )

    def value_of(self, number: int) -> int:
        """What the URL of a page says."""
        return self._value + (number - self._number) * self._step

    def url_of(self, number: int) -> str:
        """The URL of a page."""
        return f"{self._ends[0]}{self.value_of(number)}{self._ends[1]}"

    def request_of(self, number: int) -> Ready:
        """A page's request, as it was sent."""
        ready = Ready(self._like, self._like.route, self._like.sent)
        ready.url = self.url_of(number)
        return ready

    def is_still(self, prepared: requests.PreparedRequest, number: int) -> bool:
        """Whether the client would send the page's request as the engine does."""
        return (
            isinstance(prepared, Ready)
            and prepared.url == self.url_of(number)
            and (prepared.method, prepared.route, prepared.sent)
            == (self._like.method, self._like.route, self._like.sent)
        )

    def count(self) -> dict[str, Any]:
        """Adds what was accepted since the last time to the job's counts. Returns the engine's report."""
        report: dict[str, Any] = self.pager.report()
        job = self.chain.job
        for key in _COUNTED:
            job.counts[key] += report[key] - self._counted[key]
        n_rows = report["records"] - self._counted["records"]
        job.counts["rows"] += n_rows
        job.empty = job.empty and n_rows == 0
        self._counted = {key: report[key] for key in _COUNTED}
        job.run.note_host(self.chain.host, report["window"], report["throttled"])
        return report

    def take_over(self, number: int) -> None:
        """Brings the chain's paginator and its watch to this page, which is theirs to handle."""
        report = self.count()
        paginator = self.chain.paginator
        assert isinstance(paginator, RangePaginator)
        paginator.current_value = self.value_of(number)
        n_pages, n_records = report["pages"] - self._n_told, report["records"] - self._n_records_told
        self._n_told, self._n_records_told = report["pages"], report["records"]
        if n_pages:
            last = (report["last_hash"], report["last_size"], report["last_records"])
            self.chain.watch.skip(n_pages, n_records, last)


def native_pages(
    chain: Chain, page: _core.Page, response: NativeResponse, prepared: requests.PreparedRequest, limit: int | None
) -> NativePages | None:
    """The pager that asks for the pages behind the first; None: something about them is for Python.

    Args:
        chain: It has handled its first page and asked for no other.
        page: The first page.
        response: Its answer.
        prepared: The request of the second.
        limit: No page with a number in its URL as high is asked for ahead.
    """
    job, paginator = chain.job, chain.paginator
    assert isinstance(paginator, RangePaginator)
    if type(paginator) not in (OffsetPaginator, PageNumberPaginator) or not paginator.param_name:
        return None
    if not isinstance(prepared, Ready) or not response.is_plain_utf8 or chain.extra is not None:
        return None
    if not job.makes_tables or job.is_mapped or job.parent_keys is not False or job.cursor is not None:
        return None
    if (
        not job.format.is_json
        or job.hooks.get("response") is not None
        or job.sender.options.on_content
        or job.options.error_path is not None
    ):
        return None
    steps = chain.reader.steps
    if steps is None or None in steps or is_error_key(str(chain.reader.selector)):
        return None
    if chain.parent is not None or not job.is_first(chain) or not chain.reader.is_outside(paginator):
        return None
    total, more = (_plain_path(path) for path in (paginator.total_path, paginator.has_more_path))
    numbers = (paginator.current_value, paginator.value_step, paginator.base_index, paginator.maximum_value or 0)
    if total is False or more is False or not all(type(one) is int and abs(one) < _FAR for one in numbers):
        return None
    ends = _ends_of(chain, paginator, prepared)
    if ends is None:
        return None
    options = {
        "value": paginator.current_value,
        "step": paginator.value_step,
        "limit": None if limit is None else max(-_FAR, min(limit, _FAR)),
        "maximum": paginator.maximum_value,
        "total": total,
        "total_base": paginator.base_index,
        "more": more,
        "selector": None if job.has_selector else steps,
        "stops_when_empty": bool(paginator.stop_after_empty_page),
        "content_type": next((v for name, v in page.headers if name.lower() == "content-type"), None),
    }
    return NativePages(chain, page, prepared, ends, chain.n_sent, options)


def _plain_path(path: Any) -> list[_core.Step] | bool | None:
    """The steps of names and indices; False: there is more to it; None: no path."""
    if not path:
        return None
    steps = selector_steps(path)
    return steps if steps is not None and None not in steps else False


def _ends_of(chain: Chain, paginator: RangePaginator, prepared: requests.PreparedRequest) -> tuple[str, str] | None:
    """What stands before and behind the number in the URL; None: it is not that simple."""
    request, name = chain.request, paginator.param_name
    assert name is not None
    params: Any = request.params
    if not isinstance(params, dict):
        return None
    request.params = {**params, name: _ODD_VALUE}
    odd = chain.job.sender.prepare(request).url or ""
    request.params = params
    before, found, after = odd.partition(str(_ODD_VALUE))
    if not found or str(_ODD_VALUE) in after or not odd.isascii():
        return None
    return (before, after) if f"{before}{paginator.current_value}{after}" == prepared.url else None
