"""Stands in for the process of the kernel test: what a task's kernel is called is what happens."""

import json
import os
import sys
import time


def main() -> None:
    asked = json.load(sys.stdin)
    if asked["family"] == "missing":
        tell({"problem": "LightX2V can't be imported."})
        return
    for number, task in enumerate(asked["tasks"]):
        tell({"begins": number})
        match task["kernel"]:
            case "dies":
                os._exit(9)
            case "hangs":
                time.sleep(60)
            case "slow":
                time.sleep(0.6)
            case "fails":
                tell({"row": number, "milliseconds": None, "cosine": None, "problem": "E: no"})
                continue
        tell({"row": number, "milliseconds": 1.0, "cosine": 1.0, "problem": ""})


def tell(told: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
