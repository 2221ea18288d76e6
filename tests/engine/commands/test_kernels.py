"""``app.py kernels``: rows, what the plans take of them, and the least seconds."""

import json

import pytest

from engine.commands.main import main
from engine.kernels.kernel_test import KernelTest
from tests.tools.examples import looks_as_told


@pytest.mark.model
@pytest.mark.starts
def test_the_cpu_default_is_timed_for_real(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own decoder and attention, in a process of their own; and for a person the rows that were
    kept of it."""
    monkeypatch.delenv("HEADROOM_PRESETS", raising=False)
    assert main(["kernels", "--model", "wan-tiny", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"device", "rows", "seconds"}
    assert told["device"].startswith("CPU: ")
    rows = told["rows"]
    keys = {"what", "kernel", "shape", "milliseconds", "cosine", "chosen"}
    assert all(set(row) == keys for row in rows)
    assert {(row["what"], row["kernel"]) for row in rows if row["chosen"]} == {
        ("linear", "float32"),
        ("attention", "sdpa-float32"),
        ("decode", "flat"),
    }
    assert all(row["milliseconds"] > 0 and row["cosine"] > 0.999 for row in rows)
    assert set(told["seconds"]) == {"wan-tiny", "wan-tiny-i2v"}
    assert told["seconds"]["wan-tiny"] > 0
    monkeypatch.setattr(KernelTest, "run", lambda test, preset, *_: test.times(preset))
    assert main(["kernels"]) == 0
    assert looks_as_told("kernels", capsys.readouterr().out)


def test_a_model_that_isnt_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "--model", "nowhere"]) == 2
    assert "There is no model 'nowhere'" in capsys.readouterr().err
