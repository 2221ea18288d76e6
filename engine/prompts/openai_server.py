"""An OpenAI-compatible server: its address, the way to it, and its failures as sentences."""

import asyncio
import json
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ExitCode, HeadroomError, first_line
from engine.machine.addresses import destination, is_link_local, is_this_computer
from engine.process.outward import CORRECT_IT, fault
from engine.prompts.rewriting import clean
from engine.text import NOTHING, Text, joined

CONNECT_SECONDS = 5.0
SECONDS = 30.0
LARGEST = 1_000_000  # bytes of an answer; a long thought with its prompt has a tenth of that


class EnhancerError(HeadroomError):
    """The language model can't be set, asked or understood."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Endpoint:
    """Which language model is asked, as everybody may see it: whether there is a key, not which."""

    base: str
    model: str
    seconds: float = SECONDS
    has_key: bool = False

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    @property
    def here(self) -> bool:
        """Whether it is this computer, so that nothing leaves it."""
        return is_this_computer(urlsplit(self.base).hostname or "")

    @property
    def encrypted(self) -> bool:
        return self.base.startswith("https:")


# ---- addresses -----------------------------------------------------------------------------


def checked_base(text: str) -> str:
    """The address of an OpenAI-compatible server, as it is kept: up to and with its ``/v1``.

    Raises:
        EnhancerError: it is no address, or one that no such server has.
    """
    text = text.strip()
    remedy = Text("prompts.enter_address")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https"):
        raise EnhancerError(Text("prompts.no_scheme"), remedy)
    if not host or len(text) > 500 or not text.isascii() or not text.isprintable() or " " in text:
        raise EnhancerError(Text("prompts.no_address"), remedy)
    if "@" in parts.netloc:
        raise EnhancerError(Text("prompts.address_with_login"), Text("prompts.enter_key"))
    if parts.query or parts.fragment:
        raise EnhancerError(Text("prompts.address_with_query"), remedy)
    if is_link_local(host):
        raise EnhancerError(Text("prompts.link_local", host=host), remedy)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/models")
    return f"{parts.scheme}://{parts.netloc}{path}"


def origin(base: str) -> str:
    """The server of an address: whom a key is for."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}".lower()


# ---- the wire ------------------------------------------------------------------------------


async def _refuse_link_local(endpoint: Endpoint) -> None:
    """A name can stand for such an address as well; a proxy asks for names itself.

    Raises:
        EnhancerError: it does.
    """
    parts = urlsplit(endpoint.base)
    host, proxies = parts.hostname or "", urllib.request.getproxies()
    if destination(host) is not None or (
        not endpoint.here and (parts.scheme in proxies or "all" in proxies)
    ):
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # the request says so itself
    near = [str(place[0]) for *_, place in found if is_link_local(str(place[0]))]
    # A computer in this network tells its IPv6 one beside the one that is meant.
    if near and (len(near) == len(found) or any("." in address for address in near)):
        raise EnhancerError(Text("prompts.link_local", host=host), Text("prompts.enter_address"))


