"""What programs are told and refused, without a web server."""

import asyncio
from typing import Any

import pytest

from engine.commands.main import main
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdicts import Refused
from engine.request import RequestError
from engine.text import Text
from tests.conftest import Ask, Gate, finish, wait_until
from ui.api.answers import MOST_WAITING, Answers, NoSuchJob, TooMany, Unfinished
from ui.api.shapes import Running
from ui.server.login import knows_login


@pytest.fixture
def answers(engine: Engine) -> Answers:
    return Answers(engine)


async def unheard(_fraction: float, _sentence: str) -> None:
    pass


@pytest.mark.starts
def test_a_job_is_told_from_waiting_to_its_clip(answers: Answers, engine: Engine) -> None:
    first = answers.submit({"prompt": "go", "model": "scripted", "seed": 3})
    second = answers.submit({"prompt": "then", "model": "scripted", "height": None})
    told = answers.status(second.id)
    assert [(one["job"], one["place"], one["prompt"]) for one in told["waiting"]] == [
        (first.id, 1, "go"),
        (second.id, 2, "then"),
    ]
    assert told["job"] is not None
    assert (told["job"]["state"], told["job"]["place"], told["job"]["clip"]) == ("queued", 2, None)
    assert answers.cancel(second.id) == {"job": second.id, "state": "cancelled", "place": None}
    engine.start()
    finish(engine, first)
    done = answers.status(first.id, "http://here")["job"]
    assert done is not None
    assert (done["state"], done["seed"]) == ("done", 3)
    assert done["url"] == f"http://here/clips/{done['clip']}.mp4"


@pytest.mark.starts
def test_what_runs_is_told_with_its_stage(answers: Answers, engine: Engine, gate: Gate) -> None:
    engine.start(warm="scripted")
    job = answers.submit({"prompt": f"steps=40 {gate}", "model": "scripted"})

    def running_now() -> Running:
        running = answers.status()["running"]
        assert running is not None
        return running

    wait_until(lambda: engine.jobs.running(), "the job")
    wait_until(lambda: running_now()["step"], "a step")
    running = running_now()
    assert (running["job"], running["stage"], running["steps"]) == (job.id, "denoise", 40)
    assert 0 < running["fraction"] < 1
    answers.cancel(job.id)
    finish(engine, job)


