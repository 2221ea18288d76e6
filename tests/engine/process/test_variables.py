"""What becomes of variables of the environment that other people's code reads."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.process.variables import (
    INSTEAD,
    NO_MIRROR,
    NO_SETTINGS,
    PAGE_VALUES,
    is_the_pages,
    settle,
    settle_for_page,
    wrong_way,
)

# What the page imports on Gradio's account that takes its settings from the environment.
READERS = (
    "gradio",
    "gradio_client",
    "uvicorn",
    "fastapi",
    "starlette",
    "safehttpx",
    "mcp",
    "anyio",
    "fsspec",
)
# Read there, and left as the user has them; each with the cause.
LEFT = {
    "PATH": "the system's",
    "CI": "only in gradio.workflow, which nothing here starts",
    "PYTEST_CURRENT_TEST": "as CI",
    "BROWSER": "as CI; Python's own webbrowser reads it, too",
    "DISPLAY": "as CI",
    "WAYLAND_DISPLAY": "as CI",
    "SSH_CONNECTION": "as CI",
    "SSH_TTY": "as CI",
    "HF_TOKEN": "the user's, for weights; Gradio takes it for its loaders and commands only",
    "DISCORD_TOKEN": "in a template of gradio_client, which nothing here imports",
    "OPENAI_API_KEY": "in gradio's command load_chat",
    "HF_HUB_DISABLE_TELEMETRY": "ours",
    "XDG_CONFIG_HOME": "in mcp's client, which nothing here starts",
    "SERVER_NAME": "WSGI's environ, not this process's",
    "SERVER_PORT": "as SERVER_NAME",
    "REMOTE_ADDR": "as SERVER_NAME",
}


def environment_names(tree: ast.AST) -> Iterator[str]:
    """The names that ``tree`` asks os.environ for, however it is spelt."""
    for node in ast.walk(tree):
        asked: ast.expr | None = None
        if isinstance(node, ast.Call) and node.args:
            whose = ast.unparse(node.func)
            if whose.endswith(("getenv", "environ.get", "environ.pop", "environ.setdefault")):
                asked = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            asked = node.slice
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("environ"):
            asked = node.left
        if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
            yield asked.value


def read_by(package: str) -> set[str]:
    spec = find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return {
        name
        for folder in folders
        for file in Path(folder).rglob("*.py")
        if "environ" in (text := file.read_text(encoding="utf-8")) or "getenv" in text
        for name in environment_names(ast.parse(text))
    }


def test_every_name_that_gradio_and_its_server_read_is_accounted_for() -> None:
    """A new version that reads another one has to be looked at: set aside, or left for a cause."""
    names = {name: package for package in READERS for name in read_by(package)}
    assert {"GRADIO_NUM_WORKERS", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"} <= set(names)
    assert sum(name.startswith("GRADIO_") for name in names) > 40, "the search finds none any more"
    unknown = {f"{names[n]}: {n}" for n in names if not is_the_pages(n) and n not in LEFT}
    assert unknown == set()
    assert {name for name in INSTEAD if name not in names} == set(), "nothing reads them any more"


def test_what_gradio_reads_is_set_aside_and_told_once() -> None:
    given = {"GRADIO_NUM_WORKERS": "1", "GRADIO_SERVER_PORT": "9000", "SYSTEM": "spaces"}
    environment = {**given, "PATH": "/bin", "HF_TOKEN": "hf_x", "HEADROOM_HOME": "/h"}
    first, *instead = settle_for_page(environment)
    assert environment == {"PATH": "/bin", "HF_TOKEN": "hf_x", "HEADROOM_HOME": "/h", **PAGE_VALUES}
    assert all(name in first for name in given)
    assert "GRADIO_SERVER_PORT: --port chooses the port." in instead
    assert settle_for_page(environment) == []


@pytest.mark.parametrize(
    "name", ["GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_ANALYTICS_MAX_EVENTS"]
)
def test_telemetry_is_off_whatever_was_set_and_nothing_is_said(name: str) -> None:
    for value in ("True", "False", "", "nonsense"):
        environment = {name: value}
        assert settle_for_page(environment) == []
        assert environment == PAGE_VALUES


def test_a_value_never_gets_into_the_sentences() -> None:
    told = settle_for_page(
        {"OAUTH_CLIENT_SECRET": "s3cret", "GRADIO_SHARE_SERVER_ADDRESS": "s3cret"}
    )
    assert "OAUTH_CLIENT_SECRET" in told[0]
    assert "s3cret" not in "".join(told)


def test_a_number_of_pytorchs_compiler_that_is_none_is_left_out_and_told() -> None:
    environment = {"TORCHINDUCTOR_DEFAULT_AUTOTUNE_REP": "x", "TORCHDYNAMO_REPRO_LEVEL": "3"}
    (told,) = settle(environment)
    assert told == "TORCHINDUCTOR_DEFAULT_AUTOTUNE_REP isn't a whole number, so it is left out."
    assert environment == {"TORCHDYNAMO_REPRO_LEVEL": "3", **NO_SETTINGS}


@pytest.mark.parametrize("value", ["", "ten", "1.5", "1e3", "0x10"])
def test_a_number_that_is_none_is_left_out(value: str) -> None:
    environment = {"HF_HUB_ETAG_TIMEOUT": value, "HF_HUB_DOWNLOAD_TIMEOUT": "30"}
    told = settle(environment)
    assert environment == {"HF_HUB_DOWNLOAD_TIMEOUT": "30", **NO_SETTINGS}
    assert told == (["HF_HUB_ETAG_TIMEOUT isn't a whole number, so it is left out."] * bool(value))


NO_ADDRESS = [
    "http://[",
    "http://h:99999",
    "http://h:x",
    "ftp://h",
    "hf-mirror.com",
    "http://",
    "http://a..b",
    f"https://{'a' * 80}.example",
    "https://a b",
    "https://h/\udcff",
    "http://me:s3cret@[",
]


@pytest.mark.parametrize("value", NO_ADDRESS)
def test_a_mirror_that_cant_be_one_is_set_aside_and_nothing_is_fetched_elsewhere(
    value: str,
) -> None:
    assert "HF_ENDPOINT isn't" in str(wrong_way({"HF_ENDPOINT": value}, hub=True))
    environment = {"HF_ENDPOINT": value}
    (told,) = settle(environment)
    assert told.startswith("HF_ENDPOINT isn't a hub address")
    assert "s3cret" not in told
    assert environment == {"HF_ENDPOINT": NO_MIRROR, **NO_SETTINGS}
    assert settle(environment) == []
    assert "HF_ENDPOINT isn't" in str(wrong_way(environment, hub=True))
    assert wrong_way(environment) is None, "only the hub's business"


@pytest.mark.parametrize(
    "value",
    ["https://hf-mirror.com", "http://[::1]:8080/hub", "HTTP://my_mirror:80", "http://hub."],
)
def test_a_mirrors_address_stays(value: str) -> None:
    environment = {"HF_ENDPOINT": f" {value} "}
    assert settle(environment) == []
    assert environment == {"HF_ENDPOINT": value, **NO_SETTINGS}
    assert wrong_way(environment, hub=True) is None


def test_a_mirror_left_blank_is_none() -> None:
    environment = {"HF_ENDPOINT": " "}
    assert settle(environment) == []
    assert environment == NO_SETTINGS


def test_pytorchs_and_numpys_insides_are_set_aside_and_told() -> None:
    environment = {
        "TORCH_LOGS": "xyz",
        "TORCH_LOGS_OUT": "/no/x",
        "COMPILE_STROBELIGHT_SAMPLE_RATE": "x",
    }
    environment |= {
        "PYTORCH_JIT": "xyz",
        "PYTORCH_MATCHER_LOGLEVEL": "xyz",
        "NPY_DISABLE_CPU_FEATURES": "X86_V2",
    }
    kept = {"TORCH_HOME": "/models"}
    environment |= kept
    (told,) = settle(environment)
    assert all(
        name in told for name in ("TORCH_LOGS", "TORCH_LOGS_OUT", "STROBELIGHT", "JIT", "NPY_")
    )
    assert environment == {**kept, **NO_SETTINGS}


def test_fsspec_reads_no_settings_whatever_names_them(tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text("{")
    given = {"FSSPEC_CONFIG_DIR": str(tmp_path), "FSSPEC_S3": "{", "FSSPEC_S3_KEY": "x"}
    for settled in (settle, settle_for_page):
        environment = dict(given)
        settled(environment)
        assert {n: v for n, v in environment.items() if n.startswith("FSSPEC")} == NO_SETTINGS
    assert not os.path.isdir(NO_SETTINGS["FSSPEC_CONFIG_DIR"])


PROXY = {"HTTPS_PROXY": "http://proxy:8080"}
HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "spared"),
    [
        ({"NO_PROXY": "intranet", "no_proxy": "wiki"}, "intranet,wiki"),
        ({"NO_PROXY": "intranet"}, "intranet"),
        ({"no_proxy": "wiki, intranet,,wiki"}, "wiki,intranet"),
        ({"NO_PROXY": "intranet", **PROXY}, f"intranet,{HERE}"),
        ({"no_proxy": "localhost", "all_proxy": "socks5://x"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "intranet,*", **PROXY}, "*"),
        ({"NO_PROXY": "wiki,a\udcff"}, "wiki"),
        ({"NO_PROXY": "[::1],[2001:db8::1]:80"}, "::1,2001:db8::1"),
        (PROXY, HERE),
        # Windows' and macOS' own settings count as long as the environment has none.
        ({}, None),
        ({"NO_PROXY": " , "}, None),
    ],
)
def test_both_spellings_of_no_proxy_say_the_same(given: dict[str, str], spared: str | None) -> None:
    environment = dict(given)
    assert settle(environment) == []
    if spared is None:
        assert environment == {**given, **NO_SETTINGS}
    else:
        assert (environment["NO_PROXY"], environment["no_proxy"]) == (spared, spared)


@pytest.mark.starts
def test_what_would_end_an_import_ends_no_command(tmp_path: Path) -> None:
    """Each of these ended the import of huggingface_hub, tqdm or NumPy in a traceback."""
    names = ("HF_HUB_ETAG_TIMEOUT", "NUMPY_MADVISE_HUGEPAGE", "TQDM_NCOLS", "TQDM_POSITION")
    more = {"EAGER_IMPORT": "1", "HF_ENDPOINT": "http://["}
    done = subprocess.run(
        [sys.executable, "app.py", "clips", "--json"],
        env={**os.environ, **dict.fromkeys(names, "nonsense"), **more},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "NUMPY_MADVISE_HUGEPAGE isn't a whole number" in done.stderr
    assert "HF_ENDPOINT isn't" in done.stderr
