"""headrace: a C engine under dlt.

`install()` puts it under every dlt pipeline of the process; `headrace.sources.rest_api` is dlt's rest_api with the whole
way native.
"""

from headrace._core import __version__
from headrace._install import UnsupportedDltVersion, install, uninstall
from headrace._status import TableStatus, status

__all__ = ["TableStatus", "UnsupportedDltVersion", "__version__", "install", "status", "uninstall"]
