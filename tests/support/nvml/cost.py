"""What the flight recorder costs, under the stand-in: ``python -m tests.support.nvml.cost
[SECONDS]``.

No test: a busy machine would fail it. The stand-in parses its script at every call, which a real
driver doesn't; a real driver asks its kernel module instead.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.nvml.standin import Process, Standin, build


def measure(seconds: float) -> None:
    """In the child: CPU seconds of this process while it records at 4 Hz, and at 1 Hz."""
    import os

    from engine.machine.memory import Meter
    from engine.machine.recorder import Busy, FlightRecorder

    for busy in (Busy(1, "denoise"), None):
        meter = Meter()
        recorder = FlightRecorder(meter, os.getpid, lambda key=busy: key)  # type: ignore[misc]
        recorder.latest()  # the first sample loads NVML
        begun, cpu = time.monotonic(), time.process_time()
        recorder.start()
        time.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - begun
        count = len(recorder.window(seconds))
        recorder.close()
        meter.close()
        sys.stdout.write(
            f"{'busy' if busy else 'idle'}: {count} samples in {wall:.1f} s, state "
            f"{recorder.latest().state}, {100 * cpu / wall:.3f} % of a core, "
            f"{1000 * cpu / count:.2f} ms each\n"
        )


def main() -> None:
    if "--child" in sys.argv:
        measure(float(sys.argv[-1]))
        return
    seconds = sys.argv[1] if len(sys.argv) > 1 else "30"
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        standin = Standin(Path(folder))
        held = [Process(9000 + n, f"program {n}", 100, graphics=n > 2) for n in range(12)]
        standin.write(used_mib=6_000, processes=held)
        command = [sys.executable, "-m", "tests.support.nvml.cost", "--child", seconds]
        subprocess.run(command, env=standin.environment(), check=True)


if __name__ == "__main__":
    main()
