"""What of this program is installed in the environment that runs now, against what was tested."""

import os
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from engine.home import PROJECT
from engine.install.environments import TRIAL, Stamp, read_stamp
from engine.install.plan import ENGINE, FILES, GPU, LIGHTX2V, OPTIONAL, PAGE
from engine.text import Text

SETUP = Text("install.setup_command")


def stamp() -> Stamp | None:
    """What set-up wrote into this environment; None if it was made by other means."""
    return None if os.environ.get(TRIAL) else read_stamp(Path(sys.prefix))


def engine_here() -> bool:
    """Whether the packages that make clips are here and were tried.

    Looking for torch wouldn't do: while it is installed, half of it is there.
    """
    made = stamp()
    if made is not None:
        return ENGINE in made.files
    return find_spec("torch") is not None and find_spec("diffusers") is not None


def lightx2v_here() -> bool:
    made = stamp()
    if made is not None and LIGHTX2V not in made.files and GPU in FILES.get(made.target, ()):
        return False  # on its way
    return engine_here() and find_spec("lightx2v") is not None


def requirements(file: str) -> list[Requirement]:
    """What ``file`` asks for on this machine."""
    found: list[Requirement] = []
    for line in (PROJECT / file).read_text(encoding="utf-8").splitlines():
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


@dataclass(frozen=True)
class Difference:
    """A package that isn't here in its tested version; ``found`` is None where it isn't at all."""

    name: str
    found: str | None
    wanted: str

    def __str__(self) -> str:
        return f"{self.name} {self.found or 'missing'} instead of {self.wanted}"


def differing() -> list[str]:
    """``differences``, each as half a sentence."""
    return list(map(str, differences()))


def differences() -> list[Difference]:
    """Each package that isn't here in its tested version."""
    made = stamp()
    files = made.files if made is not None else (PAGE, ENGINE)
    nvidia = made is not None and GPU in made.files
    wrong = []
    for file in files:
        for requirement in requirements(file):
            name = requirement.name
            if requirement.url or (name == "torch" and nvidia and file == ENGINE):
                continue  # the card's own torch stands in its file
            if name in OPTIONAL and made is not None and name in made.left_out:
                continue
            wanted = str(requirement.specifier).removeprefix("==")
            found = _version(name)
            if (found or "").partition("+")[0] != wanted.partition("+")[0]:
                wrong.append(Difference(name, found, wanted))
    return wrong


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
