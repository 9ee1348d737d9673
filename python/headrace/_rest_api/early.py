"""The next request of a cursor chain, as soon as its cursor is there: in a header, or in the part of the body that has come.

A guess: the page itself says, once it has come whole, which request is next (`Chain._page_on`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from dlt.common.json import json as dlt_json
from dlt.sources.helpers.rest_client.paginators import (
    BasePaginator,
    HeaderCursorPaginator,
    HeaderLinkPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
)

from headrace._rest_api.request import copy_request, selector_steps

if TYPE_CHECKING:
    from headrace._rest_api.chain import Chain

_PATHS = {JSONLinkPaginator: "next_url_path", JSONResponseCursorPaginator: "cursor_path"}
_STOPS = ("stop_after_empty_page", "has_more_path")  # of a paginator: by these it ends in spite of a cursor


def early_arguments(chain: Chain) -> dict[str, Any]:
    """Arguments of `Engine.submit`: what shall come early; {}: something beside the cursor says whether there is a next page."""
    job, paginator, request = chain.job, chain.paginator, chain.request
    if paginator is None or request.method != "GET" or job.sender.in_python or job.cursor is not None:
        return {}
    if job.hooks.get("response") is not None or job.sender.options.on_content:
        return {}
    if any(getattr(paginator, name, None) for name in _STOPS):
        return {}
    if type(paginator) is HeaderLinkPaginator:
        return {"early_header": "Link"}
    if type(paginator) is HeaderCursorPaginator:
        return {"early_header": paginator.cursor_key}
    steps = selector_steps(getattr(paginator, _PATHS.get(type(paginator), ""), None) or "$")
    if not steps or not job.format.is_json:
        return {}
    if not all(isinstance(step, str) and dlt_json.dumps(step) == f'"{step}"' and "\0" not in step for step in steps):
        return {}
    return {"early_path": b"".join(str(step).encode() + b"\0" for step in steps)}


def foreseen_request(
    chain: Chain, paginator: BasePaginator, arguments: dict[str, Any], value: bytes
) -> requests.PreparedRequest | None:
    """The request behind a page of which this value has come; None: it says nothing, or what it says is for another origin.

    Args:
        chain: It has handled all pages before that one.
        paginator: A copy of the chain's, which is changed.
        arguments: What was asked for early.
        value: A header's, or JSON text.
    """
    response = requests.Response()
    response.status_code = 200
    if name := arguments.get("early_header"):
        response.headers[name] = value.decode("latin-1")
    else:
        found = value
        for key in reversed(arguments["early_path"].split(b"\0")[:-1]):
            found = b'{"%s":%s}' % (key, found)
        response._content = found
        response.encoding = "utf-8"
    request = copy_request(chain.request)
    paginator.update_state(response)
    if not paginator.has_next_page:
        return None
    paginator.update_request(request)
    if not chain.job.sender.may_have_credentials(chain.origin, str(request.url or "")):
        return None
    return chain.job.sender.prepare(request)
