"""One host copy for two GPUs: ``python tests/tools/gpu/shared_host.py OUT.jsonl`` says how fast.

Shared memory (a memfd) that two processes map, each registering it with its own card, beside a copy
of its own in each: how fast blocks travel, alone and both at a time.
"""

import argparse
import json
import mmap
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

BYTES, BLOCK, ROUNDS = 8 * 2**30, 256 * 2**20, 3
PORTABLE, READ_ONLY = 1, 8  # cudaHostRegister's flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    descriptor = os.memfd_create("weights")
    os.truncate(descriptor, BYTES)
    with mmap.mmap(descriptor, BYTES) as shared:
        for at in range(0, BYTES, BLOCK):
            shared[at : at + BLOCK] = bytes([at // BLOCK % 251]) * BLOCK
        for way in ("own", "shared", "shared, read only"):
            both(out, way, descriptor)


def both(out: Path, way: str, descriptor: int) -> None:
    context = multiprocessing.get_context("fork")
    pipes, children = [], []
    for card in (0, 1):
        mine, theirs = context.Pipe()
        child = context.Process(target=copies, args=(theirs, way, descriptor, card))
        child.start()
        pipes.append(mine)
        children.append(child)
    ready = [pipe.recv() for pipe in pipes]
    alone = []
    for pipe in pipes:
        pipe.send("go")
        alone.append(pipe.recv())
    for pipe in pipes:
        pipe.send("go")
    together = [pipe.recv() for pipe in pipes]
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send("end")
        child.join()
    told = {"way": way, "ready": ready, "alone": alone, "together": together}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def copies(pipe: Connection, way: str, descriptor: int, card: int) -> None:
    """In a process of its own: register, then copy all blocks to the card at each "go"."""
    import torch

    torch.cuda.set_device(card)
    own = mmap.mmap(-1, BYTES) if way == "own" else mmap.mmap(descriptor, BYTES)
    host = torch.frombuffer(own, dtype=torch.uint8)
    if way == "own":
        for at in range(0, BYTES, BLOCK):
            host[at : at + BLOCK].fill_(at // BLOCK % 251)
    flags = PORTABLE | (READ_ONLY if "read only" in way else 0)
    began = time.perf_counter()
    cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    code = int(cudart.cudaHostRegister(host.data_ptr(), BYTES, flags))
    told: dict[str, Any] = {"code": code, "register": round(time.perf_counter() - began, 2)}
    told["pinned"] = host.is_pinned() if code == 0 else False
    target = torch.empty(BLOCK, dtype=torch.uint8, device="cuda")
    pipe.send(told)
    while pipe.recv() == "go":
        right, began = True, time.perf_counter()
        for _ in range(ROUNDS):
            for at in range(0, BYTES, BLOCK):
                target.copy_(host[at : at + BLOCK], non_blocking=True)
        torch.cuda.synchronize()
        took = time.perf_counter() - began
        right = bool((target == (BYTES - BLOCK) // BLOCK % 251).all())
        pipe.send({"gigabytes": round(ROUNDS * BYTES / took / 1e9, 1), "right": right})
    if code == 0:
        cudart.cudaHostUnregister(host.data_ptr())


if __name__ == "__main__":
    main()
