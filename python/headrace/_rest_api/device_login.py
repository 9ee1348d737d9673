"""Giving a pipeline access before it runs: OAuth 2.0's device code (RFC 8628) from the command line."""

from __future__ import annotations

from collections.abc import Mapping

from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext

from headrace.auth import OAuth2


def login(source: str | None, fields: Mapping[str, str], again: bool = False) -> str:
    """Has somebody enter a code, and keeps the refresh token.

    Args:
        source: Name of the `rest_api` source, for what the configuration says of its credentials; None: `rest_api`.
        fields: Fields of `OAuth2` that are given; the others come from dlt's providers.
        again: Ask somebody also if there is a refresh token that still works.

    Returns:
        What was done, without secrets.

    Raises:
        AuthenticationFailed: no access was given, or no refresh token.
        ConfigurationException, ValueError: a field is missing or wrong.
    """
    auth = OAuth2()
    for name, value in {"grant": "device_code", "client_auth": "none", **fields}.items():
        auth[name] = value
    sections = ConfigSectionContext(sections=("sources", "rest_api", source or "rest_api"))
    with Container().injectable_context(sections):  # as dlt resolves an `auth` of the source
        made: OAuth2 = resolve_configuration(auth, accept_partial=False)
    return made.log_in(again)
