"""Whether a clip outlives a lid that was closed for longer than a worker may be silent.

``python -m tests.tools.asleep [ROUNDS] [SECONDS]`` makes a clip in each round, holds page and
worker for SECONDS (65) in its middle, with the limits as they are, and lets either of them go on
first in turns. Then once the worker alone, which is a hang. Prints one JSON object.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.asleep import Slept, sleep_through


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 6
    seconds = float(arguments[1]) if len(arguments) > 1 else 65.0
    with ThreadPoolExecutor(rounds + 1) as pool:
        asleep = [pool.submit(sleep_through, seconds, page_first=n % 2 == 0) for n in range(rounds)]
        alone = pool.submit(sleep_through, max(seconds, 65.0), page=False)
    slept, hung = [one.result() for one in asleep], alone.result()
    good = [_whole(one) for one in slept]
    told = {
        "rounds": rounds,
        "seconds": seconds,
        "made at the first try": sum(good),
        "the worker alone": f"{hung.state} at try {hung.attempts}",
    }
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0 if all(good) and hung.attempts == 2 else 1


def _whole(one: Slept) -> bool:
    return (one.code, one.state, one.attempts) == (0, "done", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
