"""What stays in sight on every tab: the name, who shares, what downloads, and the memory."""

import gradio as gr

from ui.tabs import shortcuts
from ui.tabs.gauge import GAUGE
from ui.tabs.theme_switch import theme_switch_html
from ui.theme import ASSETS

HEAD = """
<header class="head">
  <h1>Headroom</h1>
  <p class="shared" data-live="share-short" hidden></p>
  <p class="pull-head" hidden><span class="pull-bar" aria-hidden="true"><span></span></span>
    <span data-live="pull-head"></span></p>
  %s
  <div class="head-tools">%s</div>
</header>
"""


def build_head() -> None:
    # The head is loaded first, so what other parts call is here.
    files = ("page/notify.js", "page/desk.js")
    script = "".join((ASSETS / file).read_text(encoding="utf-8") for file in files)
    tools = shortcuts.BUTTON + theme_switch_html()
    gr.HTML(HEAD % (GAUGE, tools), elem_id="head", js_on_load=script)
