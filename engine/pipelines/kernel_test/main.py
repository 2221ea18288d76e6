"""``python -m engine.pipelines.kernel_test.main``: times kernels and holds them against float32.

Reads one JSON object: ``device`` ("cuda" or "cpu"), ``family``, and ``tasks``, each with ``what``,
``kernel`` and the numbers of its shape. Prints a JSON line when it begins with a task, {"begins":
N}, and one when it has ended, {"row": N, "milliseconds", "cosine", "problem"}: what began and has
no row took this process with it.
"""

import contextlib
import json
import math
import os
import sys
from typing import Any

import torch

from engine.errors import HeadroomError, first_line
from engine.pipelines.cuda import is_dead, what_ran_out
from engine.pipelines.kernel_test.timing import Maker, median_milliseconds


def main() -> int:
    asked = json.load(sys.stdin)
    # LightX2V prints while it is imported, and compiled code writes past Python's stream.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.redirect_stdout(sys.stderr):
        device = str(asked["device"])
        torch.set_grad_enabled(False)
        try:
            make = _makers(str(asked["family"]), device, asked)
        except HeadroomError as error:
            _tell(out, {"problem": str(error.sentence)})
            return 0
        for number, task in enumerate(asked["tasks"]):
            _tell(out, {"begins": number})
            _tell(out, {"row": number, **_row(make[task["what"]], task, device)})
            if device == "cuda":
                if is_dead():
                    return 1  # the next process goes on with the rest
                torch.cuda.empty_cache()
    return 0


def _tell(out: Any, told: dict[str, Any]) -> None:
    out.write(json.dumps(told) + "\n")
    out.flush()


def _row(make: Maker, task: dict[str, Any], device: str) -> dict[str, Any]:
    try:
        trial = make(task)
        cosine = trial.cosine()
        taken = median_milliseconds(trial.run, device) * trial.scale
        found = round(cosine, 6) if math.isfinite(cosine) else 0.0  # JSON has no NaN
        return {"milliseconds": round(taken, 4), "cosine": found, "problem": ""}
    except Exception as error:  # whatever a kernel's package raises means: not this one
        name, words = type(error).__name__, first_line(error, "", 200)
        why = "memory" if what_ran_out(error) else f"{name}: {words}"
        return {"milliseconds": None, "cosine": None, "problem": why}


def _makers(family: str, device: str, asked: dict[str, Any]) -> dict[str, Maker]:
    """What makes a trial of each kind of task.

    Raises:
        HeadroomError: the family's packages can't be imported.
    """
    if family == "wan-tiny":
        from engine.pipelines.wan_tiny import timed as tiny

        return tiny.makers(asked)
    from engine.pipelines.lightx2v import timed

    return timed.makers(device)


if __name__ == "__main__":
    sys.exit(main())
