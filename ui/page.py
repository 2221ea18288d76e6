"""The layout: the head above, then the form, the stage and the strip."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.install.background import BackgroundInstall
from engine.joined.machines import Machines
from ui.api import gradio_endpoints
from ui.api.answers import Answers
from ui.looks import Looks
from ui.order import in_order
from ui.server.own_files import without_scripts
from ui.share.session import Sharing
from ui.tabs import (
    batch,
    card_choice,
    dropped,
    first_run,
    generate,
    head,
    headroom,
    installing,
    kernels,
    library,
    notice,
    pausing,
    plan,
    saved,
    setup,
    share,
    stage,
    strip,
    taking,
)
from ui.tabs.machines import build_machines
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
    machines: Machines | None = None,
) -> gr.Blocks:
    """The whole page. No job lives in an event of it: it submits, watches and cancels.

    Args:
        installer: brings what makes clips, where it is missing.
        answers: answers the programs that call the page's named endpoints.
        sharing: the visitors' page.
        machines: those that joined, if any may.
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
                        more = batch.build_more(engine)
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
                taking.wire(engine, controls, foot, more.as_list(), tabs)
                stage.wire(engine, panel, controls, foot)
            with gr.Tab("Library", id="library", elem_id="library-tab"):
                shelf = library.build_tab()
            with gr.Tab("Models", id="setup", elem_id="setup-tab") as models_tab:
                coming = installing.build_card(installer)
                parts = setup.build_setup(engine)
            with gr.Tab("Memory", id="headroom", elem_id="headroom-tab") as memory_tab:
                card = card_choice.build_card(engine)
                measured = headroom.build_tab(engine, controls.model, card)
                planned = plan.build_plan(engine, controls.model, card)
                timed = kernels.build_kernels(engine, card)
                build_machines(engine, machines)
            with gr.Tab("Share", id="share", elem_id="share-tab") as share_tab:
                shared = share.build_share(engine, sharing)
        first.lead.click(lambda: gr.Tabs(selected="setup"), None, tabs, **QUIET)
        tiles.expand(lambda: gr.Tabs(selected="library"), None, tabs, **QUIET)
        drop.expand(lambda: gr.Tabs(selected="make"), None, tabs, **QUIET)
        dropped.wire(engine, [drop, panel, shelf], controls, foot.judged(), brought, tabs)
        saved.wire(engine, presets, controls, more, foot.judged())
        when = _When.of(page, panel, models_tab, memory_tab, share_tab)
        when.opened.add(partial(batch.remembered, engine), [], more.kept())
        when.opened.add(partial(saved.listed, engine), [], [presets.listed])
        for looks in (when.ticked, when.models):
            looks.add(partial(installing.refreshed, installer), [], coming)
            looks.add(partial(setup.refreshed, engine, parts), [], parts.as_list())
        # The doctor takes its time: what else was looked at meanwhile would come too late.
        models_tab.select(partial(setup.machine_html, engine), None, parts.machine, **QUIET)
        when.shared.add(partial(share.refreshed, engine, sharing), [], shared)
        _renew_first_run(engine, when, first, controls, foot)
        _renew_memory(engine, when, controls.model, card, measured, planned, timed)
        _renew_verdict(engine, when, panel, controls, foot, more)
        gradio_endpoints.add_endpoints(answers or Answers(engine))
    tell_errors(page)
    check_types(page)
    in_order(page)
    return page


@dataclass(frozen=True)
class _When:
    """What happens by itself, or as a tab is chosen.

    Other tabs than the first are looked at when they are chosen: what is found as the page opens
    may come later than that, and would undo what somebody has done there meanwhile.
    """

    opened: Looks
    ticked: Looks  # work on weights begins or ends
    changed: Looks  # a job has ended
    models: Looks
    memory: Looks
    shared: Looks

    @classmethod
    def of(
        cls, page: gr.Blocks, panel: gr.HTML, models: gr.Tab, memory: gr.Tab, share: gr.Tab
    ) -> "_When":
        tabs = (models.select, memory.select, share.select)
        return cls(*map(Looks, (page.load, panel.tick, panel.change, *tabs)))


def _renew_verdict(
    engine: Engine,
    when: _When,
    panel: gr.HTML,
    controls: generate.Controls,
    foot: generate.Foot,
    more: batch.More,
) -> None:
    """Wires all of ``when``: what is judged is what the form holds once the page has opened.

    Verdicts are renewed then, when a job has ended and when memory or queue change."""
    asked = generate.asked_by(controls, more.as_list())
    judged = [controls.size, controls.frames, *foot.judged()]
    chosen = [controls.model, controls.size, controls.frames]
    judge = partial(generate.judged, engine)
    when.opened.add(partial(generate.opened, engine), [controls.model], chosen)
    when.changed.add(judge, asked, judged)
    opened = when.opened.wire()
    for happened in (opened.then, panel.release):
        happened(judge, asked, judged, trigger_mode="always_last", **QUIET)
    for looks in (when.ticked, when.changed, when.models, when.memory, when.shared):
        looks.wire()


def _renew_memory(
    engine: Engine,
    when: _When,
    model: gr.Dropdown,
    card: gr.Dropdown,
    measured: tuple[gr.HTML, gr.Dropdown, gr.State],
    planned: plan.PlanParts,
    timed: gr.HTML,
) -> None:
    """The picture of what was measured, the plan and the kernels are renewed when somebody looks,
    and when another card is chosen."""
    picture, which, size = measured
    sizes = partial(headroom.refreshed, engine), [model, size, card], [picture, which]
    plans = partial(plan.refreshed, engine), [model, card], planned.as_list()
    kernel_times = partial(kernels.table_html, engine), [card], [timed]
    when.changed.add(*sizes)
    when.memory.add(partial(card_choice.worded, engine), [], [card])
    chosen = Looks(card.input)
    for parts in (sizes, plans, kernel_times):
        for looks in (when.memory, chosen):
            looks.add(*parts)
    chosen.wire()
    # A clip's end can change the plan; a dropdown that the user holds open stays as it is.
    when.changed.add(partial(plan.table_html, engine), [model, card], [planned.table])


def _renew_first_run(
    engine: Engine,
    when: _When,
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

    shown = first.as_list()
    when.opened.add(opened, [], [*shown, first.came])
    when.ticked.add(ticked, [first.came], [*shown, first.came, controls.model, *judged])
    when.changed.add(partial(first_run.refreshed, engine), [], shown)
