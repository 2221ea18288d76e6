"""What moves by itself while a page loads, as browsers count it (CLS), and which parts moved.

A shift's value is how much of the window moved times how far, from 0 to 1; https://web.dev/cls.
Here all are added up, which is never less than what browsers report of a session.
"""

from dataclasses import dataclass
from typing import Any

from tests.support.browser import settled
from tests.support.served import Served

WATCH = """
window.headroomShifts = [];
(() => {
  const path = (node) => {
    const names = [];
    for (let at = node; at && at !== document.body && names.length < 4; at = at.parentElement) {
      if (at.nodeType !== Node.ELEMENT_NODE) {
        names.unshift(JSON.stringify(at.data.slice(0, 30)));
        continue;
      }
      const classes = [...at.classList].filter((one) => !one.startsWith("svelte-")).slice(0, 3);
      names.unshift([at.localName + (at.id && `#${at.id}`), ...classes].join("."));
      if (at.id && !at.id.startsWith("component-")) break;
    }
    return names.join(" > ");
  };
  const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(",");
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      window.headroomShifts.push({
        value: entry.value, at: Math.round(entry.startTime),
        parts: entry.sources.map(({ node, previousRect, currentRect }) => [
          node ? path(node) : "(gone)", place(previousRect), place(currentRect),
        ]),
      });
    }
  }).observe({ type: "layout-shift", buffered: true });
})();
"""


@dataclass(frozen=True)
class Shift:
    """``at``: ms since the navigation. ``parts``: each with its place before and after, as
    x, y, width, height in px."""

    value: float
    at: int
    parts: list[tuple[str, str, str]]

    def line(self) -> str:
        moved = "".join(f"\n    {name}: {old} -> {new}" for name, old, new in self.parts)
        return f"{self.value:.4f} at {self.at} ms{moved}"


@dataclass(frozen=True)
class FirstLoad:
    shifts: list[Shift]

    @property
    def score(self) -> float:
        return sum(shift.value for shift in self.shifts)

    def __str__(self) -> str:
        return "\n".join([f"{self.score:.4f} in all", *(one.line() for one in self.shifts)])


def first_load(chromium: Any, served: Served, width: int, height: int, **options: Any) -> FirstLoad:
    """Open the page in a browser that has nothing of it, and watch until it has come to rest: the
    engine's state is told, every answer is here, and nothing is drawn any more.

    Args:
        options: of the browser's context.
    """
    context = chromium.new_context(viewport={"width": width, "height": height}, **options)
    context.add_init_script(WATCH)
    tab = context.new_page()
    open_requests: set[Any] = set()
    tab.on("request", lambda request: open_requests.add(request))
    for end in ("requestfinished", "requestfailed"):
        tab.on(end, lambda request: open_requests.discard(request))
    tab.goto(served.url)
    tab.wait_for_selector("#generate:not([disabled])")
    tab.wait_for_function("window.headroomLive?.engine_state === 'ready'")
    settled(tab)
    # What the worker that all tabs share asks for has a beginning here and no end.
    while any("/live" not in request.url for request in open_requests):
        tab.wait_for_timeout(50)
        settled(tab)
    found = tab.evaluate("window.headroomShifts")
    context.close()
    return FirstLoad(
        [Shift(one["value"], one["at"], list(map(tuple, one["parts"]))) for one in found]
    )
