"""Whether the pages of a chain are all there is: what looks like a cut is said, or raised where the configuration wants it.

dlt ends a pagination without a word when its paginator finds no next page, whatever the reason. Each check here names what
was expected and what was found (docs/truncation.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from dlt.common import jsonpath
from dlt.sources.helpers.rest_client.paginators import (
    BasePaginator,
    OffsetPaginator,
    PageNumberPaginator,
    RangePaginator,
)

from headrace._rest_api.body_text import is_html
from headrace.exceptions import ResourceFailed, mask_text, mask_url

if TYPE_CHECKING:
    from headrace import _core
    from headrace._rest_api.graphql import GraphQL
    from headrace._rest_api.options import Options
    from headrace._rest_api.reader import Reader
    from headrace._rest_api.request import NativeResponse

_SAME_PAGES = 92  # the same in a row: it would never end
_SIZE_PARAMETERS = {  # of a request, in lower case
    "limit",
    "per_page",
    "perpage",
    "page_size",
    "pagesize",
    "size",
    "count",
    "max_results",
    "maxresults",
    "first",
    "rows",
    "top",
    "$top",
    "pagelen",
    "page[size]",
    "page[limit]",
    "results_per_page",
    "items_per_page",
    "batch_size",
}
_USUAL_SIZES = frozenset((10, 20, 25, 30, 50, 100, 200, 250, 500, 1000))  # of pages, where the request names none
_MORE_KEYS = ("has_more", "hasmore", "has_next", "hasnext", "has_next_page", "hasnextpage", "more", "next_page_exists")
_TRUE, _FALSE = ("true", "True"), (False, "false", "False")  # as dlt's paginators read texts
# Lists of objects that are no records.
_NO_RECORDS = ("links", "_links", "warnings", "messages", "facets", "columns", "fields")
_ERROR_KEYS = ("error", "errors", "fault", "exception")
_TOTAL_HEADERS = ("X-Total-Count", "X-Total", "X-Pagination-Total-Count")
_TITLE = re.compile(rb"(?is)<title[^>]*>([^<]*)")
_LOOKED_AT = 4096  # bytes of a page for its title
_SHOWN = 200  # characters of what was found


class Watch:
    """One chain of pages.

    `say` gets each suspicion as text; it raises where the configuration wants an error.
    """

    def __init__(self, name: str, options: Options, say: Callable[[str], None], reader: Reader) -> None:
        self._name = name
        self._options = options
        self._say = say
        self._reader = reader  # of the page at hand
        self._n_pages = 0
        self._n_records = 0
        self._first = self._last = (0, 0, 0)  # fingerprint, bytes and records of a page
        self._same = 0
        self._total: tuple[int, str] | None = None  # records that there are, and who says so
        self._first_value: int | None = None
        self._is_full = False
        self._is_detected = False
        self._is_short = False  # the first page has fewer records than the offset is moved on by
        self._told: set[str] = set()  # of GraphQL answers

    def see(self, page: _core.Page, response: NativeResponse, paginator: BasePaginator | None, selector: str) -> None:
        """Looks at a page whose records are selected. `paginator`: None: it has yet to be detected."""
        if self._n_pages == 0:
            self._is_full = _is_full(page, response)
            self._is_detected = paginator is None
            if isinstance(paginator, OffsetPaginator):
                self._first_value = paginator.current_value
                self._is_short = 0 < page.n_records < paginator.limit
        self._n_pages += 1
        self._n_records += page.n_records
        self._look_for_repetition(page, response)
        if isinstance(paginator, OffsetPaginator) and self._is_short and self._n_records > self._first[2]:
            self._tell_gap(response, paginator)
        if self._options.graphql is not None:
            self._look_at_graphql(self._options.graphql, page, response)
        elif page.n_records <= 1 or self._n_pages == 1:
            is_told = self._look_for_an_error(page, response, selector)
            if not is_told and self._n_pages == 1 and page.n_records == 0:
                self._look_elsewhere(page, response, selector)
        self._read_total(page, response, paginator)

    @property
    def total(self) -> int | None:
        """Records that there are in all by what the answers say; None: they do not."""
        return self._total[0] if self._total is not None else None

    def skip(self, n_pages: int, n_records: int, last: tuple[int, int, int]) -> None:
        """Pages that the engine looked at: nothing was to be said of them. `last`: fingerprint, bytes, records of the last."""
        self._n_pages += n_pages
        self._n_records += n_records
        self._same = 0
        self._last = last

    def ended(self, page: _core.Page, response: NativeResponse, paginator: BasePaginator) -> None:
        """Called when the paginator has found no next page."""
        if isinstance(paginator, RangePaginator):
            most = paginator.maximum_value
            if most is not None and paginator.current_value >= most:
                return  # the user's own end
        kind = type(paginator).__name__
        envelope = self._envelope(page, response)
        n_expected = _count_at(getattr(paginator, "total_path", None), envelope)
        if isinstance(paginator, PageNumberPaginator):
            is_all = n_expected is not None and self._n_pages >= n_expected
        else:
            is_all = self._total is not None and self._n_records >= self._total[0]
        if (key := _promised(paginator, envelope) or _says_more(envelope)) is not None:
            self._tell(
                response, f"the answer says that there is more (`{key}` is true), but `{kind}` found no next page"
            )
        elif (
            self._n_pages == 1
            and self._is_full
            and not is_all
            and not _says_no_more(paginator, envelope)
            and (kind != "SinglePagePaginator" or self._is_detected)
        ):
            self._tell(
                response,
                f"expected a next page after a full one ({page.n_records} records), but `{kind}` found none: check the"
                " path or the parameter that it reads",
            )
        if isinstance(paginator, PageNumberPaginator) and n_expected is not None and self._n_pages < n_expected:
            self._tell(response, f"expected {n_expected} pages by `{paginator.total_path}`, found {self._n_pages}")
        if self._total is not None and self._n_records < self._total[0]:
            expected, source = self._total
            self._tell(response, f"expected {expected} records by {source}, found {self._n_records}")

    # ---- pages that come again

    def _look_for_repetition(self, page: _core.Page, response: NativeResponse) -> None:
        """An API that does not know the paginator's parameter gives its first page for ever."""
        mark = (page.fingerprint, page.size, page.n_records)
        if self._reader.is_cut_out:  # what was taken may be the same in pages that are not
            mark = (hash(response.content), len(response.content), page.n_records)
        number = self._n_pages - 1
        if number == 0:
            self._first = mark
        is_compared = page.n_records > 0 and number > 0
        again = 0 if is_compared and mark == self._first else number - 1 if is_compared and mark == self._last else None
        self._same = self._same + 1 if again is not None else 0
        self._last = mark
        if again is None:
            return
        if self._same >= _SAME_PAGES:
            raise ResourceFailed(
                f"fetch: resource `{self._name}`, {self._where(response)}: the last {_SAME_PAGES} pages are the same, byte for"
                " byte, so it would never end. Check the names of the paginator's parameters, or set its maximum."
            )
        if self._same == 1:
            self._tell(
                response,
                f"expected other records than before, found those of page {again}, byte for byte: check the names of the"
                " paginator's parameters",
            )

    # ---- records that are not asked for, or not found

    def _tell_gap(self, response: NativeResponse, paginator: OffsetPaginator) -> None:
        """A server that gives fewer records than `limit`: the offset, which is moved on by `limit`, leaves out those between."""
        self._is_short = False
        if self._total is None:  # else it is held against that in the end
            self._tell(
                response,
                f"expected {paginator.limit} records (`limit`) on page 0, for more come behind it, found {self._first[2]}: those"
                " between are not asked for. Set `limit` to what the server gives at most",
            )

    def _look_elsewhere(self, page: _core.Page, response: NativeResponse, selector: str) -> None:
        """A selector that finds nothing in an answer that has a list of objects somewhere else."""
        place = selector.partition("[*]")[0].rstrip(".")
        envelope = json.loads(page.envelope())
        if self._reader.is_cut_out or place in ("", "$") or jsonpath.find_values(place, envelope):
            return
        if (found := _objects(envelope)) is not None:
            path, n_objects = found
            self._tell(
                response,
                f"expected records at `{selector}`, found nothing there but a list of {n_objects} at `{path}`: check"
                " `data_selector`",
            )

    # ---- errors in the body

    def _look_for_an_error(self, page: _core.Page, response: NativeResponse, selector: str) -> bool:
        """Whether something was told."""
        envelope = self._envelope(page, response)
        if self._options.error_path is not None:
            whole = json.loads(response.content) if page.n_records else envelope
            found = jsonpath.find_values(self._options.error_path, whole)
            if found and found[0] not in (None, False, "", [], {}):
                self._tell(
                    response, f"expected records, found an error at `{self._options.error_path}`: {_shown(found[0])}"
                )
                return True
            return False
        if is_error_key(selector):
            self._tell(response, f"expected records, found an error with status {response.status_code}: `{selector}`")
            return True
        if not isinstance(envelope, dict) or selector == "$":  # the user's own choice: the object is the record
            return False
        for key, value in envelope.items():
            if key.lower() in _ERROR_KEYS and value not in (None, False, "", [], {}, 0, "0"):
                text = f"`{key}` is {_shown(value)}"
                self._tell(response, f"expected records, found an error with status {response.status_code}: {text}")
                return True
        return False

    def _look_at_graphql(self, rules: GraphQL, page: _core.Page, response: NativeResponse) -> None:
        wrong, missing = rules.look(json.loads(page.envelope()), page.body)
        if wrong is not None:
            raise ResourceFailed(f"fetch: resource `{self._name}`, {self._where(response)}: {wrong}")
        if missing is not None and missing not in self._told:
            self._told.add(missing)
            self._tell(response, missing)

    # ---- totals

    def _read_total(self, page: _core.Page, response: NativeResponse, paginator: BasePaginator | None) -> None:
        first = 0
        path = self._options.total_count_path
        if path is None and isinstance(paginator, OffsetPaginator) and paginator.total_path:
            path, first = str(paginator.total_path), self._first_value or 0
        if path is not None:
            if (found := _count_at(path, self._envelope(page, response))) is not None:
                self._total = (found - first, f"`{path}`")
            return
        for name in _TOTAL_HEADERS:
            if _is_count(response.headers.get(name)):
                self._total = (int(response.headers[name]), f"header {name}")
                return

    def _envelope(self, page: _core.Page, response: NativeResponse) -> Any:
        """The page without its records; all of it where Python selected them."""
        return response.json() if self._reader.is_cut_out else json.loads(page.envelope())

    def _tell(self, response: NativeResponse, text: str) -> None:
        self._say(f"{self._where(response)}: {text}")

    def _where(self, response: NativeResponse) -> str:
        """The page at hand, for messages."""
        return f"{mask_url(response.url or '')}, page {self._n_pages - 1}"


