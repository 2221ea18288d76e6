"""A meter whose readings a test writes: the machine's real memory can't be filled on demand."""

from engine.machine.memory import HostSample, MemorySample, Meter

GIB = 2**30


class ScriptedMeter(Meter):
    """16 GiB of RAM, of which others hold ``others``; the worker's share is never counted."""

    def __init__(self, others: int = 2 * GIB, total: int = 16 * GIB) -> None:
        super().__init__()
        self.others, self.total = others, total

    def sample(self, worker_pid: int | None) -> MemorySample:
        real = super().sample(worker_pid)
        host = HostSample(self.total, self.total - self.others, 0, 0, 0, None, None)
        return MemorySample(real.at, host, None, "none", "")
