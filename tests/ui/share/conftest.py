"""The visitors' page over a started engine."""

from collections.abc import Iterator

import pytest

from engine.engine import Engine
from tests.support.visitors import Doors


@pytest.fixture
def doors(engine: Engine) -> Iterator[Doors]:
    made = Doors(engine)
    made.open()
    yield made
    for client in made.clients:
        client.close()
    made.sharing.close()
