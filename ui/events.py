"""How every event of the page is wired: at once, without a spinner, and not part of an API."""

from typing import Any

# Everything here answers at once, so nothing needs Gradio's queue or its spinners. Programs have
# endpoints of their own (api.py), which are documented.
QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
