"""``join``: this machine works for another one; and ``serve --lanes``: others may work for this."""

import argparse
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from engine import logs
from engine.engine import Engine
from engine.errors import ExitCode
from engine.home import Home
from engine.joined.cluster.head import Head
from engine.joined.cluster.member import Member
from engine.joined.cluster.node import (
    PORT,
    Address,
    ClusterError,
    WrongToken,
    check_system,
    read_address,
)
from engine.joined.cluster.token import head_token, joined_token, keep
from engine.joined.machines import Machines
from engine.machine.addresses import own_addresses
from engine.process.console import say

WARNING = (
    "Joining lets the owner of {head} run any program on this computer, as you. Join only a "
    "machine that you trust, on a network that you trust: what travels isn't encrypted."
)
JOINED_ALREADY = "This computer works for another one already, or is about to."


def join(options: argparse.Namespace) -> int:
    """Work for the machine at ``options.address`` until Ctrl-C."""
    check_system(f"join {options.address}")
    head = read_address(options.address)
    home = Home.find()
    logs.to_file(home.logs / "join.log")
    say(WARNING.format(head=head))
    file = joined_token(home, head)
    with _only_one(home):
        new = not file.is_file()
        if new:
            keep(file, _typed(head))
        try:
            Member(head, file, lambda text: say(str(text)), options.host).run()
        except WrongToken:
            file.unlink(missing_ok=True)  # so that the next try asks again
            raise
        except KeyboardInterrupt:
            say("This computer has left.")
    return ExitCode.DONE


def _typed(head: Address) -> str:
    """The token, from whoever sits here, or from a pipe; never from the command line, which
    everybody on this computer can list."""
    if sys.stdin.isatty():
        token = getpass.getpass(f"Token that {head} showed when it was opened to others: ")
    else:
        token = sys.stdin.readline()
    if not token.strip():
        raise ClusterError(
            "No token was given.", "The other machine shows it; give it when asked, or on stdin."
        )
    return token


@contextmanager
def _only_one(home: Home) -> Iterator[None]:
    lock = FileLock(home.made(home.joining) / "join.lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout as error:
        raise ClusterError(JOINED_ALREADY, "End the other join first.") from error


@contextmanager
def open_to_machines(engine: Engine, wanted: str | None) -> Iterator[Machines | None]:
    """While this lasts other machines may join, at the address ``wanted`` ("" finds one); None
    where nobody asked for that.

    Raises:
        ClusterError: they can't.
    """
    if wanted is None:
        yield None
        return
    check_system("serve --lanes")
    if engine.is_elsewhere():
        raise ClusterError(
            "Another Headroom is working on this folder's queue, so this one has none to share.",
            "End that one, or start it with --lanes.",
        )
    address = read_address(wanted) if wanted else _usual_address()
    token_file, new = head_token(engine.home)
    say(f"Opening to other machines at {address} …")
    machines = Machines(engine)
    head = Head(machines, address, token_file, engine.faults.tell)
    try:
        head.start()
        say(f"On another machine with Linux: ./launch.sh join {address}")
        if new:
            say(f"It asks for this token, which is shown only now: {token_file.read_text()}")
        else:
            say(f"It asks for the token in {token_file}.")
        say("Whoever has the token can run programs on this computer. Give it to nobody else.")
        yield machines
    finally:
        machines.close()
        head.close()


def _usual_address() -> Address:
    """The first of this machine's that others on its network reach."""
    addresses = [address for address in own_addresses() if ":" not in address]
    if not addresses:
        raise ClusterError(
            "This computer has no address that other machines could reach.",
            f"Connect it to a network, or name one: --lanes ADDRESS or ADDRESS:{PORT}.",
        )
    return Address(addresses[0])
