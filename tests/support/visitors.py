"""A share's own page, asked as visitors do."""

from pathlib import Path

import httpx

from engine.engine import Engine
from ui.share.session import Opened, Sharing
from ui.share.tunnel import Tunnel


class Doors:
    """A share with a tunnel that is none: visitors come to the local port under its name."""

    def __init__(self, engine: Engine) -> None:
        self.port = 0
        self.engine = engine
        self.sharing = Sharing(engine, self.tunnel)
        self.opened = Opened("", "")
        self.clients: list[httpx.Client] = []

    def tunnel(self, port: int, token: str, folder: Path) -> Tunnel:
        self.port = port
        return Tunnel("https://abc123.share.test", None)

    def open(self, hours: float = 2) -> None:
        self.opened = self.sharing.start("link", hours, "scripted")

    def client(self, **headers: str) -> httpx.Client:
        given = {"Host": "abc123.share.test", "Origin": "https://abc123.share.test", **headers}
        made = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/", headers=given, trust_env=False, timeout=60
        )
        self.clients.append(made)
        return made

    def visitor(self, name: str = "Ana", address: str = "") -> httpx.Client:
        """``address``: what the tunnel says of where they are."""
        client = self.client(**({"X-Forwarded-For": address} if address else {}))
        answer = client.post("enter", json={"password": self.opened.password, "name": name})
        assert answer.status_code == 200, answer.text
        # The cookie is for HTTPS, which the tunnel ends; this client stands behind it.
        client.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        return client


def error(answer: httpx.Response) -> str:
    return str(answer.json()["error"])


def asked(prompt: str = "a ball", **more: object) -> dict[str, object]:
    return {"prompt": prompt, "height": 32, "width": 48, "frames": 5, **more}
