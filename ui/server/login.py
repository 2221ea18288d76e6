"""The owner's login: every way to try it passes here, so that one throttle slows all of them."""

import base64
import hmac

from starlette.types import Message, Scope, Send

from engine.errors import HeadroomError
from engine.text import NOTHING, Text
from ui.server.caller import caller_of
from ui.server.throttle import Throttle

Login = tuple[str, str] | None


class NotLoggedIn(HeadroomError):
    """Nobody's login, or a wrong one."""

    def __init__(self) -> None:
        super().__init__(Text("login.first"), NOTHING)


class PageLogin:
    """The login of one page; ``pair`` is None where it asks for none."""

    def __init__(self, login: Login = None, throttle: Throttle | None = None) -> None:
        self.pair = login
        self._throttle = throttle or Throttle()

    def ask(self, scope: Scope) -> None:
        """Look at ``Authorization: Basic``, which programs send with every request.

        Raises:
            NotLoggedIn: there is none, or it is wrong.
            TooManyTries: it wasn't looked at, whatever it is.
        """
        if self.pair is None:
            return
        sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not sent:  # which is no try
            raise NotLoggedIn
        address, proxied = caller_of(scope)
        if not self._throttle.judge(address, lambda: knows_login(sent, self.pair), proxied):
            raise NotLoggedIn

    def watched(self, scope: Scope, send: Send) -> Send:
        """A ``send`` for Gradio's ``POST /login``, which judges by itself: it is taken for wrong
        until the answer's status says otherwise.

        Raises:
            TooManyTries: it mustn't be judged now.
        """
        address, proxied = caller_of(scope)
        self._throttle.begin(address, proxied)

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._throttle.right(address, proxied)
            await send(message)

        return look


def knows_login(authorization: str | None, login: Login) -> bool:
    """Whether an ``Authorization`` header is ``Basic`` with the page's own login."""
    if login is None:
        return True
    scheme, _, code = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        told = base64.b64decode(code.strip(), validate=True)
    except ValueError:  # no Base64, or no ASCII
        return False
    return hmac.compare_digest(told, ":".join(login).encode())
