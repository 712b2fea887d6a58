from __future__ import annotations

import pytest

from .driving import Driver


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Driver:
    """Each test that takes it runs twice: with the worker's driver and with the triggerer's."""
    return Driver(request.param)
