"""A stream of rows of one resource, and the chains of pages that feed it, in their order."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dlt.common import logger
from dlt.common.json import json as dlt_json
from dlt.sources.helpers.rest_client.client import RESTClient
from orjson import Fragment

from headrace import _core
from headrace._rest_api.formats import ResponseFormat
from headrace._rest_api.isolation import MOST_SKIPPED, Skipped, may_skip, record_of
from headrace._rest_api.options import in_force
from headrace._rest_api.reasons import Way
from headrace._rest_api.request import Sender, selector_steps
from headrace._rest_api.sessions import width as session_width
from headrace.exceptions import ResourceFailed, mask_url, page_error

if TYPE_CHECKING:
    from headrace._rest_api.chain import Chain
    from headrace._rest_api.incremental import Cursor
    from headrace._rest_api.run import Run

Origin = tuple[str | None, int | None]  # a page's URL and number
_MOST_ORIGINS = 20_000  # of pages that are remembered: more than are ever under way
_MOST_ITEMS = 16  # pages that wait for steps in Python
_MOST_WARNINGS = 20  # of a resource that are kept
_LOGGED_WARNINGS = 3


class Records(list[Any]):
    """A page's records as they go to dlt: objects, or JSON text that dlt's extract writes as it is."""

    parents: list[Any] | None = None  # what native children read of them, where they are text
    size = 0  # bytes of the page

    def __reduce__(self) -> tuple[Any, ...]:
        """As objects: an error of dlt's about a contract holds its records, and dlt pickles errors with its trace."""
        return list, (json.loads(dlt_json.dumpb(list(self))),)


def _objects(page: _core.Page, keys: list[str] | None, keep: bytes | None, extra: bytes | None) -> list[Any]:
    """The records with these members (None: all), and what comes from their parent."""
    found: list[Any] = json.loads(page.project(keys, keep))
    if extra is not None:
        more = json.loads(extra)
        for record in found:
            record.update(more)
    return found


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
        self.format = self.options.response or ResponseFormat()
        self.data_selector = data_selector or client.data_selector or self.format.selector
        self.has_selector = bool(self.data_selector)
        steps = selector_steps(self.data_selector) if self.has_selector else None
        self.hooks = hooks or {}
        rows = {"batch_bytes": run.settings.batch_bytes, **stream_options}
        self.is_mapped = is_mapped  # records pass steps in Python between the stream of fetched pages and that of rows
        of_pages: dict[str, Any] = {"selector": steps, "format": self.format.of_stream}
        self.stream = run.engine.stream(**({"selector": []} if is_mapped else of_pages), **rows)
        self.fetched = run.engine.stream(**of_pages, **rows) if is_mapped else self.stream
        self._control: _core.Stream | None = None
        self._load_id = str(stream_options["load_id"])
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
        self._origins: OrderedDict[int, Origin] = OrderedDict()  # of pages, by tag, for messages
        self.counts = {"requests": 0, "pages": 0, "bytes": 0, "records": 0, "rows": 0}
        self.warnings: list[str] = []
        self.skipped: list[Skipped] = []
        self.is_skipped = False  # the whole of it, from some page on
        self.is_replaced = is_replaced
        self.error: BaseException | None = None
        self.empty = True
        self.has_passed = False  # a page, be it an empty one, that the incremental did not leave out whole
        self._chains: deque[Chain] = deque()
        self._running: list[Chain] = []  # of those, the ones that were started and have not ended
        self._n_behind = 0  # of those, the ones that stand in their place but have not started
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
    def n_waiting(self) -> int:
        """Chains that are yet to be started."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether all chains have come to their end."""
        return not self._waiting and not self._chains

    def finish(self) -> None:
        """No more chains come."""
        with self.run.lock:
            self.is_closed = True
            self.advance()

    @property
    def control(self) -> _core.Stream:
        """Decodes nothing: for answers that are no pages."""
        if self._control is None:
            self._control = self.run.engine.stream(
                table=self.name,
                tables=[],
                load_id=self._load_id,
                max_nesting=0,
                max_length=0,
                id_kind="random",
                format="other",
            )
        return self._control

    def add_behind(self, chain: Chain, chains: Iterable[Chain]) -> None:
        """Takes chains whose pages come right behind those of this one; each starts when it may. The run's lock is held."""
        chains = list(chains)
        self._n_behind += len(chains)
        at = self._chains.index(chain) + 1
        self._chains.rotate(-at)
        self._chains.extendleft(reversed(chains))
        self._chains.rotate(at)

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
        self._running = [chain for chain in self._running if not chain.ended]
        for chain in sorted(self._running, key=self.is_first, reverse=True):  # the first may use what memory is left
            if not chain.ended:
                chain.resume()
        while self._n_behind > 0 and (held := next((one for one in self._chains if one.is_waiting), None)) is not None:
            n_running = sum(not chain.ended for chain in self._running)
            if not self.is_first(held) and n_running >= self.window(held.host):
                break
            held.resume()
            if held.is_waiting:
                break
            self._n_behind -= 1
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
            self._running.clear()
            self._n_behind = 0
            self.items.clear()

    def note_origin(self, tag: int, url: str | None, number: int | None) -> None:
        """What a page is called in messages, for as long as its rows may fail."""
        self._origins[tag] = (url, number)
        if len(self._origins) > _MOST_ORIGINS:
            self._origins.popitem(last=False)

    def origin(self, tag: int) -> Origin:
        """A page's URL and number."""
        return self._origins.get(tag, (None, None))

    def next_item(self) -> tuple[list[Any], Origin] | None:
        """The next page's records for the steps in Python, and where they are from; None: none yet."""
        with self.run.lock:
            if self.error is not None or not self.items:
                return None
            chain, page = self.items.popleft()
            self.advance()  # there is room for another
        records = _objects(page, None, None, chain.extra)
        origin = self.origin(page.tag)
        page.release()
        return records, origin

    def feed(self, records: list[Any], origin: Origin) -> None:
        """Gives records that have passed the steps to the workers. Order of calls is order of rows."""
        if not records:
            return
        tag = self.run.new_tag()
        self.note_origin(tag, *origin)
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
        self.start(chain)
        return True

    def start(self, chain: Chain) -> None:
        """Has a chain make its first request."""
        self._running.append(chain)
        try:
            chain.start()
        except Exception as error:
            self.failed(chain, error)

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
            self.has_passed = self.has_passed or page.n_records == 0
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
        native = self.run.native_of(tag)
        if native is None:
            url, number = self.origin(tag)
        else:
            url, number = native[0].url_of(native[1]), native[1]
        kind = self.format.kind
        return page_error(error, resource=self.name, schema_name=self.schema_name, url=url, page=number, kind=kind)

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
        found = record_of(chain.parent if is_parent else None, mask_url(chain.url), error)
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
                for chain in self._chains:
                    chain.drop_native()
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
