"""dlt's plugin (entry point of group `dlt`): the engine under every pipeline when `[headrace] enabled = true`.

dlt loads it when it first reads its configuration, in the main process and in each of its worker processes; whether the
engine is wanted is looked up when a pipeline extracts and when records are normalized.
"""

from headrace._install import place
from headrace._rest_api import takeover as _takeover

place()
_takeover.place(with_hook=False)
