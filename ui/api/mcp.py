"""The MCP server of ``serve --mcp``: tools that a language model can use, at /mcp beside the page.

Imported with --mcp only, as the SDK takes time and memory. It is the SDK's low-level server, as the
other one drops fields that a tool doesn't know and words its own refusals; here arguments go to
ClipRequest.check as they came.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any

import mcp_types as types
from fastapi import FastAPI
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine import VERSION
from engine.default_model import default_model
from engine.errors import HeadroomError
from engine.guard.verdicts import Refused
from engine.jobs import Job, State
from engine.library.versions import Asked
from ui.api.answers import PLACE, Answers, flag, size_fields
from ui.api.gradio_endpoints import origin
from ui.api.mcp_tools import (
    CHECK,
    ENHANCE,
    GENERATE,
    STATUS,
    TOOLS,
    instructions,
    model_told,
    refuse_unknown,
)
from ui.server.gradio_errors import WITH_PICTURES_LIMIT
from ui.server.login import NotLoggedIn, PageLogin
from ui.server.throttle import TooManyTries

WAIT_SECONDS = 50.0  # many clients give a tool a minute
CLOSED_SECONDS = 0.5  # between looks whether the program ends
BASIC = "Send the page's login as Authorization: Basic."
HERE = ("127.0.0.1", "localhost", "[::1]")

Arguments = dict[str, Any]
Answer = dict[str, Any]
Context = ServerRequestContext[Any, Any]


class McpServer:
    """See the module's docstring.

    Args:
        login: the page's, asked for with ``Authorization: Basic`` too.
        open_to_others: others can reach the page, under names that aren't known here. There is a
            login then; otherwise Host and Origin have to be this computer's, which keeps websites
            in the user's browser out (DNS rebinding).
    """

    def __init__(self, answers: Answers, login: PageLogin, open_to_others: bool) -> None:
        self.answers = answers
        self._tools: dict[str, Callable[[Arguments, Context], Awaitable[Answer]]] = {
            "generate": self.generate,
            "enhance": self.enhance,
            "status": self.status,
            "check": self.check,
        }
        presets = answers.engine.presets
        self.server: Server[Any] = Server(
            "headroom",
            version=VERSION,
            title="Headroom",
            instructions=instructions(presets),
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=not open_to_others,
            allowed_hosts=[f"{host}:*" for host in HERE],
            allowed_origins=[f"http://{host}:*" for host in HERE],
        )
        app = self.server.streamable_http_app(
            transport_security=security, max_request_body_size=WITH_PICTURES_LIMIT
        )
        self.route = Route("/mcp", _Gate(app, login, answers))

    def run(self, _app: FastAPI) -> AbstractAsyncContextManager[None]:
        """The lifespan of the web server that ``route`` is part of."""
        return self.server.session_manager.run()

    # ---- the tools -------------------------------------------------------------------------

    async def generate(self, given: Arguments, context: Context) -> Answer:
        refuse_unknown(GENERATE, given)
        waits = flag("wait", given.pop("wait", True))
        job = await asyncio.to_thread(self.answers.submit, given)
        if waits:
            job = await self._wait(job, context)
        return await asyncio.to_thread(self._told, job, origin(context.request))

    async def enhance(self, given: Arguments, context: Context) -> Answer:
        refuse_unknown(ENHANCE, given)
        asked = Asked(given.get("fps"), given.get("height"), given.get("scale"))
        job = await asyncio.to_thread(self.answers.enhance, given.get("clip"), asked)
        if flag("wait", given.get("wait", True)):
            job = await self._wait(job, context)
        return await asyncio.to_thread(self._told, job, origin(context.request))

    async def status(self, given: Arguments, context: Context) -> Answer:
        refuse_unknown(STATUS, given)
        number, waits = given.get("job"), flag("wait", given.get("wait", False))
        job = None if number is None else await asyncio.to_thread(self.answers.job, number)
        if job is not None and waits:
            job = await self._wait(job, context)
        answer: Answer = dict(await asyncio.to_thread(self.answers.status))
        if job is not None:
            answer["job"] = await asyncio.to_thread(self._told, job, origin(context.request))
        return answer

    async def check(self, given: Arguments, _context: Context) -> Answer:
        refuse_unknown(CHECK, given)
        return await asyncio.to_thread(self._checked, given)

    def _checked(self, given: Arguments) -> Answer:
        fields = {name: given.get(name) for name in size_fields(None, None, None, None)}
        engine = self.answers.engine
        presets, guard = engine.presets, engine.guard
        model = fields["model"] or default_model(engine).preset.id
        checked = self.answers.check({**fields, "model": model})
        preset = presets.models[model]
        verdicts = guard.verdicts(preset.id, guard.offered(preset.id))
        sizes = []
        for size in (size for size, verdict in verdicts.items() if verdict.open):
            past = guard.last_seconds(preset.id, size)
            sizes.append(
                {
                    **asdict(size),
                    "seconds_long": round(preset.seconds(size.frames), 2),
                    "seconds_to_make": round(sum(past.values()), 1) if past else None,
                }
            )
        return {
            "model": preset.id,
            **checked,
            "open_sizes": sizes,
            "models": [model_told(model) for model in presets.makers],
        }

    async def _wait(self, job: Job, context: Context) -> Job:
        async def told(fraction: float, sentence: str) -> None:
            await context.session.report_progress(fraction, 1.0, sentence)

        return await self.answers.wait(job, told, WAIT_SECONDS)

    def _told(self, job: Job, base: str) -> Answer:
        """How it is with ``job``, and what to do next.

        Raises:
            Unfinished: it has ended without a clip.
        """
        answer: Answer = dict(self.answers.queued(job))
        if not job.state.final:
            again = f"Call status with job {job.id} and wait true; it goes on by itself meanwhile."
            if job.state is State.QUEUED and self.answers.engine.is_paused():
                again = "The user has paused Headroom: tell them that this clip waits for Resume."
            return {**answer, "clip": None, "next": again}
        clip = self.answers.made(job)
        request, receipt = clip.request, clip.receipt
        path = self.answers.engine.home.clips / clip.file
        told = {
            "number": clip.id,
            "path": str(path),
            "url": base + PLACE.format(clip.id),
            **request.to_json(),
            "seed": receipt["seed"],
            "seconds": receipt["stages"],
            "peak_bytes": max(receipt["peaks"].values(), default=0),
        }
        return {**answer, "clip": told, "next": "Give the user the path, or the URL, and the seed."}

    # ---- the protocol ----------------------------------------------------------------------

    async def _list(self, _context: Context, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in TOOLS])

    async def _call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            return _refusal(f"There is no tool {params.name!r}. Use {', '.join(self._tools)}.")
        given = {name: v for name, v in (params.arguments or {}).items() if v is not None}
        try:
            answer = await tool(given, context)
        except HeadroomError as error:
            said = str(error)
            if isinstance(error, Refused) and error.nearest is not None:
                sides = ", ".join(f"{name} {n}" for name, n in asdict(error.nearest).items())
                said += f" Call generate again with {sides}."
            return _refusal(said)
        text = json.dumps(answer, ensure_ascii=False)
        content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        return types.CallToolResult(content=content, structured_content=answer)


def _refusal(text: str) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, is_error=True)


class _Gate:
    """Asks for the login, as Gradio's covers its own routes only."""

    def __init__(self, app: ASGIApp, login: PageLogin, answers: Answers) -> None:
        self._app, self._login, self._answers = app, login, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._login.ask(scope)
        except NotLoggedIn:
            said, status, more = BASIC, 401, {"WWW-Authenticate": 'Basic realm="Headroom"'}
        except TooManyTries as error:
            said, status, more = str(error), 429, {"Retry-After": str(error.seconds)}
        else:
            await self._pass(scope, receive, send)
            return
        await PlainTextResponse(said, status, more)(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await self._listen(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client's stream for what comes unasked ends with the program: the web server would
        wait for the client to end it."""
        unfinished = False

        async def until_closed() -> Message:
            message = asyncio.ensure_future(receive())
            try:
                while not (message.done() or self._answers.closed):
                    await asyncio.wait({message}, timeout=CLOSED_SECONDS)
                return message.result() if message.done() else {"type": "http.disconnect"}
            finally:
                message.cancel()

        async def sent(message: Message) -> None:
            nonlocal unfinished
            unfinished = message.get("more_body", message["type"] == "http.response.start")
            await send(message)

        await self._app(scope, until_closed, sent)
        if unfinished:
            await send({"type": "http.response.body", "body": b""})
