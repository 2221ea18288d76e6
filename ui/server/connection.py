"""One connection of either server: h11's protocol with deadlines, which uvicorn hasn't.

uvicorn ends what is idle after an answer, and nothing else: who connects and sends no whole
request, or takes no answer, keeps a file of ours for as long as they like.
"""

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ui.server.caller import network

if TYPE_CHECKING:
    import asyncio

    from ui.server.door import Door

HEAD_SECONDS = 10.0  # for a request's first line and headers, from the connection on
BODY_GRACE, BODY_RATE = 10.0, 8_000.0  # seconds, and bytes a second after them
BODY_SECONDS = 300.0  # for a whole body: 20 MB at 0.5 Mbit/s
# For what waits to be taken: so many bytes, or its rest.
ANSWER_SECONDS, ANSWER_BYTES = 60.0, 48 * 1024
# What the system may hold for a client. It tells of room once a third of this is free: of the 4 MB
# that Linux gives on loopback, where a tunnel ends, who takes 20 kB/s needs more than a minute.
SEND_BUFFER = 128 * 1024
# Linux' struct tcp_info: where tcpi_bytes_acked is, and how much of it has that.
ACKED_AT, ACKED_END = 120, 128
STALLED = 5.0  # seconds; who takes nothing for so long keeps a place for nothing
BUSY = b"Too many connections are open. Try again in a minute.\n"
LATE = b"The request took too long.\n"


class Connection(H11Protocol):
    """Called by its server's loop only. ``whose`` is what caps by address go by."""

    def __init__(self, door: "Door", **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._door = door
        self.whose = ""
        self._waits_for: object = (
            h11.IDLE
        )  # what its client has to send: IDLE: a head, SEND_BODY: a body
        self._since = self._looked = 0.0
        self._got = 0
        self._unsent_since: float | None = None
        self._socket: Any = None
        self._acked = 0

    # ---- asyncio's calls -------------------------------------------------------------------

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self._looked = self.loop.time()
        self.whose = network(self.client[0] if self.client else "")
        self._socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            # asyncio does this for sockets that were made with TCP's number only, and ours come
            # from socket.create_server: every answer waited 40 ms for the client's late ACK.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._door.enter(self):
            self._refuse(b"503 Service Unavailable", BUSY)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.look(self.loop.time(), len(data))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent_since, self._acked = self.loop.time(), self._taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        super().connection_lost(exc)

    # ---- how far it is -----------------------------------------------------------------------

    def look(self, now: float, arrived: int = 0) -> None:
        """Note what has changed since the last look."""
        waits_for = self._awaited()
        if waits_for is not self._waits_for:
            self._waits_for, self._since, self._got = waits_for, now, 0
        else:
            self._got += arrived
        if self.flow.read_paused:  # it is for us to go on, not for its client
            self._since += now - self._looked
        self._looked = now
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
            return
        acked = self._taken()
        if self._unsent_since is None or acked - self._acked >= ANSWER_BYTES:
            self._unsent_since, self._acked = now, acked

    def _taken(self) -> int:
        """Bytes that its client's system has; 0 where ours doesn't tell."""
        if sys.platform != "linux":
            return 0
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKED_END)
        except (OSError, AttributeError):
            return 0
        return int.from_bytes(told[ACKED_AT:ACKED_END], sys.byteorder)

    def _awaited(self) -> object:
        if self.conn.their_state is h11.SEND_BODY:
            return h11.SEND_BODY  # after an early answer as well: its rest has to come
        answered = self.cycle is None or self.cycle.response_complete
        return h11.IDLE if answered else None

    def overdue(self, now: float) -> str:
        """Why it has to end; empty as a rule. After ``look``."""
        if self._unsent_since is not None and now - self._unsent_since > ANSWER_SECONDS:
            return "an answer wasn't taken"
        past = now - self._since
        if self._waits_for is h11.IDLE and past > HEAD_SECONDS:
            return "no whole request came"
        if self._waits_for is h11.SEND_BODY:
            late = self._got < (past - BODY_GRACE) * BODY_RATE
            if late or past > BODY_SECONDS:
                return "a request's body came too slowly"
        return ""

    def idle(self, now: float) -> float | None:
        """For how many seconds it has kept its place for nothing; None where it works. After
        ``look``. It makes room for others by this, whatever its deadline is."""
        if self.transport.is_closing():
            return now
        if self._waits_for is not None:
            return now - self._since - self._got / BODY_RATE
        stalled = 0.0 if self._unsent_since is None else now - self._unsent_since
        return stalled if stalled > STALLED else None

    # ---- how it ends -------------------------------------------------------------------------

    def end(self) -> None:
        """Close it now. A client that has sent a part of a request's head hears why."""
        if self._waits_for is h11.IDLE and self._got and self._unsent_since is None:
            self._refuse(b"408 Request Timeout", LATE)
        else:
            self.transport.abort()

    def _refuse(self, status: bytes, said: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        self.transport.write(head % (status, len(said)) + b"Connection: close\r\n\r\n" + said)
        self.transport.close()
