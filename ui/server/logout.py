"""Ends a login: by a button, for what a link does any page elsewhere can do.

Gradio's own ``GET /logout`` ends every session of that login wherever it is called from. This page
stands in its place, and only what it sends itself ends something.
"""

import html
from typing import Any

from fastapi import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.text import Text
from ui.server.access import logged_in
from ui.wording import say

PAGE = """<!doctype html><html><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<body style="font: 16px system-ui; margin: 3rem auto; max-width: 30rem; padding: 0 1rem">
<h1>{title}</h1><form method="post">
<button name="which" value="this">{this}</button>
<button name="which" value="all">{all}</button>
</form><p><a href="./">{back}</a></p></body></html>"""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    # Under the gate's no-referrer, Chromium sends the form with "Origin: null", which is refused.
    "Referrer-Policy": "same-origin",
}


def add_logout_route(app: Any) -> None:
    """Serve ``/logout`` before Gradio does. A GET changes nothing."""

    async def log_out(request: Request) -> Response:
        if not logged_in(app, request) or app.auth is None:
            return RedirectResponse("./", 303)
        if request.method != "POST":
            return HTMLResponse(_page(), headers=HEADERS)
        return _end(app, request, (await request.body()) == b"which=all")

    # HEAD comes with GET. Gradio's route has the same path, and the first one is taken.
    app.router.routes.insert(0, Route("/logout", log_out, methods=["GET", "POST"]))


def _page() -> str:
    texts = {
        "title": Text("logout.title"),
        "this": Text("logout.this"),
        "all": Text("logout.all"),
        "back": Text("logout.back"),
    }
    return PAGE.format(**{name: html.escape(say(text)) for name, text in texts.items()})


def _end(app: Any, request: Request, everywhere: bool) -> Response:
    """Forget the session of this browser, or those of all that have this login."""
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    own = [request.cookies.get(name) for name in names]
    users = {app.tokens[token] for token in own if token in app.tokens}
    for token in list(app.tokens):
        if token in own or (everywhere and app.tokens[token] in users):
            app.tokens.pop(token, None)
    answer = RedirectResponse("./", 303)
    for name in names:
        answer.delete_cookie(name, path="/")
    return answer
