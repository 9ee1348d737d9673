"""Puts native generators in front of dlt's own in rest_api resources, and decides for each run which one serves.

dlt's generator stays inside: a resource that needs what the engine cannot do takes it. Whatever way a resource takes, one
log line says why it is not a faster one.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, NamedTuple

import dlt
import pyarrow as pa
import requests
from dlt.common import logger
from dlt.extract.resource import DltResource
from dlt.sources.rest_api.config_setup import (
    _set_incremental_params,
    convert_incremental_values,
    expand_placeholders,
    paginate_dependent_resource,
    paginate_resource,
    process_parent_data_item,
)

from headrace import _status
from headrace._extraction import current_extraction
from headrace._normalize import loads as _normalize_loads
from headrace._rest_api import api_sections as _api_sections
from headrace._rest_api.async_job import JobChain
from headrace._rest_api.chain import Chain
from headrace._rest_api.incremental import Cursor
from headrace._rest_api.isolation import Memory, identity, text_of
from headrace._rest_api.job import Job, Records
from headrace._rest_api.live import StreamChain
from headrace._rest_api.options import options_of
from headrace._rest_api.reasons import MARK, Choice, Way, children_of, choice, parts_in_python, plan_of
from headrace._rest_api.request import selector_steps
from headrace._rest_api.serve import Service, parents
from headrace._rest_api.sessions import why_python
from headrace._rest_api.steps import PythonSteps, names_of
from headrace.exceptions import ResourceFailed

_VALUES = ("initial_value", "start_value", "last_value", "end_value")  # that placeholders may name
_OUTSIDE = "it is read outside of an extraction"


class Bound(NamedTuple):
    """What the children of all parents share in a run.

    Attributes:
        params: The endpoint's, with the incremental's values in place.
        incremental: The values for placeholders; None: there is no incremental.
        cursor: Decides which records stay.
        steps: The steps in Python that records pass.
    """

    params: dict[str, Any]
    incremental: Any
    cursor: Cursor | None
    steps: PythonSteps | None


class Plan:
    """One rest_api resource: its arguments, dlt's own generator, and ours."""

    def __init__(self, resource: DltResource, wanted: Callable[[], bool] | None) -> None:
        self.wanted = wanted  # asked in each run; None: the user imported headrace's own source
        self.arguments: dict[str, Any] = dict(resource.explicit_args)
        self.original: Any = resource._pipe.gen
        self.native = self._transformer() if resource._pipe.has_parent else self._generator()
        setattr(self.native, MARK, self)
        self._decided: tuple[str, Way] = ("", Way.DLT)  # run, way
        self._service: Service | None = None
        self._memory: tuple[str, Memory] | None = None  # run, what was before it
        self._again: tuple[str, set[str]] | None = None  # run, parents that are asked for again
        self._state: dict[str, Any] | None = None  # dlt's, of the resource, in the run at hand
        self._bound: tuple[str, Bound] | None = None  # run, what is the same for all parents

    def _generator(self) -> Callable[..., Any]:
        def native() -> Any:  # a generator function: dlt wants one for `parallelize`
            yield from self._generate()

        native.__name__ = native.__qualname__ = paginate_resource.__name__
        return native

    def _transformer(self) -> Callable[..., Any]:
        def native(item: Any, meta: Any = None) -> Any:
            return self._transform(item, meta)

        native.__name__ = native.__qualname__ = paginate_dependent_resource.__name__
        return native

    def _decide(self) -> tuple[str, Any, Any, Way]:
        """The run, its source and our resource in it, and the way it takes. Says why, once a run."""
        at = current_extraction()
        if at is None:
            logger.info(f"headrace: a rest_api resource takes dlt's path: {_OUTSIDE}")
            return "", None, None, Way.DLT
        if self._decided[0] != at.key:
            made = choice(self, at.source, at.resource)
            self._decided = (at.key, made.way)
            self._tell(at.load_id, at.resource, made)
            if made.way is not Way.DLT:
                client = self.arguments["client"]
                _api_sections.apply(client, at.source.name, at.resource.name, at.source.resources)
            if made.way in (Way.TEXTS, Way.OBJECTS):
                _normalize_loads.take(at.load_id)
        return at.key, at.source, at.resource, self._decided[1]

    def _tell(self, load_id: str, resource: DltResource, made: Choice) -> None:
        name, (way, why) = resource.name, made
        in_python = parts_in_python(self, resource, made) if way is not Way.DLT else []
        _status.note_resource(
            load_id, name, why if way is Way.DLT else None, in_python, why if way is Way.TEXTS else None
        )
        if in_python:
            logger.info(f"headrace: resource `{name}`: {'; '.join(in_python)}; the rest is the engine's")
        if way is Way.TEXTS:
            logger.info(f"headrace: resource `{name}`: {way.value}: {why}")
        if way is Way.DLT:
            say = logger.warning if self.wanted is None else logger.info
            say(f"headrace: resource `{name}` {way.value}: {why}")

    # ---- a resource that depends on no other

    def _generate(self) -> Iterator[Any]:
        run_key, source, resource, way = self._decide()
        if way is not Way.DLT:
            self._memory_of(run_key, resource).forget()  # this run asks for all of it
        original = self.original()  # not started: it only shows its arguments, with the incremental in place
        if way is Way.DLT:
            yield from original
            return
        arguments = self._arguments_of(original)
        values: dict[str, Any] = {}
        params = arguments["params"]
        cursor = None
        incremental = arguments["incremental_object"]
        if incremental:
            convert = arguments["incremental_cursor_transform"]
            params = _set_incremental_params(params, incremental, arguments["incremental_param"], convert)
            values["incremental"] = incremental
            if convert:
                values.update(convert_incremental_values(incremental, convert))
            if way is not Way.OBJECTS and not names_of(resource._pipe):
                cursor = Cursor(incremental, dlt.current.pipe())  # type: ignore[arg-type]
        steps = self._steps(source, resource, way)
        path = expand_placeholders(arguments["path"], values)
        request = {
            "headers": expand_placeholders(arguments["headers"], values),
            "params": expand_placeholders(params, values),
            "json": expand_placeholders(arguments["json"], values, preserve_value_type=True),
            "data": expand_placeholders(arguments["data"], values),
        }
        is_stream = options_of(self.arguments["client"]).stream is not None
        self._state = dlt.current.resource_state(resource.name) if is_stream else None
        service = self._service_of(run_key, source, resource, way, cursor, steps)
        service.add([lambda job: self._chain(job, path, request, None)])
        yield from service.items()

    def _service_of(
        self,
        run_key: str,
        source: Any,
        resource: DltResource,
        way: Way,
        cursor: Cursor | None,
        steps: PythonSteps | None,
    ) -> Service:
        keys = _parent_keys(source, resource, way)
        memory = self._memory_of(run_key, resource)
        return Service(run_key, self.arguments, source, resource, way, keys, cursor, steps, memory)

    def _memory_of(self, run_key: str, resource: DltResource) -> Memory:
        """The resource's state as it was before the run."""
        if self._memory is None or self._memory[0] != run_key:
            self._memory = (run_key, Memory(resource.name))
        return self._memory[1]

    def _steps(self, source: Any, resource: DltResource, way: Way) -> PythonSteps | None:
        """The running pipe's steps in Python; None: there are none, or records stay with dlt behind them."""
        if way is not Way.TABLES or not names_of(resource._pipe):
            return None
        return PythonSteps(dlt.current.pipe(), resource.name in source.resources.selected)  # type: ignore[arg-type]

    def _arguments_of(self, original: Any) -> dict[str, Any]:
        """The arguments of dlt's generator, which was not started; with the incremental that dlt has bound to the run."""
        arguments = inspect.getgeneratorlocals(original) if inspect.isgenerator(original) else {}
        return arguments if "incremental_object" in arguments else self.arguments  # in another wrapper

    # ---- a resource that depends on another

    def _transform(self, item: Any, meta: Any) -> Any:
        """Called with each of the parent's items. The first gets a generator, which serves those that come while it runs."""
        run_key, source, resource, way = self._decide()
        items = item
        if isinstance(item, Records) and item.parents is not None:
            items = item.parents
        elif isinstance(item, pa.Table):
            items = parents.get(item)
        if way is Way.DLT:
            return self.original(items, meta=meta)
        service = self._service if self._service is not None and self._service.run_key == run_key else None
        if service is not None and service.was_skipped:
            return None
        self._memory_of(run_key, resource)  # before the incremental changes it
        bound = self._bind(run_key, source, resource, way, items, meta)
        asked = self._parents(run_key, resource, items if isinstance(items, list) else [items])
        chains = [(lambda job, one=one: self._child(job, one, bound)) for one in asked]
        if not chains:
            return None
        if service is not None and service.is_open:
            service.add(chains)
            return None
        self._service = self._service_of(run_key, source, resource, way, bound.cursor, bound.steps)
        self._service.add(chains)
        return self._service.items()

    def _parents(self, run_key: str, resource: DltResource, items: list[Any]) -> list[Any]:
        """The parents to ask for: with the first of a run, those before that the run before left out."""
        if self._again is None or self._again[0] != run_key:
            again = self._memory_of(run_key, resource).take_parents()
            self._again = (run_key, {text_of(one) for one in again})
            items = [*again, *(one for one in items if self._text_of(one) not in self._again[1])]
        elif self._again[1]:
            items = [one for one in items if self._text_of(one) not in self._again[1]]
        return items

    def _text_of(self, parent: Any) -> str:
        return text_of(identity(parent, _fields_of(self.arguments)))

    def _bind(self, run_key: str, source: Any, resource: DltResource, way: Way, items: Any, meta: Any) -> Bound:
        """What the run has of the incremental: bound once, so that all parents' records are held against where the run before
        ended. dlt binds it anew for each page of parents, to the highest cursor seen so far in this run, and then leaves out
        what other parents have below that.
        """
        if self._bound is None or self._bound[0] != run_key:
            self._bound = (run_key, self._bind_anew(source, resource, way, items, meta))
        return self._bound[1]

    def _bind_anew(self, source: Any, resource: DltResource, way: Way, items: Any, meta: Any) -> Bound:
        if not self.arguments["incremental_object"]:
            return Bound(self.arguments["params"], None, None, self._steps(source, resource, way))
        arguments = self._arguments_of(self.original(items, meta=meta))
        incremental = arguments["incremental_object"]
        params = _set_incremental_params(
            dict(self.arguments["params"]),
            incremental,
            arguments["incremental_param"],
            arguments["incremental_cursor_transform"],
        )
        values = SimpleNamespace(**{name: getattr(incremental, name) for name in _VALUES})
        steps = self._steps(source, resource, way)
        cursor = None
        if way is not Way.OBJECTS and steps is None:
            cursor = Cursor(incremental, dlt.current.pipe())  # type: ignore[arg-type]
        return Bound(params, values, cursor, steps)

    def _child(self, job: Job, item: Any, bound: Bound) -> Chain:
        arguments = self.arguments
        processed = process_parent_data_item(
            path=arguments["path"],
            item=item,
            headers=arguments["headers"],
            params=bound.params,
            request_json=arguments["json"],
            request_data=arguments["data"],
            resolved_params=arguments["resolved_params"],
            include_from_parent=arguments["include_from_parent"],
            incremental=bound.incremental,
            incremental_value_convert=arguments["incremental_cursor_transform"],
        )
        request = {
            "headers": processed.headers,
            "params": processed.params,
            "json": processed.json,
            "data": processed.data,
        }
        extra = json.dumps(processed.parent_record).encode() if processed.parent_record else None
        if job.options.stream is not None:
            raise ResourceFailed(
                f"resource `{job.name}` is a stream, which cannot depend on another resource: put values in place of"
                " `{resources...}` in its endpoint, a resource a stream"
            )
        chain = self._chain(job, processed.path, request, extra)
        chain.parent = identity(item, _fields_of(arguments))
        return chain

    def _chain(self, job: Job, path: str, request: dict[str, Any], extra: bytes | None) -> Chain:
        client = self.arguments["client"]
        own = self.arguments["paginator"]
        paginator = deepcopy(own) if own else deepcopy(client.paginator)
        hooks = None
        if why_python(client) is not None:  # requests itself calls them
            hooks = {"response": [client._create_response_handler()], **(self.arguments["hooks"] or {})}
        made: requests.Request = client._create_request(
            path_or_url=path, method=self.arguments["method"], auth=client.auth, hooks=hooks, **request
        )
        if job.options.stream is not None:
            return StreamChain(job, made, paginator, extra, self._state)
        kind = Chain if job.options.job is None else JobChain
        return kind(job, made, paginator, extra)


