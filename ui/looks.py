"""What the page looks at again by itself, with one event of Gradio's for each thing that happens.

Before a page can be used, Gradio holds every event against every component, and one that fires
walks through all of them: nine events of a page that has opened took 0.13 s of its first 0.87 s
(two cores, headless Chromium), and each was a request of its own.
"""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from engine.errors import HeadroomError
from ui.wiring import QUIET

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Look:
    look: Callable[..., Any]
    inputs: list[Any]
    outputs: list[Any]

    def values(self, given: Sequence[Any]) -> list[Any]:
        """What its outputs show; as they are, if it fails."""
        try:
            found = self.look(*given)
        except (HeadroomError, gr.Error):  # the live panel tells the cause
            found = [gr.skip() for _ in self.outputs]
        except Exception:
            log.exception("a part of the page wasn't renewed")
            found = [gr.skip() for _ in self.outputs]
        else:
            found = [found] if len(self.outputs) == 1 else list(found)
        return found


@dataclass
class Looks:
    """Looks at parts of the page that ``happened``, a listener such as ``page.load``, brings.

    One that fails takes no other with it. All of them wait for the slowest, so one that takes long
    is better an event of its own: what the others found would be old when it is shown.
    """

    happened: Callable[..., Any]
    _looks: list[_Look] = field(default_factory=list)

    def add(
        self,
        look: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
    ) -> None:
        """Have ``look``, called with the values of ``inputs``, renew ``outputs``; with one of them
        it returns its value, with more a list."""
        self._looks.append(_Look(look, list(inputs), list(outputs)))

    def wire(self) -> Any:
        """The event that looks at everything that was added.

        Raises:
            ValueError: two renew the same part.
        """
        inputs = [part for one in self._looks for part in one.inputs]
        outputs = [part for one in self._looks for part in one.outputs]
        if len({id(part) for part in outputs}) < len(outputs):
            raise ValueError("Two looks renew the same part.")

        def look_again(*values: Any) -> list[Any]:
            found, at = [], 0
            for one in self._looks:
                found += one.values(values[at : at + len(one.inputs)])
                at += len(one.inputs)
            return found if len(outputs) > 1 else found[0]

        look_again.__signature__ = _signature(self._looks)  # type: ignore[attr-defined]
        # What happens while one is looking is looked at afterwards: the last would be lost.
        return self.happened(look_again, inputs, outputs, trigger_mode="always_last", **QUIET)


def _signature(looks: Sequence[_Look]) -> inspect.Signature:
    """Of all of them in turn, so that ``check_types`` sees what each of them declares."""
    parameters: list[inspect.Parameter] = []
    for one in looks:
        declared = list(inspect.signature(one.look, eval_str=True).parameters.values())
        parameters += [
            inspect.Parameter(
                f"value_{len(parameters) + at}",
                inspect.Parameter.POSITIONAL_ONLY,
                annotation=parameter.annotation,
            )
            for at, parameter in enumerate(declared[: len(one.inputs)])
        ]
    return inspect.Signature(parameters)
