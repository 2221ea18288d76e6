"""Who may ask what of the routes that are ours: Gradio's login covers its own only.

For FastAPI's ``Depends``; each raises HTTPException with a sentence.
"""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.routing import APIRoute

HEADER = "X-Headroom"  # no page from elsewhere can send it


def member(request: Request) -> None:
    """Whoever logged in, where a login is asked for."""
    if not logged_in(request.app, request):
        raise HTTPException(401, "Log in first.")


def ours(request: Request) -> None:
    """What our own page asks for: wanted where something is changed."""
    if not request.headers.get(HEADER):
        raise HTTPException(403, f"The header {HEADER} is missing.")


def known_fields(request: Request) -> None:
    """No field in the address that its route doesn't have; ``v`` and ``try`` are for the browser's
    cache."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known | {"v", "try"}:
            raise HTTPException(422, f"There is no field {name[:40]!a} here.")


def answer_head(app: FastAPI) -> None:
    """Have every GET route of ours answer HEAD with the same headers: players and download managers
    ask so first, and FastAPI, unlike Starlette, refuses it. The server leaves the body out."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.endpoint.__module__.startswith("ui."):
            methods = route.methods or set()
            if "GET" in methods:
                methods.add("HEAD")


def logged_in(app: Any, request: Request) -> bool:
    """Whether ``request`` carries the cookie that Gradio's login gave out, or none is needed."""
    if app.auth is None and app.auth_dependency is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(request.cookies.get(name) in app.tokens for name in names)
