"""The layout: the head above, then the form, the stage and the strip."""

from functools import partial
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.install.background import BackgroundInstall
from ui.api import gradio_endpoints
from ui.api.answers import Answers
from ui.server.own_files import without_scripts
from ui.share.session import Sharing
from ui.tabs import (
    batch,
    dropped,
    first_run,
    generate,
    head,
    headroom,
    installing,
    library,
    notice,
    pausing,
    plan,
    saved,
    setup,
    share,
    stage,
    strip,
)
from ui.wiring import QUIET, check_types, tell_errors


class Page(gr.Blocks):
    """With its scripts in a file of their own, and without the stream that Gradio holds open for
    each tab as soon as there is a gr.State.

    Browsers open six connections to a host over all tabs. That stream's end only runs ``unload``
    events, of which there are none here, and forgets the tab's state in an hour; how many tabs are
    remembered is bounded anyway (``SESSIONS`` in ui/serve.py).
    """

    def get_config_file(self) -> Any:
        return {**without_scripts(super().get_config_file()), "connect_heartbeat": False}


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
        head.build_head()
        with gr.Tabs() as tabs:
            with gr.Tab("Create", id="make"):
                with gr.Row(elem_id="create"):
                    with gr.Column(min_width=0, elem_id="form"):
                        controls = generate.build_controls(engine)
                        presets = saved.build_saved()
                        more = batch.build_more(engine, page)
                        drop, brought = dropped.build_button()
                        foot = generate.build_foot()
                    with gr.Column(min_width=0, elem_id="stage-column"):
                        first = first_run.build_card(engine)
                        notice.build_notice(engine)
                        panel = stage.build_stage(engine)
                    with gr.Column(min_width=0, elem_id="rail"):
                        pausing.build_pause(engine)
                        tiles = strip.build_strip(engine)
                generate.wire_foot(engine, controls, foot, more.as_list())
                stage.wire(engine, panel, controls, foot)
            with gr.Tab("Library", id="library", elem_id="library-tab"):
                shelf = library.build_tab()
            with gr.Tab("Models", id="setup", elem_id="setup-tab") as setup_tab:
                coming = installing.build_card(installer)
                parts = setup.build_setup(engine)
            with gr.Tab("Memory", id="headroom", elem_id="headroom-tab") as tab:
                measured = headroom.build_tab(engine, controls.model)
                planned = plan.build_plan(engine, controls.model)
            with gr.Tab("Share", id="share", elem_id="share-tab") as share_tab:
                shared = share.build_share(engine, sharing)
        _wire(engine, page, panel, controls, foot, more)
        saved.wire(engine, page, presets, controls, more.seeds, foot.judged())
        for happened in (page.load, panel.tick, setup_tab.select):
            happened(lambda: installing.refreshed(installer), None, coming, **QUIET)
        _wire_setup(engine, page, panel, parts, setup_tab)
        _wire_first_run(engine, page, panel, first, controls, foot)
        first.lead.click(lambda: gr.Tabs(selected="setup"), None, tabs, **QUIET)
        _wire_headroom(engine, page, panel, controls, tab, *measured, planned)
        for happened in (page.load, share_tab.select):
            happened(lambda: share.refreshed(engine, sharing), None, shared, **QUIET)
        tiles.expand(lambda: gr.Tabs(selected="library"), None, tabs, **QUIET)
        drop.expand(lambda: gr.Tabs(selected="make"), None, tabs, **QUIET)
        dropped.wire(engine, [drop, panel, shelf], controls, foot.judged(), brought, tabs)
        gradio_endpoints.add_endpoints(answers or Answers(engine))
    tell_errors(page)
    check_types(page)
    return page


def _wire(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    controls: generate.Controls,
    foot: generate.Foot,
    more: batch.More,
) -> None:
    """Verdicts are renewed when the page opens, when a job has ended and when memory or queue
    change."""

    judged = [controls.size, controls.frames, *foot.judged()]
    asked = generate.asked_by(controls, more.as_list())
    chosen = [controls.model, controls.size, controls.frames]
    loaded = page.load(partial(generate.opened, engine), controls.model, chosen, **QUIET)
    # What is judged is what is chosen by then.
    for happened in (loaded.then, panel.change, panel.release):
        happened(partial(generate.judged, engine), asked, judged, **QUIET)


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


def _wire_setup(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    parts: setup.SetupParts,
    tab: gr.Tab,
) -> None:
    """The cards are renewed when work on weights begins or ends; the doctor looks when asked."""
    for happened in (page.load, panel.tick, tab.select):
        happened(lambda: setup.refreshed(engine, parts), None, parts.as_list(), **QUIET)
    tab.select(lambda: setup.machine_html(engine), None, parts.machine, **QUIET)


def _wire_first_run(
    engine: Engine,
    page: gr.Blocks,
    panel: gr.HTML,
    first: first_run.FirstRunParts,
    controls: generate.Controls,
    foot: generate.Foot,
) -> None:
    """A model that has come is taken into the form, whatever the form held."""
    judged = [controls.size, controls.frames, *foot.judged()]

    def opened() -> list[Any]:
        return [*first_run.refreshed(engine), first_run.hand_over(engine, None).ready]

    def ticked(known: list[str] | None) -> list[Any]:
        found = first_run.hand_over(engine, known)
        form = [generate.models(engine), *(gr.skip() for _ in judged)]
        if found.model:
            verdict = generate.judged(engine, found.model, None, None)
            form = [generate.models(engine, value=found.model), *verdict]
        return [*first_run.refreshed(engine, found.said), found.ready, *form]

    page.load(opened, None, [*first.as_list(), first.came], **QUIET)
    panel.tick(ticked, first.came, [*first.as_list(), first.came, controls.model, *judged], **QUIET)
    panel.change(lambda: first_run.refreshed(engine), None, first.as_list(), **QUIET)
