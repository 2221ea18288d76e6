"""Set-up: looks at this computer, says what it will install and why, and puts it in force once it
was tested. Standard library only, run by whatever Python the launcher found.

``python engine/install COMMAND ...`` gets the launcher's own arguments and installs what COMMAND
needs: the page's packages for most, all of them for ``generate`` and ``setup``, the tests' too for
``test``.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.install import trial
from engine.install.environments import (
    Environments,
    SetupError,
    Stamp,
    answers,
    python_of,
    read_stamp,
    rehome,
)
from engine.install.facts import Facts, this_computer
from engine.install.packages import Packages
from engine.install.plan import (
    FILES,
    GIB,
    GPU,
    LANES,
    PAGE,
    TESTS,
    InstallPlan,
    Target,
    Wish,
    make_plan,
)
from engine.process import terminal
from engine.process.console import Parser, say, tell_json
from engine.process.variables import AUTH, settle

PROJECT = Path(__file__).resolve().parents[2]
PAGE_SPACE = 1 * GIB
ADDING = "headroom.adding"  # lies in an environment while packages are added to it
# What needs torch before it can begin; the page gets it by itself (engine/install/background.py).
OPTIONS = ("--cpu", "--gpu", "--repair", "--dry-run")
WHOLE = ("setup", "test", "generate", "measure", "bench", "finish", "join")


@dataclass(frozen=True)
class Order:
    """What somebody asked for. ``wish`` None: what was asked for the last time; ``lanes``: machines
    are to work together."""

    command: str
    wish: Wish | None = None
    repair: bool = False
    dry_run: bool = False
    lanes: bool = False


def read_order(arguments: list[str]) -> Order:
    """Only ``setup`` has options of its own, and the word can be left out before them; all others
    belong to the program."""
    if arguments == ["check"]:  # the developers' loop; with a size it is the program's verdict
        return Order("test")
    first = arguments[0] if arguments else "serve"
    if first in OPTIONS:
        arguments = ["setup", *arguments]
    elif first != "setup":
        command = "serve" if first.startswith("-") else first
        open_to_others = any(part.partition("=")[0] == "--lanes" for part in arguments)
        return Order(command, lanes=command == "join" or (command == "serve" and open_to_others))
    parser = Parser(prog="launch.sh setup", description="Sets Headroom up.")
    parser.add_argument("--cpu", action="store_true", help="without NVIDIA's packages")
    parser.add_argument("--gpu", action="store_true", help="with them, even against the checks")
    parser.add_argument("--repair", action="store_true", help="rebuild everything")
    parser.add_argument("--dry-run", action="store_true", help="print the plan as JSON, do nothing")
    told = parser.parse_args(arguments[1:])
    if told.cpu and told.gpu:
        parser.error("--cpu and --gpu can't be combined")
    wish: Wish | None = "cpu" if told.cpu else "gpu" if told.gpu else None
    return Order("setup", wish, told.repair, told.dry_run)


class Setup:
    """One run of the set-up in ``project``."""

    def __init__(self, project: Path, order: Order) -> None:
        self.project, self.order = project, order
        self.places = Environments(project)

    def run(self) -> None:
        """Return once what was ordered is there and works.

        Raises:
            SetupError: it can't be.
        """
        if self._settled():
            return
        with self.places.locked():
            if self._settled():  # by the set-up that was waited for
                return
            self.places.recover()
            self._install()

    # ---- what is there, and what is missing ------------------------------------------------

    def _settled(self) -> bool:
        """Whether nothing has to be done. Quick, and without a look at the driver, but for
        ``setup``, which is how a new card or driver gets its packages."""
        stamp = self._stamp()
        if stamp is None or self.order.repair:
            return False
        if stamp.place != str(self.places.now):
            rehome(self.places.now, stamp.place, str(self.places.now))
            replace(stamp, place=str(self.places.now)).write(self.places.now)
        wish = self.order.wish
        if wish is not None and stamp.wish != wish:
            replace(stamp, wish=wish).write(self.places.now)
        target = self._plan(stamp).target if self.order.command == "setup" else stamp.target
        # What is there besides has to be of this version too: the tests' tools only for the tests.
        besides = [file for file in stamp.files if file != TESTS]
        wanted = self._hashes((*self._files(target), *besides))
        return target == stamp.target and wanted.items() <= stamp.files.items()

    def _stamp(self) -> Stamp | None:
        """What is installed; None if there is nothing that works with this Python."""
        stamp = read_stamp(self.places.now)
        if stamp is None or stamp.python != _python_version():
            return None
        moved = stamp.place != str(self.places.now)
        here = answers(self.places.now) if moved else python_of(self.places.now).exists()
        return stamp if here else None

    def _plan(self, stamp: Stamp | None) -> InstallPlan:
        before: Wish = cast(Wish, stamp.wish) if stamp is not None else "auto"
        return make_plan(self.facts(), self.order.wish or before)

    def facts(self) -> Facts:
        return this_computer(self.project)

    def _files(self, target: str) -> tuple[str, ...]:
        if self.order.command == "test":
            return (*FILES[cast(Target, target)], LANES, TESTS)
        # Elsewhere Ray has no second machine, and the program says so.
        if self.order.lanes and sys.platform == "linux":
            return (*FILES[cast(Target, target)], LANES)
        return FILES[cast(Target, target)] if self.order.command in WHOLE else (PAGE,)

    def _hashes(self, files: tuple[str, ...]) -> dict[str, str]:
        """ "" for a file that this version of the program doesn't have any more."""
        found = {}
        for file in files:
            place = self.project / file
            there = place.is_file()
            found[file] = hashlib.sha256(place.read_bytes()).hexdigest() if there else ""
        return found

    # ---- doing it --------------------------------------------------------------------------

    def _install(self) -> None:
        began = time.monotonic()
        stamp = self._stamp()
        facts = self.facts()
        before: Wish = cast(Wish, stamp.wish) if stamp is not None else "auto"
        wish = self.order.wish or before
        plan = make_plan(facts, wish)
        if stamp is not None and self.order.command != "setup":
            plan = _kept(plan, stamp)
        files = self._files(plan.target)
        if plan.problem and not (files == (PAGE,) and facts.free >= PAGE_SPACE and _space(plan)):
            raise SetupError(f"{plan.problem} {plan.remedy}")
        have = stamp.files if stamp is not None and stamp.target == plan.target else {}
        old = self._hashes(tuple(have))
        fresh = Stamp(_python_version(), str(self.places.now), plan.target, wish)
        if stamp is not None and have and old == have and not self.order.repair:
            # What only adds leaves what is there alone: no package has two versions in the locks.
            more = tuple(file for file in files if file not in have)
            self._add(replace(fresh, files=have, left_out=stamp.left_out), plan, more)
        else:
            _explain(plan)
            both = [*FILES[plan.target], LANES, TESTS]
            kept = have if not self.order.repair or self.order.command != "setup" else {}
            self._build(fresh, plan, tuple(f for f in both if f in files or f in kept))
        say(f"Set-up took {time.monotonic() - began:.0f} s. Later starts skip it.")

    def _add(self, stamp: Stamp, plan: InstallPlan, files: tuple[str, ...]) -> None:
        # An addition that was cut off can leave a package that looks installed and isn't whole.
        adding = self.places.now / ADDING
        packages = Packages(
            self.project, self.places.now, plan, self.facts().system, again=adding.exists()
        )
        adding.touch()
        packages.install(files)
        self._finish(stamp, packages, self.places.now, files)
        adding.unlink()

    def _build(self, stamp: Stamp, plan: InstallPlan, files: tuple[str, ...]) -> None:
        """A whole environment beside the one in force, which it then replaces."""
        packages = Packages(self.project, self.places.new, plan, self.facts().system)
        try:
            packages.make()
            packages.install(files)
            self._finish(stamp, packages, self.places.new, files)
        except BaseException:
            shutil.rmtree(self.places.new, ignore_errors=True)
            raise
        self.places.swap()

    def _finish(self, stamp: Stamp, packages: Packages, venv: Path, files: tuple[str, ...]) -> None:
        """Try it, compile it, and only then write down that it is there."""
        tried = files
        if GPU in files and not self.facts().cards:
            say(
                "There is no GPU here to test its packages on; the first model that is loaded will."
            )
            tried = tuple(file for file in files if file != GPU)
        for package, why in trial.run(self.project, python_of(venv), tried).items():
            packages.remove(package, why)
        self._compile(venv)
        left_out = {**stamp.left_out, **packages.left_out} if GPU in files else stamp.left_out
        hashes = {**stamp.files, **self._hashes(files)}
        replace(stamp, files=hashes, left_out=left_out).write(venv)

    def _compile(self, venv: Path) -> None:
        """So that the first start is as fast as the next ones; where it fails, it isn't."""
        command = [str(python_of(venv)), "-m", "compileall", "-q", "app.py", "engine", "ui"]
        subprocess.run(command, cwd=self.project, stdout=sys.stderr)


