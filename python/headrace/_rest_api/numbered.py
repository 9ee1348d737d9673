"""How far pages may be asked for ahead by what an answer says beside its body: totals in headers, `Link` with rel="last".

A guess only: which request is next, and whether there is one, is the paginator's to say, page by page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator, RangePaginator

if TYPE_CHECKING:
    import requests

    from headrace._rest_api.request import NativeResponse

_NUMBER = re.compile(r"(\d+)")
_MOST_DIGITS = 18  # of a number that a page may have


@dataclass
class NumberedLinks:
    """Links to pages that differ in one number of their query. Goes on like a `RangePaginator`.

    Attributes:
        before, after: What stands around the number.
        current_value: The number of the page asked for last.
        value_step: From page to page.
        last: That of the last page.
    """

    before: str
    after: str
    current_value: int
    value_step: int
    last: int

    def update_request(self, request: requests.Request) -> None:
        """Makes it that of the current number."""
        request.url = f"{self.before}{self.current_value}{self.after}"


def numbered_links(response: NativeResponse, next_url: str) -> NumberedLinks | None:
    """The links of a page whose next one is at `next_url`; None: they have no last one, or are not numbered."""
    last_url = urljoin(next_url, response.links.get("last", {}).get("url") or "")
    parts, of_last = _NUMBER.split(next_url), _NUMBER.split(last_url)
    differ = [at for at, pair in enumerate(zip(parts, of_last, strict=False)) if pair[0] != pair[1]]
    if len(parts) != len(of_last) or len(differ) != 1 or differ[0] % 2 == 0:
        return None
    at = differ[0]
    before, after = "".join(parts[:at]), "".join(parts[at + 1 :])
    first, last = (_plain(text[at]) for text in (parts, of_last))
    name = re.split("[?&]", before)[-1]
    if first is None or last is None or "?" not in before or not name.endswith("=") or after[:1] not in ("", "&", "#"):
        return None
    step = first - _value(str(response.request.url), unquote(name[:-1]), 0 if first != 2 else 1)
    if step <= 0 or last < first or (last - first) % step:
        return None
    return NumberedLinks(before, after, first, step, last)


def limit_of(paginator: RangePaginator, response: NativeResponse, n_records: int, total: int | None) -> int | None:
    """The number from which on there seem to be no pages; None: nothing says it.

    Args:
        paginator: One without a total of its own.
        response: Of the first page.
        n_records: Of the first page.
        total: Records that there are in all by what the answer says; None: it says nothing.
    """
    last_url = response.links.get("last", {}).get("url")
    if last_url and paginator.param_name:
        last = _value(last_url, paginator.param_name, -1)
        if last >= paginator.current_value:
            return last + 1
    if total is None or n_records == 0:
        return None
    if isinstance(paginator, PageNumberPaginator):
        return int(paginator.base_index) - (-total // n_records)
    return total


def _plain(text: str) -> int | None:
    """A number as pages have them: not 007."""
    return int(text) if len(text) <= _MOST_DIGITS and str(int(text)) == text else None


def _value(url: str, name: str, default: int) -> int:
    """What a parameter of the query says, if it is a number."""
    found = dict(parse_qsl(urlsplit(url).query)).get(name, "")
    value = _plain(found) if found.isascii() and found.isdigit() else None
    return default if value is None else value
