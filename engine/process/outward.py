"""Why something can't be fetched at all: what the environment says of the way out of this computer.

A proxy or certificates that can't be used are told where something is fetched, in the same words
whoever fetches: weights, a language model, the program of share links.
"""

import os
from collections.abc import Iterator
from ssl import SSLError

from engine.process.variables import WrongWay, wrong_way
from engine.text import Text

# What to do about it.
CORRECT_IT = Text("outward.correct_it")
# What HTTP clients raise over such a setting, of httpx and httpx2 alike; all of them are raised for
# other causes, too, so the environment has to bear it out.
LOCAL = (ImportError, ValueError, FileNotFoundError, IsADirectoryError, PermissionError, SSLError)
CLIENTS = ("InvalidURL", "UnsupportedProtocol", "LocalProtocolError", "ConnectError")


def fault(error: BaseException, hub: bool = False) -> Text | None:
    """Which variable ``error`` came of, as a clause; None where it came of something else.
    ``hub``: the hub of the weights was asked, which has a variable of its own."""
    if not any(_may_be(one) for one in _causes(error)):
        return None
    found = wrong_way(os.environ, hub)
    return None if found is None else _clause(found)


def _clause(found: WrongWay) -> Text:
    if found.what == "certificates":
        return Text("outward.no_certificates", name=found.name)
    if found.what == "key log":
        return Text("outward.no_key_log", name=found.name)
    if found.what == "mirror":
        return Text("outward.no_mirror", name=found.name)
    if found.kind:
        return Text("outward.other_kind", name=found.name, kind=found.kind)
    return Text("outward.no_proxy", name=found.name)


def _may_be(error: BaseException) -> bool:
    return isinstance(error, LOCAL) or (type(error).__name__ in CLIENTS)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what it was raised from."""
    one: BaseException | None = error
    for _ in range(10):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__