def _kept(plan: InstallPlan, stamp: Stamp) -> InstallPlan:
    """A start changes no card's packages for others: a driver may be missing for a day."""
    if plan.target == stamp.target:
        return plan
    say(
        f"{plan.decisions[0].reason} The installed packages are for another case ({stamp.target}); "
        "`launch.sh setup` replaces them."
    )
    return replace(plan, target=cast(Target, stamp.target), problem="", remedy="")


def _space(plan: InstallPlan) -> bool:
    return "disk" in plan.problem


def _python_version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _explain(plan: InstallPlan) -> None:
    say("What will be installed here, and why:")
    for decision in plan.decisions:
        say(f"  {decision.name}: {decision.value}. {decision.reason}")
        if decision.remedy:
            say(f"    {decision.remedy}")


def dry_run(setup: Setup) -> dict[str, object]:
    """The plan, what it follows from and what is installed, as one JSON object."""
    stamp = read_stamp(setup.places.now)
    before: Wish = cast(Wish, stamp.wish) if stamp is not None else "auto"
    facts = setup.facts()
    plan = make_plan(facts, setup.order.wish or before)
    return {
        "facts": asdict(facts),
        "plan": plan.as_json(),
        "installed": asdict(stamp) if stamp is not None else None,
    }


def main(arguments: list[str]) -> int:
    order = read_order(arguments)
    setup = Setup(PROJECT, order)
    try:
        if order.dry_run:
            tell_json(dry_run(setup))
            return 0
        setup.run()
    except terminal.AnswerLost as lost:
        if not lost.gone:
            say(f"The answer can't be written: {lost.strerror}.")
        return 130 if lost.gone else 4
    except SetupError as error:
        say("")
        for line in str(error).split("\n"):
            say(line)
        return _without(setup)
    except OSError as error:
        say("")
        say(f"Set-up failed: {error.strerror or error} ({error.filename}).")
        return _without(setup)
    except KeyboardInterrupt:
        say("")
        say("Set-up was interrupted; start again to continue.")
        return 130
    return 0


def _without(setup: Setup) -> int:
    """After a failure: a start goes on with what was there before, if that still works."""
    command, venv = setup.order.command, setup.places.now
    stamp = read_stamp(venv)
    goes_on = command not in ("setup", "test", "finish") and stamp is not None and answers(venv)
    if stamp is None or not goes_on or (command in WHOLE and len(stamp.files) < 2):
        return 5
    say("The previous environment is intact; continuing with it.")
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """As Ctrl-C does: the step at work is ended too, instead of going on by itself."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    terminal.secure()
    # A message must not end the set-up where a window can't show one of its letters.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    os.chdir(PROJECT)
    os.environ.pop(AUTH, None)  # nothing that installs needs the page's login
    settle(os.environ)  # app.py says what was left out
    sys.exit(main(sys.argv[1:]))
