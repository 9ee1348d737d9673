"""The `headrace` command (also `python -m headrace`): a subcommand a function that takes its arguments and gives the exit status.

Exit status: 0 done, 1 what was asked for failed, 2 the arguments or the configuration are wrong, 3 something is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

_LOGIN = """Gives a pipeline access by OAuth 2.0's device code: shows an address and a code, waits until somebody has entered it
there, and keeps the refresh token where a pipeline with `"auth": {"type": "oauth2", "grant": "device_code", ...}` of the same
token URL and client finds it. What is not given here is read from [sources.rest_api.<source>.credentials] of config.toml and
secrets.toml, as the pipeline reads it."""

_SKIPPED = """Says what the runs of a pipeline have left out by `on_error` and no later run has fetched: why, and how it is fetched again.
Exit status 0: nothing is missing; 3: something is. For a scheduler: `python load.py && headrace skipped my_pipeline`."""
_MOST_SHOWN = 20  # of a resource


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; None: that of the process. Returns the exit status."""
    parser = argparse.ArgumentParser("headrace", description="headrace: a C engine under dlt.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    login = commands.add_parser("login", help="give a pipeline access by a device code", description=_LOGIN)
    login.add_argument("source", nargs="?", help="name of the rest_api source")
    for name, text in (
        ("token-url", "where tokens are given"),
        ("device-url", "where a device code is given"),
        ("client-id", "the client"),
        ("client-auth", "none (default), post or basic"),
        ("scope", "what is asked for"),
        ("audience", "whom the token is for, where the server wants that"),
        ("token-store", "file (*.json) or folder of the refresh token; default: headrace_tokens in dlt's data folder"),
    ):
        login.add_argument(f"--{name}", help=text)
    login.add_argument("--again", action="store_true", help="also when there is a refresh token that still works")
    login.set_defaults(run=_login)
    skipped = commands.add_parser("skipped", help="what a pipeline left out by on_error", description=_SKIPPED)
    skipped.add_argument("pipeline", help="its name")
    skipped.add_argument("--pipelines-dir", help="where dlt keeps it, if not in its usual place")
    skipped.set_defaults(run=_skipped)
    given = parser.parse_args(arguments)
    return int(given.run(given))


def _login(given: argparse.Namespace) -> int:
    from dlt.common.configuration.exceptions import ConfigurationException

    from headrace._rest_api.device_login import login
    from headrace.exceptions import AuthenticationFailed, AuthenticationUnreachable

    names = ("token_url", "device_url", "client_id", "client_auth", "scope", "audience", "token_store")
    fields = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    try:
        print(login(given.source, fields, again=given.again))
    except (AuthenticationFailed, AuthenticationUnreachable) as error:
        print(f"headrace login: {error}", file=sys.stderr)
        return 1
    except (ConfigurationException, ValueError) as error:
        print(f"headrace login: {error}", file=sys.stderr)
        return 2
    return 0


def _skipped(given: argparse.Namespace) -> int:
    import dlt
    from dlt.pipeline.exceptions import CannotRestorePipelineException

    from headrace._rest_api.isolation import skipped

    try:
        found = skipped(dlt.attach(given.pipeline, pipelines_dir=given.pipelines_dir))
    except CannotRestorePipelineException as error:
        print(f"headrace skipped: {error}", file=sys.stderr)
        return 2
    for name, left_out in found.items():
        print(f"{name}: {len(left_out)} left out")
        for one in left_out[:_MOST_SHOWN]:
            what = "the rest of it" if one["parent"] is None else f"parent {one['parent']}"
            print(f"  {what}, {one['url']}: {one['error']} ({one['again']})")
        if len(left_out) > _MOST_SHOWN:
            print(f"  and {len(left_out) - _MOST_SHOWN} more")
    return 3 if found else 0
