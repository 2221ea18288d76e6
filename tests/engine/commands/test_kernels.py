"""``app.py kernels``: rows, what the plans take of them, and the least seconds."""

import json

import pytest

from engine.commands.main import main


@pytest.mark.model
@pytest.mark.starts
def test_the_cpu_default_is_timed_for_real(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own decoder and attention, in a process of their own."""
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


def test_a_model_that_isnt_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "--model", "nowhere"]) == 2
    assert "There is no model 'nowhere'" in capsys.readouterr().err
