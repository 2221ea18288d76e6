"""Talks to NVIDIA's driver through NVML: which GPUs there are, and one truthful reading of one.

NVML works without CUDA, so that the page's process can ask while the worker computes.
"""

import importlib
import time
from dataclasses import dataclass
from typing import Any

import psutil

from engine.machine.cards import BF16_CAPABILITY, Absent, Card, Lost, choose, printable
from engine.text import NOTHING, Said, Text

HOLDERS_SECONDS = 1.0  # the list of processes is the dearest query

UNINITIALISED, NOT_SUPPORTED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND = 1, 3, 9, 12
GPU_IS_LOST, RESET_REQUIRED, VERSION_MISMATCH = 15, 16, 18


@dataclass(frozen=True)
class Holder:
    """A process that holds device memory; ``used`` in bytes, None where the driver won't tell.

    Under Windows' WDDM it never does (nvmlProcessInfo_t in NVIDIA's reference). ``name`` is what
    the process calls itself, without control characters: escape it before showing it.
    """

    pid: int
    name: Said
    used: int | None


@dataclass(frozen=True)
class GpuSample:
    """One reading. Bytes, percent, degrees Celsius, watts; None: this driver does not tell.

    ``used`` counts what the driver itself keeps, so that ``used + free == total``: that is what
    is really gone for a clip. ``holders`` are sorted by memory, the largest first.
    """

    index: int
    uuid: str
    name: str
    total: int
    used: int
    free: int
    utilisation: int | None
    temperature: int | None
    power: float | None
    power_limit: float | None
    pcie_width: int | None
    pcie_width_max: int | None
    driver: str
    capability: tuple[int, int] | None
    display: bool | None
    holders: tuple[Holder, ...]
    cores: int | None = None