def _parent_keys(source: Any, resource: DltResource, way: Way) -> list[str] | bool | None:
    """The top-level fields that native children need; None: whole records; False: nobody needs them apart."""
    keys: set[str] = set()
    found = False
    if way is Way.OBJECTS:
        return False
    for pipe in children_of(source, resource._pipe):
        plan = plan_of(pipe)
        assert plan is not None, "a child that is not ours makes its parent take dlt's path"
        found = True
        fields = _fields_of(plan.arguments)
        if fields is None:
            return None
        keys.update(fields)
    return sorted(keys) if found else False


def _fields_of(arguments: dict[str, Any]) -> list[str] | None:
    """The top-level fields of a parent that a dependent resource is made of; None: whole records."""
    keys = set(arguments.get("include_from_parent") or [])
    for param in arguments["resolved_params"]:
        steps = selector_steps(param.field_path)
        if not steps or not isinstance(steps[0], str):
            return None
        keys.add(steps[0])
    return sorted(keys)


def install(resource: DltResource, wanted: Callable[[], bool] | None = None) -> None:
    """Makes a rest_api resource native where that is possible. Others stay as they are.

    Args:
        resource: A resource, of rest_api or of other origin.
        wanted: Says in each run whether the engine is to serve it; None: it is.
    """
    pipe = resource._pipe
    plan = plan_of(pipe)
    if plan is not None:
        if (
            pipe.gen is not plan.native and wanted is None
        ):  # `rest_api.clone(parallelized=True)` has wrapped it meanwhile
            pipe.replace_gen(plan.native)
        plan.wanted = plan.wanted and wanted
        return
    arguments = resource.explicit_args if resource.args_bound else None
    if arguments and "client" in arguments and "incremental_object" in arguments:
        pipe.replace_gen(Plan(resource, wanted).native)
