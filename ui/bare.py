"""A Gradio page with as many components of each kind as ours and nothing behind them: what the
benchmark holds ours against (``python -m ui.bare --port N --components JSON``)."""

import argparse
import json
import os
import threading

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

# By the name that a page's configuration has for them; layouts are drawn as plain columns.
KINDS = {
    "html": gr.HTML,
    "textbox": gr.Textbox,
    "button": gr.Button,
    "dropdown": gr.Dropdown,
    "radio": gr.Radio,
    "checkbox": gr.Checkbox,
    "number": gr.Number,
    "video": gr.Video,
    "state": gr.State,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--components", type=json.loads, required=True)
    options = parser.parse_args()
    with gr.Blocks(analytics_enabled=False) as page:
        for kind, count in options.components.items():
            for _ in range(count):
                if kind in KINDS:
                    KINDS[kind]()
                else:
                    gr.Column()
    page.launch(
        server_name="127.0.0.1", server_port=options.port, quiet=True, prevent_thread_lock=True
    )
    threading.Event().wait()


if __name__ == "__main__":
    main()
