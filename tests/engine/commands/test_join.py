"""``join`` and ``serve --lanes``: what is said before anything is let in, and what refuses. That
machines really join is in tests/system/test_cluster.py."""

import io
import sys
from pathlib import Path

import pytest

from engine.commands import join as joining
from engine.commands.main import main
from engine.engine import Engine
from engine.errors import ExitCode
from engine.home import Home
from engine.joined.cluster.member import Member
from engine.joined.cluster.node import Address, ClusterError, WrongToken
from engine.joined.cluster.token import joined_token


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """Those that would have joined; the first raises what ``refuses`` holds."""
    made: list[Member] = []

    def run(self: Member) -> None:
        made.append(self)

    monkeypatch.setattr(Member, "run", run)
    monkeypatch.setattr(joining, "check_system", lambda what: None)
    return made


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_it_says_what_joining_means_before_it_asks(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, " secret word \n")
    assert main(["join", "127.0.0.9"]) == ExitCode.DONE
    said = capsys.readouterr().err
    assert "lets the owner of 127.0.0.9 run any program on this computer" in said
    assert "isn't encrypted" in said
    file = joined_token(Home.find(), Address("127.0.0.9"))
    assert file.read_text() == "secretword", "as it was copied, without what a window broke it by"
    assert file.stat().st_mode & 0o777 == 0o600
    answer(monkeypatch, "")
    assert main(["join", "127.0.0.9"]) == ExitCode.DONE, "it is remembered"
    assert len(members) == 2


def test_a_wrong_token_is_forgotten(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(self: Member) -> None:
        raise WrongToken("The token isn't right.")

    monkeypatch.setattr(Member, "run", refused)
    answer(monkeypatch, "wrong\n")
    assert main(["join", "127.0.0.9"]) == ExitCode.BAD_INPUT
    assert not joined_token(Home.find(), Address("127.0.0.9")).exists()
    assert "wrong" not in capsys.readouterr().err


def test_without_a_token_it_doesnt_begin(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "\n")
    assert main(["join", "127.0.0.9"]) == ExitCode.SETUP_MISSING
    assert "No token was given." in capsys.readouterr().err
    assert not members


def test_ctrl_c_is_how_it_ends(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Member) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Member, "run", interrupted)
    answer(monkeypatch, "token\n")
    assert main(["join", "127.0.0.9"]) == ExitCode.DONE
    assert "has left" in capsys.readouterr().err


def test_one_folder_joins_once(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "token\n")
    with joining._only_one(Home.find()):
        assert main(["join", "127.0.0.9"]) == ExitCode.SETUP_MISSING
    assert "works for another one already" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["join", "127.0.0.9"], ["serve", "--lanes"]])
def test_elsewhere_than_on_linux_it_says_so(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.joined.cluster.node.sys.platform", "win32")
    assert main(command, lambda *_: None) == ExitCode.SETUP_MISSING
    assert "on Linux only" in capsys.readouterr().err


def test_without_ray_it_names_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["join", "127.0.0.9"]) == ExitCode.SETUP_MISSING
    assert "./launch.sh join 127.0.0.9" in capsys.readouterr().err


def test_a_page_without_the_queue_has_nothing_to_share(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "is_elsewhere", lambda: True)
    with (
        pytest.raises(ClusterError, match="Another Headroom is working"),
        joining.open_to_machines(engine, ""),
    ):
        pass


def test_nobody_asked_nobody_joins(engine: Engine, tmp_path: Path) -> None:
    with joining.open_to_machines(engine, None) as machines:
        assert machines is None
    assert not engine.home.joining.exists()
