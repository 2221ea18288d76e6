"""The audit's verdicts, with a service that answers what a test writes."""

import datetime
import json
from typing import Any

import pytest

from tests.tools.audit import ALLOWED, Unreachable, main, read_allowed

TODAY = datetime.date.today()
FLAW = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": ""}
SOUND = {"name": "pillow", "version": "12.0", "vulns": []}
BAD = {"name": "Gradio", "version": "1.0", "vulns": [FLAW]}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found"}


def audit(capsys: pytest.CaptureFixture[str], *packages: Any, allowed: str = "") -> tuple[int, str]:
    code = main(lambda _file: json.dumps({"dependencies": packages, "fixes": []}), allowed)
    return code, capsys.readouterr().out


def test_a_vulnerability_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = audit(capsys, SOUND, BAD)
    assert code == 1
    assert "VULNERABLE: gradio 1.0: PYSEC-2026-1, fixed in 2.0" in said


def test_what_is_sound_passes_and_what_nobody_knows_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit(capsys, SOUND, SKIPPED) == (
        0,
        "audited: 1 packages without a known vulnerability; not audited: torch\n",
    )


def test_a_service_that_answers_for_nothing_is_no_audit(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = audit(capsys, SKIPPED)
    assert code == 0
    assert said == "not audited: service unreachable (it knows none of 1 packages)\n"


@pytest.mark.parametrize("answer", [None, "<html>a proxy's page</html>"])
def test_an_unreachable_service_fails_nothing(
    capsys: pytest.CaptureFixture[str], answer: str | None
) -> None:
    def run(_file: str) -> str:
        if answer is None:
            raise Unreachable("name not known")
        return answer

    assert main(run, "") == 0
    assert capsys.readouterr().out.startswith("not audited: service unreachable (")


@pytest.mark.parametrize("id", ["PYSEC-2026-1", "CVE-2026-1"])
def test_an_allowed_one_passes_with_its_reason(capsys: pytest.CaptureFixture[str], id: str) -> None:
    allowed = f"{id} gradio {TODAY} only its unused OAuth part is hit"
    code, said = audit(capsys, BAD, allowed=allowed)
    assert code == 0
    assert "only its unused OAuth part is hit" in said


@pytest.mark.parametrize(
    ("package", "date"), [("pillow", TODAY), ("gradio", TODAY - datetime.timedelta(days=200))]
)
def test_an_entry_is_for_one_package_and_half_a_year(
    capsys: pytest.CaptureFixture[str], package: str, date: datetime.date
) -> None:
    allowed = f"PYSEC-2026-1 {package} {date} only its unused OAuth part is hit"
    assert audit(capsys, BAD, allowed=allowed)[0] == 1


@pytest.mark.parametrize("line", ["PYSEC-2026-1", "PYSEC-2026-1 gradio 2026-01-01 because"])
def test_an_entry_without_a_reason_or_date_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="REASON"):
        read_allowed(line)


def test_the_real_list_can_be_read() -> None:
    read_allowed(ALLOWED.read_text(encoding="utf-8"))
