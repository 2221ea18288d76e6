"""Machines that are given up soon."""

import pytest


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.joined.machine.LOST_SECONDS", 0.5)
    monkeypatch.setattr("engine.joined.station.LEASE_SECONDS", 1.5)
    monkeypatch.setattr("engine.joined.station.LOOK_SECONDS", 0.2)