class Driver:
    """One initialised NVML. After Absent or Lost, close it and open another."""

    def __init__(self) -> None:
        """Raises Absent: no library, or no driver. Lost: it doesn't answer."""
        self.card = Card(-1, "", "", -1)
        try:
            self._api: Any = importlib.import_module("pynvml")
        except ImportError:
            raise Absent(Text("machine.no_package")) from None
        try:
            self._api.nvmlInit()
        except self._api.NVMLError as error:
            raise self._trouble(error) from None

    def cards(self) -> list[Card]:
        """All GPUs that answer now, in NVML's order.

        Raises:
            Lost: there are some, and none answers.
        """
        try:
            return self._cards(None)[1]
        except self._api.NVMLError as error:
            raise self._trouble(error) from None

    def _cards(self, known: Card | None) -> tuple[dict[int, Any], list[Card]]:
        """All GPUs that answer; raises NVMLError if none does, or not the ``known`` one."""
        handles: dict[int, Any] = {}
        cards: list[Card] = []
        failed: Exception | None = None
        for index in range(self._api.nvmlDeviceGetCount()):
            try:
                handle = self._api.nvmlDeviceGetHandleByIndex(index)
                name = printable(self._ask("nvmlDeviceGetName", handle)) or "NVIDIA GPU"
                uuid = printable(self._ask("nvmlDeviceGetUUID", handle))
                memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
            except self._api.NVMLError as error:
                failed = failed or error
                continue
            handles[index] = handle
            total = -1 if memory is None else int(memory.total)
            mig = self._ask("nvmlDeviceGetMigMode", handle)  # [now, after a reset]
            sliced = mig is not None and mig[0] == 1
            capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
            old = capability is not None and tuple(capability) < BF16_CAPABILITY
            cards.append(Card(index, uuid, name, total, sliced, old))
        answered = [card for card in cards if known is None or _same(card, known)]
        if failed is not None and not answered:
            raise failed
        return handles, cards

    def close(self) -> None:
        """Give NVML back; a driver that is gone can't even do that, and needn't."""
        try:
            self._api.nvmlShutdown()
        except self._api.NVMLError:
            pass

    def _ask(self, function: str, *arguments: Any) -> Any:
        """The driver's answer, None if it has none; only a GPU that is gone raises NVMLError."""
        call = getattr(self._api, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except UnicodeDecodeError as error:  # pynvml insists on UTF-8, process names don't
            return error.object
        except self._api.NVMLError as error:
            if error.value in (UNINITIALISED, GPU_IS_LOST):
                raise
            return None

    def _trouble(self, error: Any) -> Absent | Lost:
        code, text = int(error.value), printable(str(error))
        gpu = self.card.name or Text("machine.the_gpu")
        if code == LIBRARY_NOT_FOUND:
            return Absent(Text("machine.no_driver"))
        if code == DRIVER_NOT_LOADED:
            return Absent(Text("machine.driver_off"))
        if code == NOT_SUPPORTED:
            return Absent(Text("machine.tells_no_memory", gpu=gpu))
        if code == VERSION_MISMATCH:
            return Lost(Text("machine.driver_updated"))
        if code == RESET_REQUIRED:
            return Lost(Text("machine.needs_reset", gpu=gpu))
        return Lost(Text("machine.no_answer", gpu=gpu, code=code, theirs=text))


class Gpu(Driver):
    """The GPU that is meant, with what of it doesn't change; ``problem``: why it is another one."""

    def __init__(self, wanted: str, visible: str | None, known: Card | None) -> None:
        """Choose a GPU, or find ``known`` again after the driver went away.

        Raises:
            Absent: no library, no driver, no GPU, or none that may be used.
            Lost: the driver or the GPU doesn't answer.
        """
        super().__init__()
        self.card = known or self.card
        self.problem = NOTHING
        self._display: bool | None = None
        self._holders: tuple[Holder, ...] = ()
        self._names: dict[int, Said] = {}
        self._holders_at = float("-inf")
        try:
            self._open(wanted, visible, known)
        except self._api.NVMLError as error:
            self.close()
            raise self._trouble(error) from None
        except (Absent, Lost):
            self.close()
            raise

    def _open(self, wanted: str, visible: str | None, known: Card | None) -> None:
        handles, cards = self._cards(known)
        if not cards:
            raise Absent(Text("machine.driver_finds_none"))
        if known is None:
            self.card, self.problem = choose(cards, wanted, visible)
        else:
            again = [card for card in cards if _same(card, known)]
            if not again:
                raise Lost(Text("machine.gone", gpu=known.name))
            self.card = again[0]
            self.problem = choose(cards, wanted, visible)[1]
        self._handle = handle = handles[self.card.index]
        self._driver = printable(self._ask("nvmlSystemGetDriverVersion"))
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
        self._capability = None if capability is None else (int(capability[0]), int(capability[1]))
        cores = self._ask("nvmlDeviceGetNumGpuCores", handle)
        self._cores = None if cores is None else int(cores)
        self._pcie_max = self._ask("nvmlDeviceGetMaxPcieLinkWidth", handle)
        self._power_limit = _watts(
            self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)
            or self._ask("nvmlDeviceGetPowerManagementLimit", handle)
        )

    def read(self) -> GpuSample:
        """One reading.

        Raises:
            Absent: this GPU has no memory of its own that NVML could tell.
            Lost: it doesn't answer.
        """
        handle = self._handle
        try:
            # Version 1 of the call: there ``used`` holds the driver's share too (see GpuSample).
            memory = self._api.nvmlDeviceGetMemoryInfo(handle)
            rates = self._ask("nvmlDeviceGetUtilizationRates", handle)
            temperature = self._ask("nvmlDeviceGetTemperature", handle, 0)
            if temperature is None:  # CUDA 14 drops the older call
                temperature = self._ask("nvmlDeviceGetTemperatureV", handle, 0)
            power = _watts(self._ask("nvmlDeviceGetPowerUsage", handle))
            width = self._ask("nvmlDeviceGetCurrPcieLinkWidth", handle)
            if time.monotonic() - self._holders_at >= HOLDERS_SECONDS:
                self._holders_at = time.monotonic()
                self._holders = self._read_holders()
                active = self._ask("nvmlDeviceGetDisplayActive", handle)
                self._display = None if active is None else bool(active)
        except self._api.NVMLError as error:
            raise self._trouble(error) from None
        if memory.total <= 0:  # as of a GPU that shares the computer's memory
            raise Absent(Text("machine.tells_no_memory", gpu=self.card.name))
        return GpuSample(
            index=self.card.index,
            uuid=self.card.uuid,
            name=self.card.name,
            total=int(memory.total),
            used=int(memory.used),
            free=int(memory.free),
            utilisation=None if rates is None else int(rates.gpu),
            temperature=temperature,
            power=power,
            power_limit=self._power_limit,
            pcie_width=width,
            pcie_width_max=self._pcie_max,
            driver=self._driver,
            capability=self._capability,
            display=self._display,
            holders=self._holders,
            cores=self._cores,
        )

    def _read_holders(self) -> tuple[Holder, ...]:
        """A process can compute and draw: both lists then name it with the same memory."""
        used: dict[int, int | None] = {}
        for kind in ("Compute", "Graphics"):
            call = f"nvmlDeviceGet{kind}RunningProcesses"
            found = self._ask(f"{call}_v3", self._handle)
            if found is None:  # drivers before 510
                found = self._ask(f"{call}_v2", self._handle)
            for process in found or ():
                pid, told = int(process.pid), process.usedGpuMemory
                before = used.get(pid)
                used[pid] = before if told is None else max(int(told), before or 0)
        self._names = {pid: self._names.get(pid) or self._name(pid) for pid in used}
        holders = [Holder(pid, self._names[pid], told) for pid, told in used.items()]
        holders.sort(key=lambda holder: -1 if holder.used is None else holder.used, reverse=True)
        return tuple(holders)

    def _name(self, pid: int) -> Said:
        name = printable(self._ask("nvmlSystemGetProcessName", pid))
        if not name:
            try:
                name = printable(psutil.Process(pid).name())
            except (psutil.Error, OSError):  # another user's, another container's, or gone
                name = ""
        return name or Text("guard.process", pid=pid)


def _same(card: Card, known: Card) -> bool:
    """The driver may number them anew; a card without a UUID has nothing else."""
    return card.uuid == known.uuid if known.uuid else card.index == known.index


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