@pytest.mark.parametrize("number", [0, -1, 77, 2**70, "x", None, True, 1.5, [1]])
def test_what_is_no_job_is_refused(answers: Answers, number: object) -> None:
    with pytest.raises(NoSuchJob, match="There is no job") as refused:
        answers.cancel(number)
    assert refused.value.sentence == Text("api.no_such_job", number=str(number)[:40])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"height": 17}, "height: 17 isn't a multiple of 16"),
        ({"height": [16]}, "height: '\\[16\\]' isn't a whole number"),
        ({"model": "x"}, "there is no model 'x'"),
        ({"prompt": 5}, "Write a prompt first"),
        ({"negative_prompt": "blur"}, "negative_prompt: there is no such field"),
    ],
)
def test_requests_pass_the_one_check(
    answers: Answers, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        answers.submit({"prompt": "go", "model": "scripted", **fields})


def test_a_locked_size_is_refused_and_the_verdict_is_that_of_the_command(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    size = {"model": "scripted", "height": 256, "width": 256, "frames": 81}
    with pytest.raises(Refused, match=r": not tested yet. .* nearest size that is open"):
        answers.submit({"prompt": "go", **size})
    arguments = [text for name, n in size.items() for text in (f"--{name}", str(n))]
    assert main(["check", *arguments, "--json"]) == 0
    printed = capsys.readouterr().out
    checked = answers.check(size)
    assert checked["verdict"] == "locked"
    for name, value in checked.items():
        assert f'"{name}"' in printed
        if isinstance(value, str) and name != "reason":
            assert f'"{value}"' in printed


@pytest.mark.starts
def test_the_library_is_searched_in_pages(answers: Answers, engine: Engine, ask: Ask) -> None:
    engine.start()
    for prompt in ("100% red", "100 blue", "a_b", "acb"):
        finish(engine, engine.submit(ask(prompt)))

    def found(search: object, limit: object = 20, offset: object = 0) -> list[str]:
        return [c["request"]["prompt"] for c in answers.library(search, limit, offset, "")["clips"]]

    assert found("") == ["acb", "a_b", "100 blue", "100% red"]
    assert found(None, 2, 1) == ["a_b", "100 blue"]
    assert found("100%") == ["100% red"]
    assert found("A_B") == ["a_b"]
    assert found("\\") == []
    assert found("BLUE 100") == ["100 blue"], "all words, in any order and case"
    assert found("red blue") == []
    assert answers.library("100", 1, 0, "")["total"] == 2
    bad: list[tuple[object, object, object]] = [
        (5, 1, 0),
        ("", 0, 0),
        ("", 201, 0),
        ("", "x", 0),
        ("", 1, -1),
        ("", 1, 2**40),
        ("\udfff", 1, 0),
    ]
    for search, limit, offset in bad:
        with pytest.raises(RequestError, match="isn't"):
            answers.library(search, limit, offset, "")


@pytest.mark.starts
def test_waiting_ends_with_the_job_the_time_or_the_program(
    answers: Answers, engine: Engine
) -> None:
    job = answers.submit({"prompt": "steps=3", "model": "scripted"})
    assert asyncio.run(answers.wait(job, unheard, seconds=0.1)).state == "queued"
    answers.closed = True
    with pytest.raises(Unfinished, match=r"is closing.* continues at the next start"):
        asyncio.run(answers.wait(job, unheard))
    answers.closed = False
    engine.start()
    ended = asyncio.run(answers.wait(job, unheard))
    assert ended.state == "done"
    assert answers.made(ended).job == job.id


@pytest.mark.starts
def test_the_bar_never_shrinks(answers: Answers, engine: Engine, gate: Gate) -> None:
    engine.start()
    told: list[tuple[float, str]] = []

    async def heard(fraction: float, sentence: str) -> None:
        told.append((fraction, sentence))
        if "Denoising, step" in sentence:
            gate.open()

    job = answers.submit({"prompt": str(gate), "model": "scripted"})
    asyncio.run(answers.wait(job, heard))
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert any("Denoising, step" in sentence for _, sentence in told)


@pytest.mark.starts
def test_a_job_without_a_clip_says_why(answers: Answers, engine: Engine) -> None:
    engine.start()
    failed = answers.submit({"prompt": "fail=error", "model": "scripted"})
    failed = finish(engine, failed)
    with pytest.raises(Unfinished) as found:
        answers.made(failed)
    assert str(found.value.sentence) == str(failed.note) != ""
    assert str(found.value.remedy) == str(failed.remedy) != ""


def test_a_note_is_english_with_its_id_beside_it(answers: Answers, engine: Engine) -> None:
    job = answers.submit({"prompt": "never", "model": "scripted"})
    engine.jobs.cancel(job.id)
    told = answers.status(job.id)["job"]
    assert told is not None
    assert (told["note"], told["note_id"], told["note_values"]) == (
        "Cancelled.",
        "jobs.cancelled",
        {},
    )
    assert told["remedy"] == ""
    assert "remedy_id" not in told


def test_pause_and_resume_are_told(answers: Answers, engine: Engine) -> None:
    job = answers.submit({"prompt": "{a|b}", "model": "scripted"})
    assert job.request.prompt == "{a|b}", "one call is one clip"
    assert answers.status()["paused"] is False
    assert answers.pause() == {"paused": True, "running": None, "waiting": 1}
    status = answers.status()
    assert (status["paused"], status["waiting_for"]) == (True, "The queue is paused.")
    engine.cancel(job.id)
    assert answers.status()["waiting_for"] == ""
    assert answers.pause(True)["paused"] is True
    assert answers.resume() == {"paused": False, "running": None, "waiting": 0}
    with pytest.raises(RequestError, match="now: 'yes' isn't true or false"):
        answers.pause("yes")
    assert not engine.is_paused()


def test_who_waits_is_told_of_the_pause(answers: Answers, engine: Engine) -> None:
    told: list[str] = []

    async def heard(_fraction: float, sentence: str) -> None:
        told.append(sentence)

    engine.pause()
    job = answers.submit({"prompt": "go", "model": "scripted"})
    asyncio.run(answers.wait(job, heard, seconds=0.3))
    assert told == [f"Job {job.id} is waiting at place 1: The queue is paused."]


def test_so_many_may_wait(answers: Answers) -> None:
    seats = [answers.a_seat() for _ in range(MOST_WAITING)]
    for seat in seats:
        seat.__enter__()
    with pytest.raises(TooMany, match="are already waiting for clips"), answers.a_seat():
        pass
    seats[0].__exit__(None, None, None)
    with answers.a_seat():
        pass


def test_flags_are_true_or_false(answers: Answers) -> None:
    with pytest.raises(HeadroomError, match="receipt: 'yes' isn't true or false"):
        answers.submit({"prompt": "go", "model": "scripted"}, "yes")


def test_the_login_is_known_as_basic_only() -> None:
    login = ("Mö", "p:w")
    assert knows_login(None, None)
    assert knows_login("Basic TcO2OnA6dw==", login)
    assert knows_login("basic TcO2OnA6dw==", login)
    for header in (
        None,
        "",
        "Basic",
        "Basic x",
        "Basic TcO2OnA6dw",
        "Bearer TcO2OnA6dw==",
        "TcO2",
        "Basic é",
    ):
        assert not knows_login(header, login), header


@pytest.mark.starts
def test_what_a_second_lane_makes_is_told_like_the_first(two_lanes: Engine) -> None:
    answers = Answers(two_lanes)
    two_lanes.start()
    script = {"prompt": "steps=400 step_seconds=0.1", "model": "scripted"}
    first, second = answers.submit(script), answers.submit(script)
    wait_until(lambda: len(two_lanes.jobs.all_running()) == 2, "two clips at once")

    def told() -> list[Running]:
        status = answers.status()
        return [*([status["running"]] if status["running"] else []), *status["others"]]

    wait_until(lambda: all(one["step"] for one in told()), "a step of each")
    assert {one["job"] for one in told()} == {first.id, second.id}
    assert {one["lane"] for one in told()} == {"cpu1", "cpu2"}
    for job in (first, second):
        _, (fraction, sentence) = answers._look(job.id)
        assert fraction > 0
        assert sentence.startswith("Denoising")
        answers.cancel(job.id)
    assert finish(two_lanes, second).state.final
