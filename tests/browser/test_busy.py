"""The verdict follows the memory of a scripted GPU, in a real Chromium."""

import signal
from pathlib import Path
from typing import Any

from tests.support.browser import MARKS, open_page
from tests.support.nvml.standin import Process, ScriptedGpu, Standin, build
from tests.support.on_a_gpu import presets_in
from tests.support.served import LAZY, serve

pytestmark = MARKS

MIB = {400: "400 MB", 520: "520 MB"}  # as the gauge tells it


def test_busy_is_over_once_the_memory_is_free(chromium: Any, tmp_path: Path) -> None:
    build(tmp_path)
    presets = presets_in(tmp_path)
    machine = Standin(tmp_path)
    holder = Process(4321, "/usr/bin/a-game", 13_000)
    machine.write(gpus=[ScriptedGpu("RTX 4060 Ti", used_mib=14_500, processes=[holder])])
    environment = machine.environment(
        HEADROOM_HOME=str(tmp_path / "home"), HEADROOM_PRESETS=str(presets)
    )
    served = serve(tmp_path / "serve.log", environment=environment, program=LAZY)
    try:
        tab = chromium.new_page()
        open_page(tab, served)
        tab.click("#model input")
        tab.click("[role=option] >> text=On a GPU")
        tab.wait_for_selector("#truth .busy >> text=a-game")
        assert tab.inner_text("#generate").startswith("Queue it")
        machine.write(gpus=[ScriptedGpu("RTX 4060 Ti", used_mib=400)])
        tab.wait_for_selector("#truth .truth:not(.busy)")
        assert "a-game" not in tab.inner_text("#truth")
        little_costs_little(tab, machine)
        # And the other way: what was free is in use.
        machine.write(gpus=[ScriptedGpu("RTX 4060 Ti", used_mib=14_500, processes=[holder])])
        tab.wait_for_selector("#truth .busy >> text=a-game")
        tab.wait_for_selector("#size label.selected >> text=memory in use")
        tab.fill("#prompt textarea", "waits for its memory")
        tab.click("#generate")
        tab.wait_for_selector("#strip [data-queue=waiting] >> text=waits for its memory")
        assert tab.is_hidden("#error .refusal")
    finally:
        served.end(signal.SIGTERM)


def little_costs_little(tab: Any, machine: Standin) -> None:
    """Memory always drifts: each open page asks for that seldom, and tells the gauge at once."""
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    for used in (520, 400) * 4:
        machine.write(gpus=[ScriptedGpu("RTX 4060 Ti", used_mib=used)])
        tab.wait_for_selector(f"[data-live=gauge-use] >> text=/^{MIB[used]}/", state="attached")
    assert len([url for url in asked if "predict" in url]) <= 4
