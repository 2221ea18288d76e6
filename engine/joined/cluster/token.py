"""The token that lets machines in: drawn by the head, in a file that only its user reads."""

import os
import secrets
from pathlib import Path

from engine.home import Home
from engine.joined.cluster.node import Address

LONGEST = 200


def head_token(home: Home) -> tuple[Path, bool]:
    """The file of this machine's own token, drawn where there is none; and whether it is new."""
    file = _folder(home) / "token"
    if file.is_file():
        os.chmod(file, 0o600)
        return file, False
    _write(file, secrets.token_urlsafe(24))
    return file, True


def joined_token(home: Home, head: Address) -> Path:
    """Where the token of the machine at ``head`` lies once this one has joined it."""
    return _folder(home) / f"token-of-{head.host}-{head.port}"


def keep(file: Path, token: str) -> None:
    """Write what somebody typed."""
    _write(file, "".join(token.split())[:LONGEST])


def _folder(home: Home) -> Path:
    folder = home.made(home.joining)
    os.chmod(folder, 0o700)
    return folder


def _write(file: Path, token: str) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii", errors="replace") as written:
        written.write(token)
