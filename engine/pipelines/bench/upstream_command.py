"""LightX2V's own command, ``python -m lightx2v.infer``, where only text-to-video's packages are.

The target of a process that is spawned as our worker is. Of ours there are the stand-ins, and the
two repairs without which it ends at the first prompt or block on the cards that this is for. It
writes no file: the package that it writes MP4s with isn't installed.
"""

import ast
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from engine.errors import first_line
from engine.pipelines.lightx2v import standins

log = logging.getLogger("headroom.their_command")

RUNNERS = "lightx2v.models.runners."
NEEDED = ("default_runner", "wan_runner", "wan_distill_runner")


def main(
    pipe: Connection, arguments: list[str], log_file: str, environment: Mapping[str, str]
) -> None:
    """Run it with ``arguments``; send "" once it is done, or why it failed. Ends the process.

    Args:
        log_file: takes all that it prints.
        environment: set before it is imported.
    """
    os.environ.update(environment)
    with open(log_file, "wb", buffering=0) as file:  # of this run alone: nobody trims it
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    logging.basicConfig()
    sys.argv = ["lightx2v.infer", *arguments]
    # Not at the top: whoever starts this process names its target, and must not import torch.
    from engine.pipelines.cuda import out_of_memory
    from engine.pipelines.lightx2v import kernels, repairs

    try:
        with standins.standing_in():
            if importlib.util.find_spec("sageattention") is not None:
                kernels.name_sage_1()  # before LightX2V asks for the name
            import lightx2v

            repairs.bias_may_be_missing()
            own = Path(str(lightx2v.__file__))
            standins.stand_in_for(_other_runners(own.with_name("infer.py")))
            infer = importlib.import_module("lightx2v.infer")
        infer.main()
        pipe.send("")
    except BaseException as error:  # argparse exits, CUDA raises: each is an answer
        log.exception("LightX2V's own command failed")
        spent = out_of_memory(error)
        pipe.send(first_line(error, type(error).__name__) if spent is None else spent.sentence)
    os._exit(0)  # taking torch and CUDA apart takes seconds


def _other_runners(file: Path) -> list[str]:
    """Those of other models, each imported by name with all the packages that it needs."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [n for n in names if n.startswith(RUNNERS) and n.rpartition(".")[2] not in NEEDED]
