"""Runs in a child, under the stand-in: one JSON sample for each line on standard input, which may
name a worker's process. At the line "anew" another meter takes it, as in another program.

NVML stays loaded for a process's whole life, so the tests' own process must never load it. The
command line: HEADROOM's wait between two tries to find a lost GPU, in seconds.
"""

import json
import logging
import sys
from dataclasses import asdict

from engine.machine import memory, nvml


def main() -> None:
    logging.basicConfig(stream=sys.stderr)
    memory.RETRY_SECONDS = memory.ABSENT_SECONDS = float(sys.argv[1])
    nvml.HOLDERS_SECONDS = 0.0
    meter = memory.Meter()
    for line in sys.stdin:
        asked = line.strip()
        if asked == "anew":
            meter.close()
            meter, asked = memory.Meter(), ""
        sample = asdict(meter.sample(int(asked) if asked else None))
        sys.stdout.write(json.dumps(sample, default=str) + "\n")
        sys.stdout.flush()
    meter.close()


if __name__ == "__main__":
    main()
