"""A Gradio page with as many components of each kind as ours and nothing behind them: what the
benchmark holds ours against (``python -m ui.bare --port N --components JSON``)."""

import json
import os
import threading

from engine.process.console import Parser
from engine.process.variables import settle_for_page
from ui.server.listening import asking_itself

# By the name that a page's configuration has for them, as Gradio's classes are called; layouts are
# drawn as plain columns.
KINDS = {
    "html": "HTML",
    "textbox": "Textbox",
    "button": "Button",
    "dropdown": "Dropdown",
    "radio": "Radio",
    "checkbox": "Checkbox",
    "number": "Number",
    "video": "Video",
    "state": "State",
}


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--components", type=json.loads, required=True)
    options = parser.parse_args()
    settle_for_page(os.environ)
    with asking_itself():
        import gradio as gr

        with gr.Blocks(analytics_enabled=False) as page:
            for kind, count in options.components.items():
                for _ in range(count):
                    getattr(gr, KINDS.get(kind, "Column"))()
        page.launch(
            server_name="127.0.0.1", server_port=options.port, quiet=True, prevent_thread_lock=True
        )
    threading.Event().wait()


if __name__ == "__main__":
    main()
