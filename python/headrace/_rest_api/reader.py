"""From an answer to its records, as dlt's client reads it: hooks, status, decoding, selection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dlt.common import jsonpath
from dlt.common.json import json as dlt_json
from dlt.sources.helpers.rest_client.paginators import BasePaginator

from headrace import _core
from headrace._rest_api.request import NativeResponse, selector_steps

if TYPE_CHECKING:
    from headrace._rest_api.job import Job

_PATHS = ("total_path", "has_more_path", "next_url_path", "cursor_path")  # attributes of dlt's paginators


class Reader:
    """Makes records of one chain's pages."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.selector: Any = job.data_selector
        self.steps = selector_steps(self.selector) if self.selector else None
        self.is_cut_out = False  # the page at hand holds the records alone

    def check(
        self, page: _core.Page, response: NativeResponse, was_read: bool = False, unread: Exception | None = None
    ) -> None:
        """Hooks, status and decoding. Raises what dlt's client would, or the engine's error. `was_read`: the page was decoded by
        the endpoint's format, or could not be (`unread`).
        """
        if page.error is not None and page.error.stage == "fetch":
            raise page.error
        hooks = self._job.hooks.get("response")
        if response.has_passed_hooks:
            pass
        elif hooks is None:
            if page.status >= 400:
                self._job.client._create_response_handler()(response)  # type: ignore[call-arg]
        else:
            for hook in hooks if isinstance(hooks, (list, tuple)) else [hooks]:
                hook(response)
            if response.was_replaced and not self._job.format.is_json:
                was_read, unread = False, None
            elif response.was_replaced:
                page.decode(response.text.encode("utf-8", "surrogatepass"))
                return
        if unread is not None:
            raise unread
        if was_read or not self._job.format.is_json or self._job.format.needs(page):
            self._check_other(page, response, was_read)
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

    def _check_other(self, page: _core.Page, response: NativeResponse, was_read: bool) -> None:
        """What is no JSON document, or was packed."""
        form = self._job.format
        has_charset = form.kind == "jsonl" and not response.is_plain_utf8
        if has_charset or response.was_replaced or not (was_read or page.decoded):
            if page.error is not None and not has_charset and not form.needs(page):
                raise form.placed(page.error, page.body())
            most = self._job.run.settings.max_body_bytes
            form.decode(page, response.text.encode() if has_charset else response.content, most)
        response.show_page(page, not form.is_lines)

    def select(self, page: _core.Page, response: NativeResponse) -> None:
        """Finds the records in the page."""
        self.is_cut_out = False
        if not self.selector:
            response.show(page.shape())
            self.selector = self._job.client.detect_data_selector(response)
            jsonpath.compile_path(self.selector)  # raises what dlt would
            self.steps = selector_steps(self.selector)
            response.show(None)
        if self.steps is not None and (None not in self.steps or self._meets_array(page)):
            if not self._job.has_selector:
                page.select(self.steps)
            return
        # names, indices and [*] over arrays are the engine's; dlt's own code knows every other path
        records = self._job.client.extract_response(response, self.selector)
        page.decode(dlt_json.dumpb(records))
        page.select([])
        self.is_cut_out = True

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

    def is_outside(self, paginator: BasePaginator) -> bool:
        """Whether the paginator's paths end outside of the records."""
        if self.is_cut_out:
            return False
        records = list(self.steps or [])
        records = records[: records.index(None)] if None in records else records
        for attribute in _PATHS:
            path = getattr(paginator, attribute, None)
            if path is None:
                continue
            steps = selector_steps(path)
            if steps is None or (len(steps) > len(records) and steps[: len(records)] == records and records):
                return False
            if not records and steps and isinstance(steps[0], int):
                return False
        return True
