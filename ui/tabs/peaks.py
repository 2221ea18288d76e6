"""How much memory sizes take, where several figures stand side by side.

Figures have different origins: a measurement is shown as it is, a prediction with "about", a bound
with "up to" or "at least". Beside each other they have to make sense together: a larger size is
never shown with less than a smaller one of the same model.
"""

from collections.abc import Mapping

from engine.guard.predict import covers
from engine.guard.verdict import Hedge, Verdict
from engine.request import Size
from engine.text import NOTHING, Memory, Text


def peak_text(peak: int, hedge: Hedge) -> Text:
    """``peak``, in bytes, with how it is to be read."""
    return Text(f"peaks.{hedge}", peak=Memory(peak))


def shown_peaks(verdicts: Mapping[Size, Verdict]) -> dict[Size, Text]:
    """The peak of each size as it is shown; NOTHING where nothing can be said.

    A size for which less is known than for a smaller one gets that one's figure, as a bound: what
    was stated of the model for a smaller size is above the prediction for this one. Only of a size
    of which nothing but a lower bound is known that would be a guess, so nothing is said.

    Args:
        verdicts: of one model, with one look at the memory.
    """
    known = {size: verdict.peak for size, verdict in verdicts.items() if verdict.peak}
    shown: dict[Size, Text] = dict.fromkeys(verdicts, NOTHING)
    for size, own in known.items():
        hedge = verdicts[size].hedge
        below = max(peak for other, peak in known.items() if covers(size, other))
        if below <= own:
            shown[size] = peak_text(own, hedge)
        elif hedge != "at_least":
            shown[size] = peak_text(below, "up_to")
    return shown
