"""One Ray node in processes of its own: the head's, or one that joins it."""

import contextlib
import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ExitCode, HeadroomError
from engine.home import PROJECT
from engine.text import Text

log = logging.getLogger("headroom.cluster")

PORT = 7870  # of the head; its other ports, and the members', follow
PORTS, PORT_BLOCKS = 30, 40
STORE_BYTES = 128 * 2**20  # shared memory for what is on its way: a piece of a file has 4 MiB
START_SECONDS = 60.0
CONNECT_SECONDS = 5.0
UP = "Ray runtime started"
NOT_LET_IN = re.compile(r"AuthenticationError|Unauthenticated|invalid auth", re.I)
OTHER_VERSION = re.compile(r"version mismatch", re.I)
NO_CONNECTION = re.compile(r"(failed|unable|timed out).*(connect|GCS)|ConnectionError", re.I)


class ClusterError(HeadroomError):
    """Machines can't work together here, or this one can't join."""

    exit_code = ExitCode.SETUP_MISSING


class WrongToken(ClusterError):
    """The head doesn't know the token."""

    exit_code = ExitCode.BAD_INPUT


class Unreached(ClusterError):
    """There is no head at that address now."""


class OtherRay(ClusterError):
    """The head has another Ray, or another Python."""


@dataclass(frozen=True)
class Address:
    """Where the head is: ``host`` as an IP address, and its first port."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return self.host if self.port == PORT else f"{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """``HOST`` or ``HOST:PORT``, the host by name or number (IPv4, which is what Ray speaks).

    Raises:
        ClusterError: it is no such thing, or the name isn't known.
    """
    host, _, port = text.strip().rpartition(":") if ":" in text else (text.strip(), "", "")
    wrong = Text("joined.no_address", address=text[:60]), Text("joined.address_form", port=PORT)
    numbered = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if not host or not (numbered or ":" not in text):
        raise ClusterError(*wrong)
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ClusterError(*wrong) from error
    return Address(str(found[0][4][0]), int(port) if port else PORT)


def own_address_towards(host: str) -> str:
    """The address by which this machine reaches ``host``, and is reached from there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def check_system(what: str) -> None:
    """Raises ClusterError: Ray doesn't carry several machines on this system, or isn't here.

    Args:
        what: the command that wants it.
    """
    if sys.platform != "linux":
        raise ClusterError(Text("joined.not_here"), Text("joined.instead"))
    if importlib.util.find_spec("ray") is None:
        raise ClusterError(Text("joined.no_ray"), Text("joined.set_up_by", command=what))


def environment(token_file: Path) -> dict[str, str]:
    """For every process that touches Ray: the token on, statistics off, and nothing of what
    somebody set for another cluster of his."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        # It kills what takes much memory; the guard is who looks after that here.
        "RAY_memory_monitor_refresh_ms": "0",
        # 127.0.0.x would count as a Mac's, which may have no second node.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), kept.get("PYTHONPATH", "")])),
    }


def connect(address: str, own: str, token_file: Path) -> None:
    """Make this process one of the cluster at ``address``, by its node ``own``. It ends, without a
    word, once Ray has lost that cluster."""
    os.environ.update(environment(token_file))
    import ray

    ray.init(
        address=address,
        _node_ip_address=own,
        namespace="headroom",
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
    )


class Node:
    """See the module's docstring. It ends with ``close``, or with this process, however that ends.

    Args:
        own: the address of this machine that the others reach it by.
        head: of a member's node, where the head is.
    """

    def __init__(
        self, own: str, token_file: Path, port: int = PORT, head: Address | None = None
    ) -> None:
        self.own, self.head = own, head
        self._token_file, self._port = token_file, port
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._said: list[str] = []
        self._up = threading.Event()

    def start(self) -> None:
        """Return once it is up.

        Raises:
            WrongToken, OtherRay, Unreached: of a member's.
            ClusterError: it didn't start.
        """
        if self.head is not None and not _answers(self.head):
            raise self._unreached()
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--disable-usage-stats", "--num-cpus=0", "--num-gpus=0"]
        command += [f"--node-ip-address={self.own}", f"--object-store-memory={STORE_BYTES}"]
        first = _free_block(self._port + 1)
        command += [f"--node-manager-port={first}", f"--object-manager-port={first + 1}"]
        command += [f"--min-worker-port={first + 2}", f"--max-worker-port={first + PORTS - 2}"]
        if self.head is None:
            _refuse_taken(self.own, self._port)
            # A short path: Ray's sockets lie below it, and their names may have 107 bytes.
            self._folder = tempfile.mkdtemp(prefix="headroom-", dir=_short_folder())
            command += ["--head", f"--port={self._port}", "--include-dashboard=false"]
            command += [f"--temp-dir={self._folder}"]
        else:
            command += [f"--address={self.head.host}:{self.head.port}"]
        held = [sys.executable, "-m", "engine.joined.cluster.held", self._folder]
        self._process = subprocess.Popen(
            [*held, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=PROJECT,
            env=environment(self._token_file),
        )
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        reader.start()
        for _ in range(int(START_SECONDS * 10)):
            if self._up.wait(0.1):
                return
            if not self.alive or NOT_LET_IN.search("\n".join(self._said)):
                break
        reader.join(1.0)
        self.close()
        raise self._why()

    @property
    def pid(self) -> int | None:
        """Of the process that leads the group of all of them."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            log.debug("ray: %s", text)
            self._said = [*self._said[-200:], text]
            if UP in text:
                self._up.set()

    def _why(self) -> ClusterError:
        """What the lines that it wrote mean."""
        said = "\n".join(self._said)
        head = str(self.head or self.own)
        if NOT_LET_IN.search(said):
            return WrongToken(Text("joined.wrong_token", head=head), Text("joined.token_is_there"))
        if OTHER_VERSION.search(said):
            theirs = re.search(r"Ray: (\S+)\s+Python: (\S+)", said)
            ray, python = (theirs[1], theirs[2]) if theirs else ("?", "?")
            told = Text("joined.other_ray", head=head, ray=ray, python=python)
            return OtherRay(told, Text("joined.same_ray"))
        if self.head is not None and NO_CONNECTION.search(said):
            return self._unreached()
        last = next((line for line in reversed(self._said) if line.strip()), "?")
        return ClusterError(Text("joined.ray_fails", why=last[:200]), Text("joined.look_into_log"))

    def _unreached(self) -> Unreached:
        ports = Text("joined.open_ports", first=PORT, last=PORT + PORTS)
        return Unreached(Text("joined.unreached", head=str(self.head)), ports)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(8.0)
        if process.poll() is None:
            process.kill()
            process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _answers(head: Address) -> bool:
    """Whether anybody listens there: Ray would try for a minute."""
    try:
        with socket.create_connection((head.host, head.port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _short_folder() -> str | None:
    return "/tmp" if os.access("/tmp", os.W_OK) else None


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = error.strerror or str(error)
            taken = Text("joined.cant_listen", address=f"{host}:{port}", why=why)
            raise ClusterError(taken, Text("joined.other_port")) from error


def _free_block(first: int) -> int:
    """The first port of ``PORTS`` that nobody uses on this machine, ``first`` if that goes: Ray
    needs some, and a firewall is opened for known ones."""
    for start in range(first, first + PORT_BLOCKS * PORTS, PORTS):
        try:
            with contextlib.ExitStack() as probes:
                for port in (start, start + 1, start + 2):
                    probe = probes.enter_context(socket.socket())
                    probe.bind(("", port))
            return start
        except OSError:
            continue
    return first
