"""What a file is: whether one is there at all, whether a folder of ours holds it itself, and what
its bytes are."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from engine.text import Said, Text

# What the system says where nothing stands: no entry, a file among the folders, a link that leads
# to itself, too long a name.
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def is_own_file(path: Path) -> bool:
    """A link in a folder of ours could name any file of this computer, so it is none of ours."""
    return os.path.isfile(path) and not os.path.islink(path)


def why_no_file(path: Path, file: Said) -> Text | None:
    """What stands at ``path`` instead of a file; None where one does. A pipe has to be refused
    before it is opened, which would wait for somebody who writes.

    Args:
        file: what the sentence calls it.

    Raises:
        OSError: it can't be looked at.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        return Text("files.none", file=file)
    except ValueError:  # a NUL in its name
        return Text("files.none", file=file)
    if stat.S_ISREG(mode):
        return None
    return Text("files.is_folder" if stat.S_ISDIR(mode) else "files.is_special", file=file)


def sha256_of(path: Path) -> str:
    """As hexadecimal digits.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
