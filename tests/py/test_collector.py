"""The garbage collector during imports."""

from __future__ import annotations

import gc

import pytest
from headrace._collector import collector_paused


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collector_is_as_it_was(was_enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), collector_paused():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()
