"""With a GPU and its model ready the page opens with that, and loads it once somebody writes."""

import shutil
import signal
from pathlib import Path

from tests.conftest import TESTS
from tests.support.browser import MARKS, launched, watched
from tests.support.models import for_gpu
from tests.support.nvml.standin import ScriptedGpu, Standin, build
from tests.support.served import LAZY, serve

pytestmark = MARKS


def test_the_page_opens_with_the_large_model(tmp_path: Path) -> None:
    build(tmp_path)
    machine, presets = Standin(tmp_path), tmp_path / "presets"
    machine.write(gpus=[ScriptedGpu()])
    shutil.copytree(TESTS / "fixtures/presets", presets)
    environment = machine.environment(
        HEADROOM_HOME=str(tmp_path / "home"), HEADROOM_PRESETS=str(presets)
    )
    for_gpu(presets, "fp8")
    served = serve(tmp_path / "serve.log", environment=environment, program=LAZY)
    try:
        with launched() as chromium, watched(chromium, served) as tab:
            assert tab.input_value("#model input") == "Large"
            tab.wait_for_selector("#truth >> text=Fits: up to")
            assert "off" in str(served.state("engine")), "nobody asked for anything yet"
            tab.fill("#prompt textarea", "steps=2")
            tab.wait_for_selector("[data-live=engine] >> text=ready")
            tab.click("#generate")
            tab.wait_for_selector("[data-live=outcome][data-kind=good]")
            tab.get_by_role("tab", name="Memory").click()
            tab.wait_for_selector("#plan >> text=It is ready and fits this computer's GPU")
    finally:
        served.end(signal.SIGTERM)
