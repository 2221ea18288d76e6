"""An OpenAI-compatible server: its address, the way to it, and its failures as sentences."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ExitCode, HeadroomError, first_line
from engine.prompts.rewriting import clean

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
        return is_here(urlsplit(self.base).hostname or "")

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
    remedy = "Enter one like http://127.0.0.1:11434/v1 or https://api.example.com/v1."
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https"):
        raise EnhancerError("The address has to begin with http:// or https://.", remedy)
    if not host or len(text) > 500 or not text.isascii() or not text.isprintable() or " " in text:
        raise EnhancerError("That isn't an address.", remedy)
    if "@" in parts.netloc:
        raise EnhancerError(
            "The address holds a name or a password.", "Enter the key in its own field."
        )
    if parts.query or parts.fragment:
        raise EnhancerError("The address has something behind ? or #.", remedy)
    number = _number(host)
    if number is not None and number.is_link_local:
        raise EnhancerError(f"{host} is an address that machines use among themselves.", remedy)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/models")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_here(host: str) -> bool:
    """Whether ``host`` is this computer."""
    number = _number(host)
    if number is not None:
        return number.is_loopback or number.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def origin(base: str) -> str:
    """The server of an address: whom a key is for."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}".lower()


# ---- the wire ------------------------------------------------------------------------------


async def ask(
    endpoint: Endpoint, method: str, path: str, body: object = None, key: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and bytes of the answer; redirects aren't followed.

    A proxy of the environment is used, but not for this computer: it would look at its own.
    """
    import httpx

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
                        f"{endpoint.host} sent more than {LARGEST // 1_000_000} MB, which is no "
                        "prompt, so the rest wasn't read.",
                        "Check the address.",
                    )
            return answer.status_code, answer.headers, bytes(data)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise _unreachable(endpoint, error, key) from error


def _unreachable(endpoint: Endpoint, error: Exception, key: str) -> EnhancerError:
    import httpx

    host = endpoint.host
    why = _without(key, first_line(error, type(error).__name__)).rstrip(".")
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError | OSError):
        if "CERTIFICATE" in why.upper():
            return EnhancerError(
                f"The certificate of {host} isn't trusted: {why}.",
                "Check the address and this computer's clock; SSL_CERT_FILE names certificates "
                "of your own.",
            )
        remedy = (
            "Start it (Ollama: 'ollama serve', or its icon), or set another address."
            if endpoint.here
            else "Check the address and the network; HTTPS_PROXY names a proxy."
        )
        return EnhancerError(f"Nothing answers at {host}.", remedy)
    if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        return EnhancerError(
            f"{host} broke off before its answer was whole.",
            "Try again; the server's own log says why. Check that the address is one of a language "
            "model.",
        )
    return EnhancerError(
        f"The way to {host} is set wrongly: {why}.",
        "Check the address, HTTPS_PROXY and ALL_PROXY.",
    )


def refusal(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], said: str
) -> EnhancerError:
    """Why there is no answer: ``said`` is the server's own word on it."""
    host, model = endpoint.host, endpoint.model
    quoted = f" It says: {said.rstrip('.')}." if said else ""
    match status:
        case 401 | 403:
            sentence = f"{host} refuses the key ({status})."
            if not endpoint.has_key:
                sentence = f"{host} wants a key ({status})."
            return EnhancerError(sentence, "Enter a valid one under 'Which language model'.")
        case 404 if "model" in said.lower():
            remedy = f"Choose another, or fetch it: 'ollama pull {model}'."
            if not endpoint.here:
                remedy = "Enter the name of one that it has."
            return EnhancerError(f"{host} has no model {model} (404).", remedy)
        case 404 | 405:
            return EnhancerError(
                f"{endpoint.base} isn't the address of a language model ({status}).",
                "Most end in /v1; the server's documentation names its own.",
            )
        case 429:
            wait = headers.get("retry-after", "")
            after = f" It asks for {wait} s of patience." if wait.isdecimal() else ""
            remedy = "Wait a little; if it stays so, the account's quota is used up."
            return EnhancerError(f"{host} has had too many requests (429).{after}", remedy)
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", "")[:500]).netloc or "another page of its own"
        return EnhancerError(
            f"{host} sends on to {target} ({status}), which isn't followed.",
            "Set the address that it means, if you trust it.",
        )
    if status >= 500:
        return EnhancerError(
            f"{host} failed ({status}).{quoted}",
            "That is the server's trouble: try again, or take a smaller model.",
        )
    return EnhancerError(
        f"{host} refuses the request ({status}).{quoted}", "Check address and model."
    )


def prompt_in(endpoint: Endpoint, data: bytes, key: str) -> str:
    """The prompt in a whole answer of status 200."""
    try:
        content = json_of(data)["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        if content is not None and not isinstance(content, str):
            raise TypeError("content")
    except (EnhancerError, LookupError, TypeError, AttributeError) as error:
        said = message_in(data, key)
        quoted = f" It says: {said.rstrip('.')}." if said else ""
        raise EnhancerError(
            f"{endpoint.host} answers, but not as a language model does.{quoted}",
            "Check the address; most end in /v1.",
        ) from error
    prompt = clean(content or "")
    if not prompt:
        raise EnhancerError(
            f"{endpoint.model} gave an empty answer.",
            "Try again, or take another model; one that thinks for long may have used up its "
            "words.",
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
        raise EnhancerError("The answer isn't JSON.", "Check the address.") from error
    if not isinstance(found, dict):
        raise EnhancerError("The answer isn't an object.", "Check the address.")
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
