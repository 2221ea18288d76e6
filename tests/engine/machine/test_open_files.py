"""How many files may be open: as many as the hard limit lets, up to a number that is enough."""

import sys
from collections.abc import Iterator

import pytest

from engine.machine.open_files import MOST, raise_limit

if sys.platform != "win32":
    import resource

    @pytest.fixture
    def limits() -> Iterator[tuple[int, int]]:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield before
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def test_the_soft_limit_is_raised(limits: tuple[int, int]) -> None:
        _, hard = limits
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raised = raise_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised == (MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))
        assert raise_limit() == raised

    def test_a_system_that_refuses_keeps_its_own(
        limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))

        def refuses(*_: object) -> None:
            raise ValueError("not allowed to raise maximum limit")

        with monkeypatch.context() as patched:
            patched.setattr(resource, "setrlimit", refuses)
            assert raise_limit() == 256
