"""The layout: what to make on the left, what is made on the right, what was made below."""

import gradio as gr

from engine.supervisor import Supervisor
from ui import generate, library


def build_page(supervisor: Supervisor) -> gr.Blocks:
    """The whole page. No job lives in an event of it: it submits, watches and cancels."""
    with gr.Blocks(
        title="Headroom", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
    ) as page:
        generate.build_head()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                controls = generate.build_controls(supervisor)
                generate.build_buttons(supervisor, controls)
            with gr.Column(scale=6, min_width=320):
                panel = generate.build_panel()
                video, receipt = library.build_result(supervisor)
        gallery = library.build_gallery()

        def newest() -> tuple[object, object, object]:
            return library.show_newest(supervisor)

        def chosen(event: gr.SelectData) -> tuple[object, object]:
            return library.show_chosen(supervisor, event)

        for happened in (page.load, panel.change):
            happened(
                newest,
                None,
                [video, receipt, gallery],
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
        gallery.select(
            chosen,
            None,
            [video, receipt],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    return page
