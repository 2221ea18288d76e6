"""An engine at work."""

import pytest

from engine.engine import Engine


@pytest.fixture
def started(engine: Engine) -> Engine:
    engine.start(warm="scripted")
    return engine