class Unwatched(Watch):
    """Pages that are stretches of a stream: nothing is expected of them."""

    def see(self, page: _core.Page, response: NativeResponse, paginator: BasePaginator | None, selector: str) -> None:
        """Nothing."""


def is_error_key(selector: str) -> bool:
    """Whether what a selector takes for records is named like an error."""
    return selector.rpartition(".")[2].lower() in _ERROR_KEYS


def html_instead(response: NativeResponse, expected: str = "json") -> str | None:
    """What to say of an answer that is not what was expected but an HTML page; None: it is none."""
    if not is_html(response.content, response.headers.get("Content-Type", "")):
        return None
    title = _TITLE.search(response.content[:_LOOKED_AT])
    named = f" `{title[1].decode('utf-8', 'replace').strip()[:80]}`" if title else ""
    return f"expected {'JSON' if expected == 'json' else expected}, found an HTML page{named} at {mask_url(response.url or '')}"


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit()


def _shown(value: Any) -> str:
    text = mask_text(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _is_full(page: _core.Page, response: NativeResponse) -> bool:
    """Whether the page has as many records as the request asked for, or as many as pages usually have."""
    request = response.request
    asked = dict(parse_qsl(urlsplit(request.url or "").query))
    if isinstance(request.body, (str, bytes)) and request.body[:1] in ("{", b"{"):
        with suppress(ValueError):
            asked.update(json.loads(request.body))
    sizes = [int(value) for name, value in asked.items() if name.lower() in _SIZE_PARAMETERS and _is_count(value)]
    return page.n_records in sizes if sizes else page.n_records in _USUAL_SIZES


def _value_at(path: Any, envelope: Any) -> Any:
    """The first value at a path; None: there is none, or no path."""
    found = jsonpath.find_values(path, envelope) if path else []
    return found[0] if found else None


def _count_at(path: Any, envelope: Any) -> int | None:
    """The number at a path; None: there is none."""
    found = _value_at(path, envelope)
    return int(found) if _is_count(found) else None


def _says_no_more(paginator: BasePaginator, envelope: Any) -> bool:
    """Whether the answer says at the paginator's path that this is the last page."""
    return _value_at(getattr(paginator, "has_more_path", None), envelope) in _FALSE


def _says_more(envelope: Any, depth: int = 0) -> str | None:
    """The key by which the answer says that there is more."""
    if not isinstance(envelope, dict):
        return None
    for key, value in envelope.items():
        if _is_true(value) and key.lower() in _MORE_KEYS:
            return str(key)
        if depth < 1 and isinstance(value, dict) and (found := _says_more(value, depth + 1)) is not None:
            return f"{key}.{found}"
    return None


def _is_true(value: Any) -> bool:
    return value is True or value in _TRUE


def _promised(paginator: BasePaginator, envelope: Any) -> str | None:
    """The paginator's own path at which the answer says that there is more."""
    path = getattr(paginator, "has_more_path", None)
    return str(path) if _is_true(_value_at(path, envelope)) else None


def _objects(value: Any, path: str = "", depth: int = 0) -> tuple[str, int] | None:
    """Where there is a list of objects, and how many."""
    if isinstance(value, list):
        return (path or "$", len(value)) if value and all(isinstance(one, dict) for one in value) else None
    if not isinstance(value, dict) or depth > 2:
        return None
    for key, member in value.items():
        below = f"{path}.{key}" if path else str(key)
        if key.lower() not in _NO_RECORDS and (found := _objects(member, below, depth + 1)) is not None:
            return found
    return None
