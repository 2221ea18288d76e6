"""The page's login: from the command line, where everybody on this computer can read it in the list
of processes, or from somewhere else: a variable, a file, a prompt.
"""

import getpass
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import ExitCode, HeadroomError
from engine.process.variables import AUTH

Login = tuple[str, str]

PROMPT = "-"
LONGEST = 4096  # bytes of a file; what is longer is another one
OTHERS = stat.S_IRGRP | stat.S_IROTH
SEEN = (
    "Everyone on this computer can read a password given with --auth, in the list of processes. "
    f"{AUTH}, --auth-file FILE or --auth - keep it private."
)


class LoginError(HeadroomError):
    """There is a login, but it can't be used."""

    exit_code = ExitCode.BAD_INPUT


def read_login(
    given: str | None, file: Path | None, variable: str | None, say: Callable[[str], None]
) -> Login | None:
    """Who may open the page; None where nobody was named.

    Args:
        given: ``--auth``: USER:PASS, or ``-`` to ask.
        file: ``--auth-file``.
        variable: HEADROOM_AUTH, which counts where the command line names nobody.

    Raises:
        LoginError: with what is wrong; never with a password in it.
    """
    if given is not None and file is not None:
        raise LoginError("--auth and --auth-file can't be combined.", "Leave one of them out.")
    if file is not None:
        return _login(_from_file(file, say), f"{file} has to hold USER:PASS.")
    if given == PROMPT:
        return _asked()
    if given is not None:
        login = _login(given, "--auth has to be USER:PASS, or - to be asked for both.")
        say(SEEN)
        return login
    if variable is not None:
        return _login(variable, f"{AUTH} has to be USER:PASS.")
    return None


def _login(text: str, otherwise: str) -> Login:
    user, colon, password = text.strip("\r\n").partition(":")
    if not (user and colon and password):
        raise LoginError(otherwise, "Give both, with a colon between.")
    if not all(letter.isprintable() for letter in user + password):
        raise LoginError(f"{otherwise} It contains an unprintable character.", "Remove it.")
    return user, password


def _from_file(file: Path, say: Callable[[str], None]) -> str:
    """The first line of ``file``, which may be a pipe."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "that isn't a file name"
        raise LoginError(
            f"--auth-file {file}: {why}.", "Name a file whose first line is USER:PASS."
        ) from error
    if os.name == "posix" and stat.S_ISREG(mode) and mode & OTHERS:
        say(f"Others on this computer can read {file}: chmod 600 keeps it private.")
    try:
        line = data.decode("utf-8-sig").partition("\n")[0]
    except UnicodeDecodeError:
        line = ""
    if len(data) > LONGEST or not line:
        raise LoginError(
            f"--auth-file {file}: it holds no login.", "Make its first line USER:PASS, in UTF-8."
        )
    return line


def _asked() -> Login:
    """From whoever sits at the terminal; from the first line of what is piped in, else."""
    if sys.stdin is None or sys.stdin.closed:
        raise LoginError(
            "--auth - asks for the login, but there is nobody to ask.", f"Set {AUTH} instead."
        )
    try:
        if not sys.stdin.isatty():
            line = sys.stdin.readline(LONGEST)
            return _login(line, "--auth -: what is piped in has to begin with USER:PASS.")
        sys.stderr.write("User: ")
        sys.stderr.flush()
        user = sys.stdin.readline().strip()
        password = getpass.getpass("Password: ", stream=sys.stderr)
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise LoginError("--auth -: nothing was entered.", "Start again and enter both.") from error
    if ":" in user:
        raise LoginError("A user name can't contain a colon.", "Choose another.")
    return _login(f"{user}:{password}", "--auth -: a name and a password are needed.")
