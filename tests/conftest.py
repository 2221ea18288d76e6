"""Every test gets a Headroom folder of its own, and the scripted model beside the real one."""

import logging
import os
import shutil
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from engine import logs
from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs
from engine.presets import Presets, load_presets
from engine.process.variables import settle, settle_for_page
from engine.request import ClipRequest
from engine.store import Store
from tests.support.hub import Hub, running

TESTS = Path(__file__).parent

# Where assertions stand that both LightX2Vs share. It isn't in tests/contract/__init__.py because a
# Python without pytest imports that one: HEADROOM_LIGHTX2V_PYTHON.
pytest.register_assert_rewrite("tests.contract.contract", "tests.contract.queue")

# Triton's kernels run in its interpreter, on any processor; read when Triton is first imported.
os.environ["TRITON_INTERPRET"] = "1"

# PyTorch's threads don't spin while they wait for each other, as in a worker (worker/process.py):
# beside two other processes on two cores a clip took ten times as long (measured).
os.environ["OMP_WAIT_POLICY"] = "passive"

# What a developer has set for other programs of Gradio's means no more here than in the page.
settle(os.environ)
settle_for_page(os.environ)

# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure: no test of ours is timed. Nor is a test run a lottery: properties
# are tried on the same examples everywhere, and tests/tools/search.py looks for others.
settings.register_profile(
    "headroom",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("headroom"), derandomize=False)
settings.load_profile("headroom")
# hypothesis tries the constants of the modules that happen to be imported, so that its examples
# would still hang on which tests this process ran before.
providers._get_local_constants = lambda: providers._local_constants


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--starts-nothing",
        action="store_true",
        help="fail a test that starts a process or listens, instead of waiting for it",
    )


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker and TESTS in [Path(one).resolve() for one in config.args]:
        from tests.support.collecting import share_the_reading

        number = int(worker["workerid"].removeprefix("gw"))
        share_the_reading(TESTS, number, worker["workercount"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole folders start a browser, a program, or LightX2V in a process of its own."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in ("browser", "contract"):
            item.add_marker(pytest.mark.starts)
    # At the end processes share small files, instead of one waiting for another's long one.
    long = {item.path for item in items if item.get_closest_marker("long")}
    place = _mixed([*dict.fromkeys(item.path for item in items)])
    items.sort(key=lambda item: (item.path not in long, place[item.path]))


def _mixed(files: list[Path]) -> dict[Path, float]:
    """Places in an order where those with a browser, which compute, are spread evenly among the
    others, which mostly wait for processes: so neither cores nor tests stand still."""
    browser = [file for file in files if file.relative_to(TESTS).parts[0] == "browser"]
    others = [file for file in files if file not in browser]
    return {
        file: (at + 0.5) / len(group)
        for group in (browser, others)
        for at, file in enumerate(group)
    }


@pytest.fixture(autouse=True)
def _starts_nothing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick tests stay quick: whoever starts something has to say so with a marker."""
    if not request.config.getoption("--starts-nothing"):
        return

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("This test starts something: give it pytest.mark.starts.")

    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    monkeypatch.setattr("socket.socket.listen", refuse)


@pytest.fixture(autouse=True, scope="session")
def _no_home_of_a_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For what a fixture of a whole module starts, before any test has its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADROOM_HOME", str(tmp_path_factory.mktemp("shared") / "home"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _certificates_are_read_once() -> Iterator[None]:
    """httpx reads all of them, 25 ms of computing, for each request that isn't a client's, also of
    pages without TLS; and a test that waits for something asks again and again."""
    from httpx import create_ssl_context as read

    kept = cache(read)

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        named = any(map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")))
        make = kept if verify is True and cert is None and not named else read
        return make(verify, cert, trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", context)
        yield


@pytest.fixture(autouse=True)
def _logs_end_with_the_test() -> Iterator[None]:
    """A program that ran in this process wrote to files of the test's folder, and more than tests
    do; the next test's caplog would hear it all."""
    kept = [(log, log.level) for log in map(logging.getLogger, ("", "headroom"))]
    yield
    for log, level in kept:
        log.setLevel(level)
        for handler in [*log.handlers]:
            if isinstance(handler, logs.LogFile):
                log.removeHandler(handler)
                handler.close()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home with space"))
    monkeypatch.setenv("HEADROOM_PRESETS", str(TESTS / "fixtures/presets"))
    monkeypatch.delenv("HEADROOM_SCRIPTED_LOAD", raising=False)


@pytest.fixture(autouse=True)
def _no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the developer's cache or token, or reaches the real hub."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    cache = str(tmp_path / "hf home" / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", cache)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub of our own that has the weights of the model ``fetched``, which is here as well."""
    monkeypatch.setenv("HEADROOM_PRESETS", str(TESTS / "fixtures/presets_weights"))
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "Mödelle und Clips"))
    with running(tmp_path / "scratch") as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


