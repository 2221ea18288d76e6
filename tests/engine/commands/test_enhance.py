"""``enhance``: a clip by its name, its number or its file, or another program's video."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from engine.commands.main import main
from engine.engine import Engine
from engine.errors import ExitCode
from engine.home import Home
from engine.jobs import Jobs
from engine.library.video import look_at
from engine.store import Store
from tests.conftest import Ask, finish
from tests.support.videos import moving, write

pytestmark = pytest.mark.starts


@pytest.fixture
def clip(engine: Engine, ask: Ask) -> str:
    """The name of one that was made here, of 8 frames a second."""
    engine.start()
    finish(engine, engine.submit(ask("a red ball", seed=3)))
    name = engine.library.newest()[0].file
    engine.close()
    return name


def test_a_clip_by_its_name_its_number_and_its_file(
    clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = []
    for what in (clip, "1", str(Home.find().clips / clip)):
        assert main(["enhance", what, "--json", "--out", str(tmp_path / "o.mp4")]) == ExitCode.DONE
        told = json.loads(capsys.readouterr().out)
        assert told["request"]["fps"] == 24, "twice as many as it has, at least"
        assert look_at(tmp_path / "o.mp4").times[1] == Fraction(1, 24)
        sources.append(told["request"]["source"])
    assert len(set(sources)) == 1


def test_another_programs_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = [Fraction(at, 10) for at in range(6)]
    path = write(tmp_path / "My holiday.mp4", moving(6), times, sound="aac")
    arguments = ["enhance", str(path), "--fps", "60", "--json", "--no-receipt"]
    assert main(arguments) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["source"] == {"name": "My holiday"}
    assert look_at(Path(told["path"])).has_sound
    assert main(["read", told["path"]]) == ExitCode.BAD_INPUT, "it has no receipt"


def test_what_cant_be_done_is_said_before_anything_is_made(
    clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("words")
    for arguments, said in (
        (["nothing.mp4"], "doesn't exist"),
        (["99"], "no longer in the library"),
        ([clip, "--fps", "25"], "isn't one of 24, 30, 32, 48, 60"),
        ([clip, "--fps", ""], "isn't one of"),
        ([clip, "--lane", "gpu7"], "gpu7"),
        ([clip, "--out", "a.txt"], "a clip is an MP4"),
        ([str(text)], "isn't an MP4"),
    ):
        assert main(["enhance", *arguments]) == ExitCode.BAD_INPUT
        assert said in capsys.readouterr().err
    store = Store(Home.find().database)
    assert len(Jobs(store).recent()) == 1
    store.close()


def test_a_model_that_changes_clips_is_none_to_generate_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (
        ["generate", "a red ball"],
        ["check", "--height", "64", "--width", "64", "--frames", "9"],
        ["measure", "--height", "64", "--width", "64", "--frames", "9"],
        ["bench", "--only", "model"],
        ["kernels"],
    ):
        code = main([*command, "--model", "smooth"])
        assert code != ExitCode.DONE
        assert "Traceback" not in capsys.readouterr().err
