"""The list of machines on the Memory tab, and what its buttons do."""

import pytest

from engine.commands.lanes import row_away
from engine.doctor.doctor import _lanes
from engine.engine import Engine
from engine.jobs import State
from engine.joined.machines import Machines
from engine.joined.posted import posted
from engine.text import plain
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.joined import Line
from ui.live import Live
from ui.page import build_page
from ui.tabs.machines import fetch_there, machines_html, refreshed, rename_it, take_out

pytestmark = pytest.mark.starts


def test_before_anybody_has_joined(head: Engine, machines: Machines) -> None:
    told = machines_html(head, machines)
    assert "No machine has joined yet." in told
    assert "<table" not in told


def test_what_each_has_and_does(
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    (machine,) = machines.all
    (lane,) = machine.lanes
    told = machines_html(head, machines)
    assert machine.name in told
    assert lane.device in told
    assert "GB free" in told
    assert "not timed yet" in told
    head.start()
    job = head.submit(ask(f"<b>bold</b> {gate}"), lane=lane.name)
    wait_until(lambda: head.progress(head.jobs.get(job.id)), "its progress")
    assert "&lt;b&gt;bold&lt;/b&gt;" in machines_html(head, machines)
    state = Live(head).state()
    assert [str(card["name"]) for card in state["cards"]] == ["this machine", machine.name]
    assert str(state["lane"]) == machine.name
    gate.open()
    assert finish(head, job).state is State.DONE


def test_it_is_renamed_and_taken_out(head: Engine, machines: Machines, line: Line) -> None:
    (machine,) = machines.all
    assert rename_it(machines, machine.id, " Under <the> desk ") == ""
    table, choice = refreshed(head, machines, "gone long ago")
    assert "Under &lt;the&gt; desk" in table
    assert choice.choices == [("Under <the> desk", machine.id)]
    assert choice.value == machine.id
    assert 'role="alert"' in rename_it(machines, "no such", "x")
    assert take_out(machines, machine.id) == ""
    assert "has left" in machines_html(head, machines)
    assert 'role="alert"' in take_out(machines, machine.id)
    assert 'role="alert"' in fetch_there(machines, True, machine.id, "wan-tiny")


def test_a_model_that_nobody_knows_isnt_fetched(machines: Machines, line: Line) -> None:
    assert 'role="alert"' in fetch_there(machines, True, machines.all[0].id, "<none>")


def test_one_that_went_and_one_of_another_version_are_told(
    head: Engine, machines: Machines, line: Line
) -> None:
    machines.lost(line, plain("The <line> is cut."))
    machines.refused["other"] = plain("other runs Headroom 0.0.1.")
    told = machines_html(head, machines)
    assert "The &lt;line&gt; is cut." in told
    assert "other runs Headroom 0.0.1." in told


def test_a_clock_that_is_off_is_told(head: Engine, machines: Machines, line: Line) -> None:
    machines.all[0].clock_off = -7200.0
    assert "behind. Nothing depends on it." in machines_html(head, machines)


def test_other_processes_on_the_folder_know_them(
    head: Engine, machines: Machines, line: Line
) -> None:
    (lane,) = posted(head)
    assert (lane.name, lane.machine) == (machines.all[0].name, machines.all[0].host)
    assert lane.suits("scripted")
    size = head.guard.rules("scripted").baseline
    assert lane.guard.verdict("scripted", size).open
    machines.close()
    assert posted(head) == []


def test_the_page_has_the_list_only_where_machines_may_join(
    head: Engine, machines: Machines
) -> None:
    def has_list(page: object) -> bool:
        return any(b.elem_id == "machines" for b in page.blocks.values())  # type: ignore[attr-defined]

    assert has_list(build_page(head, machines=machines))
    assert not has_list(build_page(head))


def test_the_doctor_and_the_command_name_them(head: Engine, machines: Machines, line: Line) -> None:
    told = [str(one.meaning) for one in _lanes(head)]
    assert f"Other machines have joined: {machines.all[0].name}." in told
    (row,) = [row_away(head, lane) for lane in machines.all[0].lanes]
    assert row["name"] == machines.all[0].name
    assert row["machine"] == machines.all[0].host
    assert 0 < row["free_bytes"] <= row["total_bytes"]
    assert row["state"] in ("off", "idle")