@cache
def _read_once(folder: str) -> Presets:
    """``load_presets``, with HEADROOM_PRESETS naming ``folder``."""
    return load_presets()


@pytest.fixture
def presets() -> Presets:
    """Read once, if all its files are the project's: a preset can't be changed."""
    folder = os.environ.get("HEADROOM_PRESETS", "")
    if not Path(folder).is_relative_to(TESTS):
        return load_presets()
    read = _read_once(folder)
    return replace(read, models=dict(read.models), frames=dict(read.frames))


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    store = Store(Home.find().database)
    yield Jobs(store)
    store.close()


@pytest.fixture
def engine(presets: Presets, jobs: Jobs) -> Iterator[Engine]:
    """Not started: tests that want a worker call ``start``."""
    made = Engine(Home.find(), presets, jobs)
    yield made
    made.close()


@pytest.fixture
def two_lanes(presets: Presets, jobs: Jobs) -> Iterator[Engine]:
    """An engine whose two lanes share the processor; not started."""
    made = Engine(Home.find(), presets, jobs, on_processor=2)
    yield made
    made.close()


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Engine]:
    """The machine whose queue others work on; not started."""
    from tests.support.joined import engine_in

    with engine_in(tmp_path / "head") as made:
        yield made


@pytest.fixture
def machines(head: Engine) -> Iterator[Any]:
    """Those that joined it."""
    from tests.support.joined import machines_of

    with machines_of(head) as made:
        yield made


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Any]:
    """A machine that works for others."""
    from tests.support.joined import station_in

    with station_in(tmp_path / "station") as made:
        yield made


@pytest.fixture
def line(machines: Any, station: Any) -> Any:
    """The line of ``station``, which has joined."""
    from tests.support.joined import Line

    made = Line(station)
    machines.met(made)
    return made


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is to be moved: ``here/X.mp4``, with an empty folder ``there`` beside its own."""
    path = tmp_path / "here" / "X.mp4"
    path.parent.mkdir()
    (tmp_path / "there").mkdir()
    path.write_bytes(b"mine")
    return path


@pytest.fixture
def second_drive() -> Iterator[Path]:
    """A folder on another drive than the test's own, where there is one."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("no second drive here")
    folder = Path(f"/dev/shm/headroom-test-{os.getpid()}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page, in a process of its own for all tests of a file."""
    from tests.support.served import serving

    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from tests.support.browser import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def page(chromium: Any, served: Any) -> Iterator[Any]:
    """A fresh tab on ``served``, which a file may have a fixture of its own for."""
    from tests.support.browser import watched

    with watched(chromium, served) as tab:
        yield tab


@pytest.fixture(scope="module")
def same_page(chromium: Any, served: Any) -> Iterator[Any]:
    """One tab for all tests of a file that leave it as it was: to open one takes two seconds of a
    processor, more than most of them do."""
    from tests.support.browser import watched

    with watched(chromium, served) as tab:
        yield tab


class Gate:
    """Before it a scripted clip stands still in its third step, for as long as a test looks: one
    that takes some seconds may be over before a busy machine has looked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        """What the prompt says: the clip stops here."""
        return f"hold={self._path}"

    def open(self) -> None:
        """For the clip that waits, and for all that come."""
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "open")


Ask = Callable[..., ClipRequest]


@pytest.fixture
def ask(presets: Presets) -> Ask:
    """A valid request for the scripted model."""

    def make(prompt: str = "go", **fields: object) -> ClipRequest:
        return ClipRequest.check({"prompt": prompt, "model": "scripted", **fields}, presets)

    return make


def wait_until(happened: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait for another process: never a fixed sleep, and a name for what didn't come. To look may
    take a page some of the processor that it needs, so it is done seldomer as time goes by."""
    began = time.monotonic()
    while not happened():
        passed = time.monotonic() - began
        assert passed < seconds, f"{what} did not happen in {seconds} s"
        time.sleep(min(max(0.02, passed / 20), 0.1))


def finish(engine: Engine, job: Job, seconds: float = 120) -> Job:
    """Wait until ``job`` has a final state and return it."""
    wait_until(lambda: engine.jobs.get(job.id).state.final, f"the end of job {job.id}", seconds)
    return engine.jobs.get(job.id)
