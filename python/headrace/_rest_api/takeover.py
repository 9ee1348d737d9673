"""dlt's own `rest_api` sources, served by the engine under `headrace.install()`: what is taken over, and when.

A source that dlt's `rest_api` makes passes dlt's own hook (`SourceFactory.add_postprocessor`). What never passes it is taken
over when a pipeline is about to extract: resources of `rest_api_resources` in a source of the user's, and what was made before
headrace came (with `[headrace] enabled`, dlt loads plugins while it makes the first source). dlt decides nothing differently
then: our generator stands before dlt's, and which of them serves is decided for each run.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from dlt.common import logger

from headrace._collector import collector_paused

_HOME = "dlt.sources.rest_api"
_PLAN = "headrace._rest_api.plan"
_PIPELINE = "dlt.pipeline.pipeline"  # the package has a function of this name


def place(with_hook: bool) -> None:
    """Takes over from now on what the user wants taken over. `with_hook`: also imports dlt's rest_api, to set its hook."""
    vars(import_module(_PIPELINE))["data_to_sources"] = data_to_sources
    if with_hook:
        from dlt.sources.rest_api import rest_api

        if take_over not in rest_api._postprocessors:  # type: ignore[attr-defined]
            rest_api.add_postprocessor(take_over)


def remove() -> None:
    """Leaves what comes to dlt; sources that are taken over find out when they run."""
    if _PIPELINE in sys.modules:
        from dlt.extract.extract import data_to_sources as dlts

        vars(sys.modules[_PIPELINE])["data_to_sources"] = dlts
    if _HOME in sys.modules and hasattr(sys.modules[_HOME], "rest_api"):
        hooks = sys.modules[_HOME].rest_api._postprocessors
        hooks[:] = [hook for hook in hooks if hook is not take_over]


def data_to_sources(*args: Any, **kwargs: Any) -> Any:
    """dlt's function of this name, called when a pipeline is about to extract."""
    from dlt.extract.extract import data_to_sources as dlts

    sources = dlts(*args, **kwargs)
    if _HOME in sys.modules:  # else nobody can have made such a resource
        for source in sources:
            take_over(source)
    return sources


def take_over(source: Any) -> Any:
    """Puts our generators before those of the source's rest_api resources, if that is wanted. Returns the source."""
    from headrace._install import UnsupportedDltVersion, check_version, wants_rest_api

    if not wants_rest_api() or not hasattr(source, "resources"):  # a coroutine, of a source that is not rest_api
        return source
    try:
        check_version()
    except UnsupportedDltVersion as ex:
        logger.warning(str(ex))
        return source
    if _PLAN not in sys.modules and not any(map(_may_be_rest_api, source.resources.values())):
        return source  # without the quarter of a second that what serves rest_api takes to import
    with collector_paused():
        from headrace._rest_api.plan import install

    for resource in source.resources.values():
        install(resource, wants_rest_api)
    return source


def _may_be_rest_api(resource: Any) -> bool:
    """Whether the resource has the arguments of `paginate_resource`; `_plan.install` looks closer."""
    return "client" in ((resource.explicit_args if resource.args_bound else None) or {})
