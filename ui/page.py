"""The layout: the gauge above, what to make on the left, what is made on the right."""

from functools import partial
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.install.background import BackgroundInstall
from engine.pipelines import is_here
from ui.api import gradio_endpoints
from ui.api.answers import Answers
from ui.share.session import Sharing
from ui.tabs import (
    batch,
    dropped,
    generate,
    headroom,
    installing,
    library,
    plan,
    queue,
    result,
    setup,
    share,
)
from ui.wiring import QUIET, check_types, tell_errors


class Page(gr.Blocks):
    """Without the stream that Gradio holds open for each tab as soon as there is a gr.State.

    Browsers open six connections to a host over all tabs. That stream's end only runs ``unload``
    events, of which there are none here, and forgets the tab's state in an hour; how many tabs are
    remembered is bounded anyway (``SESSIONS`` in ui/serve.py).
    """

    def get_config_file(self) -> Any:
        return {**super().get_config_file(), "connect_heartbeat": False}


def build_page(
    engine: Engine,
    installer: BackgroundInstall | None = None,
    answers: Answers | None = None,
    sharing: Sharing | None = None,
) -> gr.Blocks:
    """The whole page. No job lives in an event of it: it submits, watches and cancels.

    Args:
        installer: brings what makes clips, where it is missing.
        answers: answers the programs that call the page's named endpoints.
        sharing: the visitors' page.
    """
    installer = installer or BackgroundInstall(engine.home)
    sharing = sharing or Sharing(engine)
    with Page(
        title="Headroom", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
    ) as page:
        generate.build_head()
        with gr.Tabs() as tabs:
            with gr.Tab("Make a clip", id="make"):
                with gr.Row(equal_height=False):
                    with gr.Column(scale=5, min_width=320, elem_id="make-column"):
                        controls = generate.build_controls(engine)
                        more = batch.build_more(engine, page)
                        judged = generate.build_buttons(engine, controls, more.as_list())
                        drop, brought = dropped.build_button()
                        waiting = queue.build_queue(engine)
                        queue.build_editing(engine, controls, waiting, judged[2:])
                        more.box.render()
                        waiting.render()
                    with gr.Column(scale=6, min_width=320):
                        panel = generate.build_panel()
                        with gr.Row(visible=False, elem_id="first-run") as hint:
                            said = gr.HTML("", js_on_load=None)
                            lead = gr.Button("Set-up", elem_id="to-setup", min_width=90, scale=0)
                        clip = result.build_result(engine)
                        result.wire(engine, clip, controls, judged[2:])
                strip = library.build_strip()
            with gr.Tab("Library", id="library", elem_id="library-tab"):
                shelf = library.build_tab()
            with gr.Tab("Headroom", id="headroom", elem_id="headroom-tab") as tab:
                measured = headroom.build_tab(engine, controls.model)
                planned = plan.build_plan(engine, controls.model)
            with gr.Tab("Set-up", id="setup", elem_id="setup-tab") as setup_tab:
                coming = installing.build_card(installer)
                parts = setup.build_setup(engine)
            with gr.Tab("Share", id="share", elem_id="share-tab") as share_tab:
                shared = share.build_share(engine, sharing)
        _wire(engine, page, panel, controls, judged)
        for happened in (page.load, panel.tick, setup_tab.select):
            happened(lambda: installing.refreshed(installer), None, coming, **QUIET)
        panel.tick(lambda: generate.models(engine), None, controls.model, **QUIET)
        _wire_setup(engine, page, panel, parts, setup_tab, [hint, said])
        lead.click(lambda: gr.Tabs(selected="setup"), None, tabs, **QUIET)
        _wire_headroom(engine, page, panel, controls, tab, *measured, planned)
        for happened in (page.load, share_tab.select):
            happened(lambda: share.refreshed(engine, sharing), None, shared, **QUIET)
        for happened in (page.load, panel.change):
            happened(lambda: result.newest(engine), None, clip.as_list(), **QUIET)
        strip.expand(lambda: gr.Tabs(selected="library"), None, tabs, **QUIET)
        drop.expand(lambda: gr.Tabs(selected="make"), None, tabs, **QUIET)
        dropped.wire(engine, [drop, strip, shelf], controls, judged[2:], brought, tabs)
        gradio_endpoints.add_endpoints(answers or Answers(engine))
    tell_errors(page)
    check_types(page)
    return page


def _wire(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    controls: generate.Controls,
    judged: list[Any],
) -> None:
    """Verdicts are renewed when the page opens, when a job has ended and when busy may be over."""

    chosen = [controls.model, controls.size, controls.frames]
    loaded = page.load(partial(generate.opened, engine), controls.model, chosen, **QUIET)
    # What is judged is what is chosen by then.
    for happened in (loaded.then, panel.change, panel.release):
        happened(partial(generate.judged, engine), chosen, judged, **QUIET)


def _wire_headroom(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    controls: generate.Controls,
    tab: gr.Tab,
    picture: gr.HTML,
    which: gr.Dropdown,
    size: gr.State,
    planned: plan.PlanParts,
) -> None:
    """The picture of what was measured, and the plan, are renewed when somebody looks."""
    for happened in (page.load, panel.change, tab.select):
        happened(
            partial(headroom.refreshed, engine),
            [controls.model, size],
            [picture, which],
            **QUIET,
        )
    for happened in (page.load, tab.select):
        happened(
            partial(plan.refreshed, engine),
            controls.model,
            planned.as_list(),
            **QUIET,
        )
    # A clip's end can change the plan; a dropdown that the user holds open stays as it is.
    panel.change(
        partial(plan.table_html, engine),
        controls.model,
        planned.table,
        **QUIET,
    )


def first_run(engine: Engine) -> tuple[Any, str]:
    """Where to go while nothing but the CPU default is here."""
    here = is_here(engine.presets.default)
    text = setup.first_run_html(engine) if here else ""
    return gr.Row(visible=bool(text)), text


def _wire_setup(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    parts: setup.SetupParts,
    tab: gr.Tab,
    hint: list[Any],
) -> None:
    """The cards and the first page's hint are renewed when work on weights begins or ends; the
    doctor looks when asked."""
    for happened in (page.load, panel.tick, tab.select):
        happened(lambda: setup.refreshed(engine, parts), None, parts.as_list(), **QUIET)
    for happened in (page.load, panel.tick):
        happened(lambda: first_run(engine), None, hint, **QUIET)
    tab.select(lambda: setup.machine_html(engine), None, parts.machine, **QUIET)
