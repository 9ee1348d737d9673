"""Puts the engine under every dlt pipeline of the process, and takes it out again."""

from __future__ import annotations

import multiprocessing
import os
import sys
from copy import copy
from importlib import metadata
from typing import Any

from headrace._collector import collector_paused
from headrace._normalize import loads as _normalize_loads
from headrace._rest_api import takeover as _takeover

_TESTED = ((1, 26), (1, 31))  # the first and the last minor version of dlt the tests ran with
_ENVIRONMENT = "HEADRACE__ENABLED"
_LOAD_ID = 3  # its place in what `w_normalize_files` gets behind the configuration

_wanted: bool | None = None  # by install and uninstall; None: as configured
_rest_api_wanted: bool | None = None  # by install; None: as configured
_environment_before: str | None = None
_nested = False  # whether `headrace.nested` was called


class UnsupportedDltVersion(RuntimeError):
    """This dlt is not one that headrace was tested with."""


def install(*, rest_api: bool = True) -> None:
    """Has dlt's normalize step run in the engine, for every pipeline of this process and of the worker processes that dlt
    starts from it, and dlt's own `rest_api` sources too, from their requests on. Calling it again changes nothing.
    `[headrace] enabled = true` in config.toml does the same without code.

    Args:
        rest_api: False leaves dlt's `rest_api` sources as they are (in config.toml: `[headrace] rest_api = false`).

    Raises:
        UnsupportedDltVersion: dlt is older or newer than what headrace was tested with.
    """
    global _wanted, _rest_api_wanted, _environment_before
    check_version()
    if not _wanted:
        _environment_before = os.environ.get(_ENVIRONMENT)
        os.environ[_ENVIRONMENT] = "true"  # for dlt's spawned worker processes, which load `headrace.plugin`
    _wanted, _rest_api_wanted = True, rest_api
    place()
    if rest_api:
        _takeover.place(with_hook=True)
    else:
        _takeover.remove()


def uninstall() -> None:
    """Gives dlt its own normalizer and its own `rest_api` back, whatever the configuration says. Calling it again changes
    nothing.
    """
    global _wanted, _rest_api_wanted
    if _wanted:
        os.environ.pop(_ENVIRONMENT, None)
        if _environment_before is not None:
            os.environ[_ENVIRONMENT] = _environment_before
    _wanted, _rest_api_wanted = False, None
    _remove()
    _takeover.remove()


def check_version() -> None:
    """Raises `UnsupportedDltVersion` for a dlt that headrace was not tested with."""
    version = metadata.version("dlt")
    found = tuple(int(part) for part in version.split(".")[:2])
    if not _TESTED[0] <= found <= _TESTED[1]:
        first, last = (".".join(map(str, bound)) for bound in _TESTED)
        raise UnsupportedDltVersion(
            f"headrace was tested with dlt {first} to {last}, not with {version}: dlt stays as it is. Install one of"
            " those versions, or a newer headrace."
        )


def place_for_loads() -> None:
    """Has dlt's normalize step ask here for the loads of headrace's own sources; not after `uninstall`."""
    if _wanted is not False:
        place()


def _is_tested() -> bool:
    """Whether headrace was tested with this dlt; says so if not."""
    from dlt.common import logger

    try:
        check_version()
    except UnsupportedDltVersion as ex:
        logger.warning(str(ex))
        return False
    return True


def place() -> None:
    """Has dlt's normalize step ask here which normalizer takes a table's records, in this process and in its workers, and
    its extract step what takes Arrow tables.
    """
    from dlt.normalize import normalize, worker

    _place_extractor()
    vars(worker)["JsonLItemsNormalizer"] = _items_normalizer
    vars(normalize)["w_normalize_files"] = w_normalize_files


def _remove() -> None:
    """Puts dlt's own back."""
    if "dlt.normalize.normalize" not in sys.modules:
        return
    from dlt.normalize import normalize, worker
    from dlt.normalize.items_normalizers import JsonLItemsNormalizer

    vars(worker)["JsonLItemsNormalizer"] = JsonLItemsNormalizer
    vars(normalize)["w_normalize_files"] = worker.w_normalize_files


def w_normalize_files(config: Any, *args: Any, **kwargs: Any) -> Any:
    """dlt's worker function, with the engine in place also in a process that was spawned for it. What is noted of its
    tables goes home with its result.
    """
    from dlt.normalize import worker

    from headrace import _status
    from headrace.config import setting

    place()
    if setting("prefer_parquet") and is_wanted():
        config = _preferring_parquet(config)
    if multiprocessing.parent_process() is not None:
        return _status.with_notes(worker.w_normalize_files(config, *args, **kwargs))
    try:
        return worker.w_normalize_files(config, *args, **kwargs)
    finally:
        _status.tell(args[_LOAD_ID])


def _preferring_parquet(config: Any) -> Any:
    """The configuration with Parquet as what the destination prefers, if it takes it."""
    caps = config.destination_capabilities
    if "parquet" not in (caps.supported_loader_file_formats or []):
        return config
    config = copy(config)
    config.destination_capabilities = copy(caps)
    config.destination_capabilities.preferred_loader_file_format = "parquet"
    return config


def is_wanted() -> bool:
    """Whether the engine is to take records: by `install` or `uninstall`, else by the configuration."""
    from headrace.config import setting

    return setting("enabled") if _wanted is None else _wanted


def wants_rest_api() -> bool:
    """Whether dlt's own `rest_api` sources are to be served by the engine."""
    from headrace.config import setting

    return is_wanted() and (setting("rest_api") if _rest_api_wanted is None else _rest_api_wanted)


def place_nested() -> None:
    """Has dlt's extract step look for resources that `headrace.nested` marked."""
    global _nested
    check_version()
    _nested = True
    _place_extractor()


def _place_extractor() -> None:
    from dlt.extract import extract

    vars(extract)["ArrowExtractor"] = _arrow_extractor


def _arrow_extractor(*args: Any, **kwargs: Any) -> Any:
    """What makes relational tables of nested Arrow, or dlt's own, with dlt's arguments."""
    from dlt.extract.extractors import ArrowExtractor

    from headrace.config import setting

    if not _nested and not (setting("nested_arrow") and is_wanted() and _is_tested()):
        return ArrowExtractor(*args, **kwargs)
    from headrace._nested.extract import NestedArrowExtractor

    return NestedArrowExtractor(*args, **kwargs)


def _items_normalizer(
    item_storage: Any, load_storage: Any, normalize_storage: Any, schema: Any, load_id: str, *args: Any, **kwargs: Any
) -> Any:
    """The engine's normalizer, or dlt's, with dlt's arguments."""
    from dlt.normalize.items_normalizers import JsonLItemsNormalizer

    args = (item_storage, load_storage, normalize_storage, schema, load_id, *args)
    is_taken = is_wanted() or (_wanted is not False and _normalize_loads.is_taken(load_id))
    if not is_taken or not _is_tested():
        return JsonLItemsNormalizer(*args, **kwargs)
    with collector_paused():
        from headrace._normalize.items import NativeItemsNormalizer

    return NativeItemsNormalizer(*args, **kwargs)