async def ask(
    endpoint: Endpoint, method: str, path: str, body: object = None, key: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and bytes of the answer; redirects aren't followed.

    A proxy of the environment is used, but not for this computer: it would look at its own.
    """
    import httpx

    await _refuse_link_local(endpoint)
    headers = {"Accept-Encoding": "identity"}  # so that LARGEST counts what has to be held
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = bytearray()
    try:
        async with (
            httpx.AsyncClient(
                trust_env=not endpoint.here,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            ) as client,
            client.stream(method, endpoint.base + path, json=body, headers=headers) as answer,
        ):
            async for piece in answer.aiter_raw():
                data += piece
                if len(data) > LARGEST:
                    raise EnhancerError(
                        Text("prompts.endless", host=endpoint.host, most=LARGEST // 1_000_000),
                        Text("prompts.check_address"),
                    )
            return answer.status_code, answer.headers, bytes(data)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise _unreachable(endpoint, error, key) from error


def _unreachable(endpoint: Endpoint, error: Exception, key: str) -> EnhancerError:
    import httpx

    host = endpoint.host
    if not endpoint.here and (setting := fault(error)):
        return EnhancerError(Text("prompts.wrong_way", host=host, why=setting), CORRECT_IT)
    why = _without(key, first_line(error, type(error).__name__)).rstrip(".")
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError | OSError):
        if "CERTIFICATE" in why.upper():
            return EnhancerError(
                Text("prompts.untrusted", host=host, why=why), Text("prompts.check_certificate")
            )
        remedy = Text("prompts.start_it" if endpoint.here else "prompts.check_network")
        return EnhancerError(Text("prompts.nothing_answers", host=host), remedy)
    if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        return EnhancerError(Text("prompts.broke_off", host=host), Text("prompts.see_its_log"))
    return EnhancerError(
        Text("prompts.wrong_way", host=host, why=why), Text("prompts.check_proxies")
    )


def refusal(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], said: str
) -> EnhancerError:
    """Why there is no answer: ``said`` is the server's own word on it."""
    host, model = endpoint.host, endpoint.model
    quoted = _quoted(said)
    match status:
        case 401 | 403:
            refused = Text(
                "prompts.refuses_key" if endpoint.has_key else "prompts.wants_key",
                host=host,
                status=status,
            )
            return EnhancerError(refused, Text("prompts.enter_valid_key"))
        case 404 if "model" in said.lower():
            fetch = Text("prompts.fetch_model", model=model)
            remedy = fetch if endpoint.here else Text("prompts.enter_its_model")
            return EnhancerError(Text("prompts.lacks_model", host=host, model=model), remedy)
        case 404 | 405:
            elsewhere = Text("prompts.wrong_address", address=endpoint.base, status=status)
            return EnhancerError(elsewhere, Text("prompts.most_end"))
        case 429:
            wait = headers.get("retry-after", "")
            after = Text("prompts.asks_to_wait", seconds=wait) if wait.isdecimal() else NOTHING
            busy = joined(Text("prompts.too_many", host=host), after)
            return EnhancerError(busy, Text("prompts.wait_for_quota"))
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", "")[:500]).netloc or Text("prompts.other_page")
        return EnhancerError(
            Text("prompts.sends_on", host=host, target=target, status=status),
            Text("prompts.set_what_it_means"),
        )
    if status >= 500:
        failed = joined(Text("prompts.failed", host=host, status=status), quoted)
        return EnhancerError(failed, Text("prompts.servers_trouble"))
    refused = joined(Text("prompts.refuses", host=host, status=status), quoted)
    return EnhancerError(refused, Text("prompts.check_both"))


def _quoted(said: str) -> Text:
    return Text("prompts.it_says", theirs=said.rstrip(".")) if said else NOTHING


def prompt_in(endpoint: Endpoint, data: bytes, key: str) -> str:
    """The prompt in a whole answer of status 200."""
    try:
        content = json_of(data)["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        if content is not None and not isinstance(content, str):
            raise TypeError("content")
    except (EnhancerError, LookupError, TypeError, AttributeError) as error:
        answers = Text("prompts.no_language_model", host=endpoint.host)
        raise EnhancerError(
            joined(answers, _quoted(message_in(data, key))), Text("prompts.check_end")
        ) from error
    prompt = clean(content or "")
    if not prompt:
        raise EnhancerError(
            Text("prompts.empty_answer", model=endpoint.model), Text("prompts.take_another")
        )
    return prompt


def json_of(data: bytes) -> dict[str, Any]:
    """The object that ``data`` is.

    Raises:
        EnhancerError: it is none.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EnhancerError(Text("prompts.no_json"), Text("prompts.check_address")) from error
    if not isinstance(found, dict):
        raise EnhancerError(Text("prompts.no_object"), Text("prompts.check_address"))
    return found


def message_in(data: bytes, key: str) -> str:
    """What the server says went wrong, on one line, in so far as it says it as they all do."""
    try:
        said = json_of(data).get("error")
    except EnhancerError:
        return ""
    if isinstance(said, dict):
        said = said.get("message")
    if not isinstance(said, str):
        return ""
    line = "".join(c if c.isprintable() else " " for c in said)
    return " ".join(_without(key, line).split())[:160]


def _without(key: str, text: str) -> str:
    return text.replace(key, "…") if key else text
