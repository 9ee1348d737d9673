"""headrace: a C engine under dlt. See `headrace.sources.rest_api`."""

from headrace._core import __version__

__all__ = ["__version__"]
