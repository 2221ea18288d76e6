"""A language model that rewrites prompts: any OpenAI-compatible endpoint, off until found or set.

Nothing is asked unless somebody presses a button, and nobody who asks names an address: it stands
in the settings. By itself only this computer is looked at, for Ollama.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from engine.machine.addresses import is_this_computer
from engine.presets import ModelPreset
from engine.process.patience import within
from engine.prompts.openai_server import (
    SECONDS,
    Endpoint,
    EnhancerError,
    ask,
    checked_base,
    json_of,
    message_in,
    origin,
    prompt_in,
    refusal,
)
from engine.prompts.rewriting import instruction
from engine.request import is_empty, prompt_problems
from engine.settings import Settings
from engine.text import Text, joined

OLLAMA_PORT = 11434
LOOK_SECONDS = 1.5
SECONDS_MOST = 600.0

# In the settings. The key has an entry of its own, which only ``_choice`` reads.
CHOICE = "enhancer"
KEY = "enhancer_key"


class Enhancer:
    """See the module's docstring. ``database`` is the file in which ``settings`` are kept."""

    def __init__(self, settings: Settings, database: Path) -> None:
        self._settings, self._database = settings, database

    # ---- which one ---------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint | None:
        """What is set; None: nothing, or it was turned off."""
        return self._choice()[0]

    @property
    def turned_off(self) -> bool:
        """Somebody said no; then nothing is looked for until somebody asks."""
        return bool(self._settings.get(CHOICE) == {})

    def set(self, base: str, model: str, key: str = "", seconds: float = SECONDS) -> Endpoint:
        """Ask this one from now on.

        Args:
            key: "" keeps the one that this server was given before. It is bound to the server:
                whoever changes the address doesn't get it sent there.

        Raises:
            EnhancerError: names what is wrong.
        """
        base, model, key = checked_base(base), " ".join(model.split()), key.strip()
        if not model or len(model) > 200 or not model.isprintable():
            raise EnhancerError(Text("prompts.no_model_name"), Text("prompts.enter_model_name"))
        if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= 1000):
            raise EnhancerError(Text("prompts.odd_key"), Text("prompts.copy_key"))
        if not 1 <= seconds <= SECONDS_MOST:
            raise EnhancerError(
                Text("prompts.wrong_seconds", most=SECONDS_MOST), Text("prompts.enter_seconds")
            )
        if key:
            self._make_private()
            self._settings.set(KEY, {"for": origin(base), "key": key})
        self._settings.set(CHOICE, {"base": base, "model": model, "seconds": float(seconds)})
        endpoint = self.endpoint
        assert endpoint is not None
        if not endpoint.has_key:
            self._settings.set(KEY, None)  # another server's
        return endpoint

    def turn_off(self) -> None:
        """Ask nobody, and forget the key."""
        self._settings.set(KEY, None)
        self._settings.set(CHOICE, {})

    def _choice(self) -> tuple[Endpoint | None, str]:
        chosen = self._settings.get(CHOICE)
        if not chosen:
            return None, ""
        kept = self._settings.get(KEY) or {}
        key = kept.get("key", "") if kept.get("for") == origin(chosen["base"]) else ""
        return Endpoint(chosen["base"], chosen["model"], chosen["seconds"], bool(key)), key

    def _make_private(self) -> None:
        """Keys are kept as they are, so other users of this computer may not read the file (on
        Windows the user's folder sees to that; a drive without permissions has none to set)."""
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._database.with_name(self._database.name + end).chmod(0o600)

    # ---- Ollama on this computer -------------------------------------------------------------

    async def look(self) -> tuple[str, ...] | None:
        """The models of the Ollama on this computer; None where none answers.

        Where nothing was set or turned off, the first of them is asked from now on.
        """
        base = ollama_base()
        try:
            looked = ask(Endpoint(base, ""), "GET", "/models")
            status, _, data = await within(LOOK_SECONDS, looked)
            listed = json_of(data).get("data") or []
            names = tuple(entry["id"] for entry in listed if isinstance(entry["id"], str))
        except (EnhancerError, TimeoutError, LookupError, TypeError, AttributeError):
            return None
        if status != 200:
            return None
        names = tuple(name for name in names if "embed" not in name and name.isprintable())
        if names and self._settings.get(CHOICE) is None:
            self.set(base, names[0])
        return names

    # ---- asking ------------------------------------------------------------------------------

    async def improve(self, prompt: str, preset: ModelPreset) -> str:
        """``prompt``, rewritten for ``preset``: one line, never empty, at most PROMPT_LIMIT long.

        It may be cancelled at any moment.

        Raises:
            EnhancerError: nothing is set, nothing came in time, or what came is no prompt.
        """
        endpoint, key = await asyncio.to_thread(self._choice)
        if endpoint is None:
            raise EnhancerError(Text("prompts.none_set"), Text("prompts.set_one"))
        if is_empty(prompt):
            raise EnhancerError(Text("prompts.no_prompt"), Text("prompts.say_it"))
        if problems := prompt_problems(prompt):
            raise EnhancerError(joined(*(problem.sentence for problem in problems)))
        body = {
            "model": endpoint.model,
            "messages": [
                {"role": "system", "content": instruction(preset)},
                {"role": "user", "content": prompt.strip()},
            ],
            "stream": False,
        }
        try:
            asked = ask(endpoint, "POST", "/chat/completions", body, key)
            status, headers, data = await within(endpoint.seconds, asked)
        except TimeoutError as error:
            raise EnhancerError(
                Text("prompts.too_slow", host=endpoint.host, seconds=endpoint.seconds),
                Text("prompts.wait_longer"),
            ) from error
        if status != 200:
            raise refusal(endpoint, status, headers, message_in(data, key))
        return prompt_in(endpoint, data, key)


def ollama_base() -> str:
    """Where Ollama listens on this computer. OLLAMA_HOST, its own variable, may name another port;
    another computer is looked at only once it was set."""
    named = os.environ.get("OLLAMA_HOST", "").strip()
    with contextlib.suppress(ValueError):
        parts = urlsplit(named if "://" in named else f"//{named}")
        if is_this_computer(parts.hostname or ""):
            return f"http://127.0.0.1:{parts.port or OLLAMA_PORT}/v1"
    return f"http://127.0.0.1:{OLLAMA_PORT}/v1"
