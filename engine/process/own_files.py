"""What a file is: whether a folder of ours holds it itself, and what its bytes are."""

import hashlib
import os
from pathlib import Path


def is_own_file(path: Path) -> bool:
    """A link in a folder of ours could name any file of this computer, so it is none of ours."""
    return os.path.isfile(path) and not os.path.islink(path)


def sha256_of(path: Path) -> str:
    """As hexadecimal digits.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
