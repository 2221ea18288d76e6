"""`adapters …` and `--lora` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store import Adapters
from engine.adapters.wanted import chosen, strength_of
from engine.commands.main import main
from engine.home import Home
from tests.support import loras

Capture = pytest.CaptureFixture[str]


def told(capture: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    capture.readouterr()
    assert main(["adapters", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capture.readouterr().out)
    return found


def written(file: Path, **more: int) -> Path:
    tensors = loras.layers(rank=1, blocks=1, dim=5120, ffn=13824, **more)  # type: ignore[arg-type]
    return loras.write(file, tensors, {"trigger_words": "ohwx"})


@pytest.mark.parametrize(
    ("named", "split"),
    [
        ("zoom", ("zoom", 1.0)),
        ("zoom:0.8", ("zoom", 0.8)),
        ("zoom:-1", ("zoom", -1.0)),
        (r"C:\loras\x.safetensors", (r"C:\loras\x.safetensors", 1.0)),
        (r"C:\loras\x.safetensors:0.8", (r"C:\loras\x.safetensors", 0.8)),
        ("/tmp/a:b/x.safetensors", ("/tmp/a:b/x.safetensors", 1.0)),
        ("zoom:", ("zoom:", 1.0)),
        (":0.5", (":0.5", 1.0)),
    ],
)
def test_a_strength_stands_behind_the_last_colon(named: str, split: tuple[str, float]) -> None:
    assert strength_of(named) == split


def test_add_list_and_remove(capsys: Capture, tmp_path: Path) -> None:
    assert told(capsys, "list")["adapters"] == []
    added = told(capsys, "add", str(written(tmp_path / "zoom.safetensors")), "--name", "My zoom")
    assert (added["name"], added["ranks"], added["triggers"]) == ("My zoom", [1], ["ohwx"])
    fit = added["models"]["wan2.1-t2v-14b-fp8"]
    assert (fit["fits"], fit["matched"], fit["told"]) == (True, 5, None)
    wan21 = {f"wan2.1-t2v-14b-{name}" for name in ("fp8", "int8", "bf16")}
    assert set(added["models"]) == wan21 | {f"wan2.2-i2v-a14b-{name}" for name in ("fp8", "int8")}
    (listed,) = told(capsys, "list", "--model", "wan-tiny")["adapters"]
    assert listed["models"]["wan-tiny"]["fits"] is False
    assert "takes no LoRAs" in listed["models"]["wan-tiny"]["told"]
    assert main(["adapters", "list"]) == 0
    shown = capsys.readouterr().out
    assert "My zoom: " in shown
    assert "trigger words: ohwx" in shown
    assert "wan2.1-t2v-14b-fp8: fits" in shown
    assert main(["adapters", "remove", "my zoom"]) == 0
    assert capsys.readouterr().out == "Removed My zoom.safetensors.\n"
    assert told(capsys, "list")["adapters"] == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("add",), "A LoRA is missing"),
        (("list", "zoom"), "takes no file"),
        (("remove", "zoom"), "There is no LoRA zoom"),
        (("add", "none.safetensors"), "doesn't exist"),
        (("list", "--model", "none"), "none"),
        (("pull", "zoom"), "isn't a repository"),
    ],
)
def test_a_mistake_is_told_with_a_remedy(
    capsys: Capture, arguments: tuple[str, ...], error: str
) -> None:
    answer = told(capsys, *arguments, code=2)
    assert error in answer["error"]
    assert answer["remedy"]


def test_lora_takes_a_file_in_or_finds_its_name(tmp_path: Path) -> None:
    store = Adapters(Home.find())
    file = written(tmp_path / "zoom.safetensors")
    (taken,) = chosen(store, [f"{file}:0.5"], files=True)
    assert taken["strength"] == 0.5
    assert chosen(store, ["zoom:-2"], files=True) == [taken | {"strength": -2.0}]
    assert store.entries()[0].files[0].sha256 == taken["sha256"]


def test_generate_refuses_what_the_model_cant_use(capsys: Capture, tmp_path: Path) -> None:
    file = str(written(tmp_path / "zoom.safetensors"))
    asked = ["generate", "a ball", "--model", "wan-tiny", "--json", "--lora"]
    assert main([*asked, file]) == 2
    assert "takes no LoRAs" in json.loads(capsys.readouterr().out)["error"]
    assert main([*asked, "none"]) == 2
    assert "There is no LoRA none" in json.loads(capsys.readouterr().out)["error"]
    asked[3] = "wan2.1-t2v-14b-fp8"
    assert main([*asked, f"{file}:9"]) == 2
    assert "strength of 9.0" in json.loads(capsys.readouterr().out)["error"]
