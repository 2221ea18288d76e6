"""Makes .venv for this machine from exact versions. Standard library only: it runs before anything
is installed, with whatever Python the launcher found.

``python engine/install.py [--tests]``: sets up, or returns at once if nothing has changed.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
STAMP = VENV / "headroom.json"
OLDEST, NEWEST = (3, 11), (3, 13)
MINIMUM_FREE = 4 * 2**30  # bytes: the environment takes 1.6 GB, and as much again while unpacking


class SetupError(Exception):
    """Set-up can't go on; the text says what to do."""


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def python_of(venv: Path) -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return venv / folder / name


def wanted(files: list[Path]) -> dict[str, str]:
    """What the environment depends on: this Python and the text of the requirement files."""
    facts = {"python": ".".join(map(str, sys.version_info[:3])), "place": str(VENV)}
    for file in files:
        facts[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return facts


def installed() -> dict[str, str]:
    """What the last finished set-up wrote; empty if there was none or it was interrupted."""
    try:
        facts = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and python_of(VENV).exists() else {}


def check_machine() -> None:
    """Raises SetupError for what would make the install fail half-way."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; Headroom needs 3.11 to "
            "3.13. Install one of these and start again."
        )
    import shutil

    free = shutil.disk_usage(PROJECT).free
    if free < MINIMUM_FREE:
        raise SetupError(
            f"{free / 2**30:.1f} GB are free on the disk of {PROJECT}, and set-up needs "
            f"{MINIMUM_FREE / 2**30:.0f} GB. Make room and start again."
        )


def run(*command: str | Path) -> None:
    """Run a step with its output on stderr: the caller's stdout belongs to the program."""
    # No shell: a folder with spaces or & in its name is passed on as it is.
    result = subprocess.run([str(part) for part in command], cwd=PROJECT, stdout=sys.stderr)
    if result.returncode != 0:
        raise SetupError(
            f"This step failed with code {result.returncode}: "
            f"{' '.join(str(part) for part in command[1:])}\n"
            "Its last lines above say why. Without a network connection it can't work the first "
            "time; what was downloaded is kept, so starting again goes on from there."
        )


def set_up(files: list[Path]) -> None:
    """Make or renew .venv so that it holds exactly ``files``.

    The stamp is written last: whatever interrupts this, the next start takes it up again.
    """
    check_machine()
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if not python_of(VENV).exists() or _python_version(VENV) != sys.version_info[:2]:
        say(f"Making a Python environment in {VENV}")
        import venv

        venv.EnvBuilder(with_pip=True, clear=VENV.exists()).create(VENV)
    say("Installing packages (about 400 MB to download the first time; a few minutes)")
    requirements = [word for file in files for word in ("-r", str(file))]
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    run(python_of(VENV), "-m", "pip", "install", *quiet, *requirements)
    say("Compiling, so that the first start is as fast as the next ones")
    run(python_of(VENV), "-m", "compileall", "-q", "app.py", "engine", "ui")
    STAMP.write_text(json.dumps(wanted(files), indent=1) + "\n", encoding="utf-8")
    say(f"Set-up took {time.monotonic() - began:.0f} s. The next start needs none of it.")


def _python_version(venv: Path) -> tuple[int, int]:
    code = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])"
    found = subprocess.run([python_of(venv), "-c", code], capture_output=True, text=True)
    parts = found.stdout.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else (0, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    options = parser.parse_args()
    files = [PROJECT / "requirements.txt"]
    if options.tests:
        files.append(PROJECT / "requirements-test.txt")
    have = installed()
    # An environment with the test tools serves the page as well.
    if all(have.get(name) == value for name, value in wanted(files).items()):
        return 0
    if not options.tests and "requirements-test.txt" in have:
        files.append(PROJECT / "requirements-test.txt")
    try:
        set_up(files)
    except SetupError as error:
        say(f"\n{error}")
        return 5
    except KeyboardInterrupt:
        say("\nSet-up was interrupted; start again to go on.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
