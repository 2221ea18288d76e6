"""The logs: small, with the job's number, and without what anybody asked for."""

import logging
from pathlib import Path

import pytest

from engine import logs
from engine.doctor.report import report, without_persons
from engine.engine import Engine
from engine.jobs import State
from tests.conftest import Ask, finish

MARK = "zebrafinch quagga"


@pytest.fixture
def page_log(engine: Engine) -> Path:
    file = engine.home.logs / "page.log"
    logs.to_file(file)
    return file


def everything(engine: Engine) -> str:
    files = [file for file in engine.home.logs.iterdir() if file.is_file()]
    assert {"page.log", "worker.log"} <= {file.name for file in files}
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def run_all(engine: Engine, ask: Ask) -> None:
    """A clip, and one of each failure, each with the marker."""
    engine.start(warm="scripted")
    assert finish(engine, engine.submit(ask(f"{MARK} steps=1"))).state is State.DONE
    faults = ("quote", "error at=encode", "exit at=decode", "broken at=encode", "oom at=decode")
    for fault in faults:
        assert finish(engine, engine.submit(ask(f"{MARK} fail={fault}"))).state is State.FAILED


@pytest.mark.starts
@pytest.mark.reliability("prompts in logs and in the report, failures included")
def test_no_log_has_a_prompt_and_lines_have_their_job(
    engine: Engine, page_log: Path, ask: Ask
) -> None:
    run_all(engine, ask)
    clip = engine.library.newest()[0]
    logging.getLogger("headroom.library").error("%s can't be removed", clip.file)
    text = everything(engine)
    assert "zebrafinch" not in text
    assert "quagga" not in text
    assert f"{clip.job:05d}-[clip].mp4 can't be removed" in text
    assert "INFO headroom.supervisor: job 1: clip of scripted at 32×48×5 begins" in text
    assert "headroom.worker: job 1: made in" in text
    assert "headroom.worker: job 2: failed" in text
    assert "no such words: '[prompt]'" in text
    told = report(engine)
    assert "zebrafinch" not in told
    assert "quagga" not in told
    assert "### Last failure" in told
    assert "job 6: clip of scripted" in told


@pytest.mark.starts
def test_debug_writes_prompts(
    engine: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv(logs.LEVEL, "debug")
    page_log: Path = request.getfixturevalue("page_log")
    engine.start()
    finish(engine, engine.submit(ask(MARK)))
    assert f"prompt: {MARK}" in page_log.read_text(encoding="utf-8")
    assert MARK not in report(engine), "the report has none of that"


def test_a_log_stays_small(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(logs, "BYTES", 2000)
    page_log: Path = request.getfixturevalue("page_log")
    for count in range(200):
        logging.getLogger("headroom.test").info("line %d of a long story", count)
    files = list(page_log.parent.glob("page.log*"))
    assert len(files) == logs.KEPT + 1
    assert all(file.stat().st_size <= 2000 for file in files)


def test_the_report_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.doctor.report.socket.gethostname", lambda: "annas-pc.lan")
    monkeypatch.setattr("engine.doctor.report.getpass.getuser", lambda: "anna")
    monkeypatch.setattr("engine.doctor.report.Path.home", lambda: Path("/home/anna"))
    text = (
        "/home/anna/.venv/x.py, /data/Anna's clips/logs, /home/bob/y, C:\\Users\\Bob\\z, "
        "\\\\annas-pc\\share, user ANNA, bananna, annas-pc.lan"
    )
    told = without_persons(text, Path("/data/Anna's clips"), {"a red ball"})
    assert told == (
        "~/.venv/x.py, [Headroom's folder]/logs, ~/y, ~\\z, "
        "\\\\[computer]\\share, user [user], bananna, [computer]"
    )


def test_a_prompt_is_found_however_it_is_quoted() -> None:
    prompt = 'a "red"\tball ☃'
    for form in (prompt, repr(prompt), 'a \\"red\\"\\tball \\u2603', 'a "red" ball ☃'):
        assert "red" not in logs.without_prompts(f"what is {form}?", prompt)


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def lines(of: logging.Logger, clock: Clock, *steps: tuple[float, str, object]) -> list[str]:
    """What is written of ``steps``: seconds since the one before, a template and its value."""
    written: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Keeping()
    handler.setFormatter(logs.Form("%(message)s%(more)s"))
    handler.addFilter(logs.OneAMinute(clock))
    of.addHandler(handler)
    for seconds, template, value in steps:
        clock.now += seconds
        of.warning(template, value)
    of.removeHandler(handler)
    return written


def test_what_others_cause_has_one_line_a_minute() -> None:
    told = lines(
        logging.getLogger("uvicorn.test"),
        Clock(),
        *[(0.01, "Refused: %s\nand more", n) for n in range(1000)],
        (0.0, "Something else: %s", 1),
        (60.0, "Refused: %s\nand more", "later"),
        (1.0, "Refused: %s\nand more", "at once"),
    )
    assert told == [
        r"Refused: 0\nand more",
        "Something else: 1",
        r"Refused: later\nand more (999 more like it before)",
    ]


def test_of_our_own_lines_only_the_same_again_is_left_out() -> None:
    clock = Clock()
    steps = [(0.1, "%s can't be removed", file) for file in ("a", "b", "a", "b")]
    assert lines(logging.getLogger("headroom.test"), clock, *steps) == [
        "a can't be removed",
        "b can't be removed",
    ]


def test_each_job_has_its_own_lines() -> None:
    clock, log = Clock(), logging.getLogger("headroom.test")
    keeps = logs.OneAMinute(clock)

    def written(job: int) -> bool:
        logs.about(job)
        record = log.makeRecord(log.name, logging.WARNING, "", 0, "failed", (), None)
        return keeps.filter(record)

    assert [written(job) for job in (1, 2, 1, 3)] == [True, True, False, True]
    logs.about(None)
