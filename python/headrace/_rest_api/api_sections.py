"""headrace's own keys of a rest_api source from config.toml, secrets.toml or the environment.

    [headrace.api.<source>]             keys of a client
    [headrace.api.<source>.<resource>]  keys of an endpoint

For sources whose configuration dlt itself checks (`headrace.install()`), and below what the code of headrace's own sources says.
Each key is looked for by itself, so that a proxy's password may stand in secrets.toml and the rest in config.toml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.environ import EnvironProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import auto_cast
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.rest_client.client import RESTClient

from headrace._rest_api.options import CLIENT_KEYS, ENDPOINT_KEYS, NETWORK_KEYS, RETRY_KEYS, set_sections
from headrace.exceptions import ConfigurationError

_INNER = {"retry": RETRY_KEYS, "network": NETWORK_KEYS}
_SECRET = "proxy"  # the one key that may hold a password: the only one that is asked of vaults


def apply(client: RESTClient, source: str, resource: str, resources: Iterable[str]) -> None:
    """Reads the sections of a resource, for the run that begins.

    Args:
        client: The resource's client.
        source: The source's name.
        resource: The resource's name.
        resources: Names of all resources of the source: other sections are a mistake.

    Raises:
        ConfigurationError: a key that is not known, or a value that is wrong.
    """
    where = ("headrace", "api", source)
    _refuse_unknown(where, CLIENT_KEYS, set(resources))
    _refuse_unknown((*where, resource), ENDPOINT_KEYS, set())
    own, of_resource = _read(where, CLIENT_KEYS), _read((*where, resource), ENDPOINT_KEYS)
    set_sections(client, own, of_resource, ".".join(where), resource)


def _read(sections: tuple[str, ...], keys: Iterable[str]) -> dict[str, Any]:
    found = {}
    for key in keys:
        value = _look(sections, key)
        if key in _INNER and (value is None or isinstance(value, Mapping)):
            inner = (*sections, key)
            value = {**(value or {}), **_read(inner, _INNER[key])} or None
        if value is not None:
            found[key] = value
    return found


def _look(sections: tuple[str, ...], key: str) -> Any:
    """The value of exactly this key, by the first of dlt's providers that has it; None: none has."""
    return next(_values(sections, key), None)


def _values(sections: tuple[str, ...], key: str) -> Iterator[Any]:
    """What each of dlt's providers has for exactly this key."""
    hint: Any = TSecretStrValue if key == _SECRET else str
    for provider in Container()[PluggableRunContext].providers.providers:
        value = None if provider.is_empty else provider.get_value(key, hint, None, *sections)[0]
        if value is not None:
            is_text = isinstance(provider, EnvironProvider) and isinstance(value, str)
            yield auto_cast(str(value)) if is_text else _plain(value)


def _plain(value: Any) -> Any:
    """The value without the types of toml documents."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.unwrap() if hasattr(value, "unwrap") else value


def _refuse_unknown(sections: tuple[str, ...], keys: Iterable[str], resources: set[str]) -> None:
    """Tells misspelt keys where a provider has the section as a whole (files have, the environment has not)."""
    name = ".".join(sections)
    for section in _values(sections[:-1], sections[-1]):
        for key, value in section.items() if isinstance(section, Mapping) else ():
            if key in keys or key in resources:
                continue
            if not isinstance(value, Mapping) or not resources:
                raise ConfigurationError(f"`{name}.{key}` is not known. Known are: {', '.join(keys)}")
            has = ", ".join(sorted(resources))
            logger.warning(f"headrace: [{name}.{key}] is for no resource of the source. It has: {has}")
