"""What a driver says is shown as text, too: a GPU and processes whose names are markup."""

import signal
from pathlib import Path

from tests.conftest import TESTS
from tests.support.browser import MARKS, launched, open_page, settled
from tests.support.nvml.standin import Process, ScriptedGpu, Standin, build
from tests.support.served import LAZY, serve

pytestmark = MARKS
BAD = "window.hacked=1"
HOSTILE = f"<img src=x onerror={BAD}><script>{BAD}</script>"


def test_names_of_gpu_and_processes_stay_text(tmp_path: Path) -> None:
    build(tmp_path)
    machine = Standin(tmp_path)
    holder = Process(4321, f"/usr/bin/{HOSTILE}", 9_000)
    # So full that the verdict on the large model names who holds the memory.
    machine.write(gpus=[ScriptedGpu(f"RTX {HOSTILE}", used_mib=15_900, processes=[holder])])
    environment = machine.environment(
        HEADROOM_HOME=str(tmp_path / "home"), HEADROOM_PRESETS=str(TESTS / "fixtures/presets")
    )
    served = serve(tmp_path / "serve.log", environment=environment, program=LAZY)
    try:
        with launched() as chromium:
            tab = chromium.new_page()
            open_page(tab, served)
            tab.click("#gauge summary")
            tab.wait_for_selector("[data-live=gauge-name] >> text=RTX <img")
            for name in ("Library", "Models", "Memory", "Share", "Create"):
                tab.get_by_role("tab", name=name).first.click()
                settled(tab)
                found = tab.evaluate("[window.hacked, document.querySelectorAll('[src=x]').length]")
                assert found == [None, 0], name
            tab.get_by_role("tab", name="Models").click()
            tab.wait_for_selector("#machine >> text=RTX <img")
    finally:
        served.end(signal.SIGTERM)
