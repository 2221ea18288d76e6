"""Renewing the locks: what moves, and what stays as somebody wrote it. uv itself isn't asked."""

from engine.home import PROJECT
from engine.install.lock import BROUGHT, _plain, asked, fits, listing, renewed, shared
from engine.install.packages import read_hashes
from engine.install.plan import ENGINE, GPU, PAGE, TESTS

TEXT = f"""# Why this file is there.
-r other.txt

torch==2.13.0
Page_Kit==1.0  # the page

{BROUGHT}
click==8.0; sys_platform == "win32"
gone==1.0
"""


def test_a_renewed_file_keeps_its_words_and_what_did_not_move() -> None:
    found = {
        "torch": "torch==2.13.0",
        "page-kit": "page-kit==2.0",
        "click": "click==8.0",
        "zipp": "zipp==4.0",
        "brought-elsewhere": "brought-elsewhere==1.0",
    }
    assert renewed(TEXT, found, frozenset({"brought-elsewhere"})) == (
        f"# Why this file is there.\n-r other.txt\n\ntorch==2.13.0\npage-kit==2.0\n\n{BROUGHT}\n"
        'click==8.0; sys_platform == "win32"\nzipp==4.0\n'
    )


def test_the_nvidia_file_takes_over_what_it_shares_but_not_torch() -> None:
    text = 'torch==2.11.0; sys_platform == "linux"\nav==1.0  # writes clips\nown==3.0\n# a word\n'
    found = {"torch": "torch==2.13.0", "av": "av==2.0"}
    assert shared(text, found) == text.replace("av==1.0", "av==2.0")


def test_what_is_asked_for_moves_only_when_told_and_torch_never() -> None:
    assert asked(TEXT, False) == ["torch==2.13.0", "Page_Kit==1.0"]
    assert asked(TEXT, True) == ["torch==2.13.0", "Page_Kit"]


def test_a_line_says_nothing_of_systems_that_nobody_runs_this_on() -> None:
    assert _plain("a==1 ; sys_platform != 'emscripten'") == "a==1"
    assert _plain("a==1 ; sys_platform == 'emscripten'") == ""
    assert _plain("a==1 ; python_full_version >= '3.13'") == 'a==1; python_version >= "3.13"'
    assert _plain("a==1 ; sys_platform == 'win32'") == 'a==1; sys_platform == "win32"'


def test_the_wheels_that_are_listed_are_for_the_machines_it_runs_on() -> None:
    for tags in (
        "py3-none-any",
        "py2.py3-none-any",
        "cp313-cp313-win_amd64",
        "cp39-abi3-win_amd64",
        "cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "py3-none-macosx_11_0_arm64",
    ):
        assert fits(f"a-1.0-{tags}.whl"), tags
    for tags in (
        "cp310-cp310-win_amd64",
        "cp314-cp314-win_amd64",
        "cp314-abi3-win_amd64",
        "py2-none-any",
        "cp313-cp313t-win_amd64",
        "cp312-cp312-win32",
        "cp312-cp312-manylinux_2_28_s390x",
    ):
        assert not fits(f"a-1.0-{tags}.whl"), tags


def test_what_is_listed_is_read_again() -> None:
    told = listing({"b_c-2.0-py3-none-any.whl": "22", "A-1-py3-none-any.whl": "11"})
    assert told.splitlines()[1:] == ["11  A-1-py3-none-any.whl", "22  b_c-2.0-py3-none-any.whl"]
    assert read_hashes(told) == {"a==1": ["11"], "b-c==2.0": ["22"]}


def test_every_lock_has_its_mark() -> None:
    for name in (PAGE, ENGINE, TESTS):
        assert (PROJECT / name).read_text(encoding="utf-8").count(BROUGHT) == 1
    assert (PROJECT / GPU).exists()
