"""The subcommands. With --json stdout holds one JSON object; everything else goes to stderr."""

import argparse
import os
from collections.abc import Callable
from typing import Any, Protocol

from engine import VERSION, logs
from engine.adapters.wanted import chosen
from engine.commands import adapters
from engine.commands.answer import given, tried
from engine.commands.clips import clips, read
from engine.commands.enhance import enhance
from engine.commands.join import join, open_to_machines
from engine.commands.lanes import lanes
from engine.commands.login import read_login
from engine.commands.making import make
from engine.commands.opened import open_engine
from engine.commands.out import out_file, out_folder
from engine.commands.pausing import pause, resume
from engine.commands.sizes import check_size, measure_size
from engine.commands.values import a_name, a_path, a_port
from engine.default_model import asked_for, default_model
from engine.engine import Engine
from engine.errors import ExitCode, HeadroomError
from engine.guard.verdicts import Refused, verdict_json
from engine.joined.machines import Machines
from engine.machine.addresses import only_here, read_host
from engine.process.console import Parser, say, tell, tell_json
from engine.process.terminal import ends_interrupt
from engine.process.variables import AUTH

OWN = ("-h", "--help", "--version")  # options of no command


class OpenPage(Protocol):
    """``ui.serve.serve``, which app.py hands in: nothing in the engine knows the page."""

    def __call__(
        self,
        engine: Engine,
        host: str,
        port: int,
        share: bool,
        login: tuple[str, str] | None,
        open_browser: bool,
        mcp: bool,
        machines: Machines | None,
    ) -> None: ...


class InputError(HeadroomError):
    """The command line doesn't fit together."""

    exit_code = ExitCode.BAD_INPUT


def main(arguments: list[str], open_page: OpenPage | None = None) -> int:
    """Run the command line ``arguments`` (without the program's name); returns the exit code."""
    try:
        with ends_interrupt():
            return given(lambda: _main(arguments, open_page))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _main(arguments: list[str], open_page: OpenPage | None) -> int:
    parser = _parser()
    # `python app.py --port 7861` is `serve`: the page is what the program is for.
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in OWN):
        arguments = ["serve", *arguments]
    options = parser.parse_args(arguments)
    options.open_page = open_page
    options.auth_variable = os.environ.pop(AUTH, None)  # no process that this one starts has it
    logs.to_terminal()
    try:
        return int(options.run(options))
    except HeadroomError as error:
        say(str(error))
        if getattr(options, "json", False):
            told: dict[str, object] = error.to_json()
            if isinstance(error, Refused):
                told |= verdict_json(error.size, error.verdict, error.nearest)
            tried(lambda: tell_json(told))
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="app.py", description="Text-to-video on the computer you have.")
    parser.add_argument("--version", action="version", version=f"Headroom {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[Any], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    serve = add("serve", _serve, "open the page (the default command)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument(
        "--port", type=a_port, default=7860, help="port; the next free one if it is taken"
    )
    serve.add_argument(
        "--share", action="store_true", help="share by link for 2 h, with a new password"
    )
    serve.add_argument(
        "--auth",
        metavar="USER:PASS",
        help="require this login; - asks you for it without showing it",
    )
    serve.add_argument(
        "--auth-file",
        metavar="FILE",
        type=a_path,
        help="require the login in this file's first line",
    )
    serve.add_argument("--mcp", action="store_true", help="offer tools to language models, at /mcp")
    serve.add_argument(
        "--lanes",
        metavar="ADDRESS",
        nargs="?",
        const="",
        help="let other machines join and make clips for this queue",
    )
    serve.add_argument("--no-browser", action="store_true", help="don't open a browser")

    generate = add("generate", _generate, "make one clip and print its receipt")
    generate.add_argument("prompt", metavar="PROMPT", help="braces are characters here")
    check = add("check", check_size, "say whether a size fits on this machine now, and why")
    measure = add("measure", measure_size, "test a size: short real runs that measure its peak")
    for command in (generate, check, measure):
        command.add_argument("--model", metavar="ID")
        for name in ("height", "width", "frames"):
            required = command is not generate
            command.add_argument(f"--{name}", metavar="N", required=required)
    generate.add_argument("--lora", **adapters.OPTION)
    generate.add_argument("--seed", metavar="N", help="-1, the default, picks a random one")
    generate.add_argument("--image", metavar="FILE", type=a_path, help="begin with this picture")
    generate.add_argument("--last-image", metavar="FILE", type=a_path, help="end with this one")
    generate.add_argument(
        "--fit",
        metavar="crop|pad",
        help="a picture of another shape is cut, the default, or shown whole between bars",
    )
    enhancing = add("enhance", enhance, "make a clip, or any MP4, smoother or larger")
    enhancing.add_argument("what", metavar="CLIP", type=a_name, help="its name, or an MP4's path")
    enhancing.add_argument("--fps", metavar="N", help="24, 30, 32, 48 or 60 frames a second")
    larger = enhancing.add_mutually_exclusive_group()
    larger.add_argument("--height", metavar="N", help="so high in pixels, up to 1440")
    larger.add_argument("--scale", metavar="N", help="so many times as large, 1.5 for one")
    for command in (generate, enhancing):
        command.add_argument(
            "--no-receipt", action="store_true", help="leave prompt and settings out of the MP4"
        )
        command.add_argument(
            "--out", metavar="FILE.mp4", type=a_name, help="also copy the clip here"
        )

    pausing = add("pause", pause, "begin no clip until resume, and free the memory")
    pausing.add_argument("--now", action="store_true", help="put what runs back into the queue")
    resuming = add("resume", resume, "go on with the queue")
    reading = add("read", read, "print the receipt inside a clip")
    reading.add_argument("file", metavar="FILE.mp4", type=a_path)
    listing = add("clips", clips, "list the clips made here, newest first")
    joining = add("join", join, "make clips for the queue of another machine")
    joining.add_argument("address", metavar="ADDRESS", type=a_name, help="of the other machine")
    joining.add_argument(
        "--host", metavar="OWN", type=a_name, help="the address by which it reaches this one"
    )
    lane = add("lanes", lanes, "list the cards that make clips here, and how fast")
    plan = add("plan", _plan, "show how this machine runs a model, and why; or override it")
    plan.add_argument("--model", metavar="ID")
    plan.add_argument(
        "--set", metavar="NAME=VALUE", nargs="+", action="extend", default=[], help="override it"
    )
    plan.add_argument("--reset", action="store_true", help="drop all overrides")
    kernels = add("kernels", _kernels, "time this machine's kernels, without any weights")
    kernels.add_argument("--model", metavar="ID", help="at the shapes of this model")
    weights = add(
        "weights", _weights, "list, pull (download, or use a folder) or verify the weights"
    )
    weights.add_argument("action", metavar="ACTION", choices=("list", "pull", "verify"))
    weights.add_argument("--model", metavar="ID")
    weights.add_argument(
        "--from", metavar="FOLDER", dest="folder", type=a_name, help="use the files in this folder"
    )
    loras = add("adapters", adapters.command, "list, add, pull (download) or remove LoRAs")
    loras.add_argument("action", metavar="ACTION", choices=("list", "add", "pull", "remove"))
    loras.add_argument(
        "what", metavar="WHAT", nargs="?", type=a_name, help="a file, a repository, or a name"
    )
    loras.add_argument("--name", metavar="NAME", help="what it is called here")
    loras.add_argument("--model", metavar="ID", help="whether this model can use it")
    look = add("doctor", _doctor, "check this machine: what works, what doesn't, what to do")
    look.add_argument(
        "--report", action="store_true", help="a report for an issue; read it before you send it"
    )
    bench = add("bench", _bench, "benchmark Headroom here, each number beside its reference")
    bench.add_argument("--only", metavar="PART", help="run one part")
    bench.add_argument("--model", metavar="ID", help="the model to measure")
    bench.add_argument(
        "--out", metavar="FOLDER", type=a_path, help="where to write the card to share"
    )
    for command in (generate, check, measure, enhancing, plan, kernels):
        command.add_argument("--lane", metavar="NAME", type=a_name, help="on this card: see lanes")
    others = reading, listing, lane, plan, kernels, weights, loras, look, bench, pausing, resuming
    for command in (generate, check, measure, enhancing, *others):
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def _serve(options: argparse.Namespace) -> int:
    host = read_host(options.host)
    login = read_login(options.auth, options.auth_file, options.auth_variable, say)
    if login is None and not only_here(host):
        raise InputError(
            "Without a login, anyone who finds the address could use this computer.",
            "Add --auth (USER:PASS, or - to be asked), --auth-file or HEADROOM_AUTH, or leave out "
            "--host. --share gives others a page of their own.",
        )
    with open_engine() as engine:
        logs.to_file(engine.home.logs / "page.log")
        if engine.is_elsewhere():
            say(
                f"Another Headroom is already working on {engine.home.root}: it makes the clips, "
                "and this page shows them too. To use another folder, set HEADROOM_HOME."
            )
        with open_to_machines(engine, options.lanes) as machines:
            options.open_page(
                engine,
                host,
                options.port,
                options.share,
                login,
                not options.no_browser,
                options.mcp,
                machines,
            )
    return ExitCode.DONE


def _generate(options: argparse.Namespace) -> int:
    fields = ("prompt", "model", "height", "width", "frames", "seed", "fit")
    given = {name: value for name in fields if (value := getattr(options, name)) is not None}
    with open_engine() as engine:
        out = None if options.out is None else out_file(options.out, engine.home)
        for name, file in (("image", options.image), ("last_image", options.last_image)):
            if file is not None:
                given[name] = engine.intake.take(file).sha256
        if options.model is None:
            usual = default_model(engine, "i2v" if "image" in given else "t2v")
            say(str(usual.sentence))
            given["model"] = usual.preset.id
        if options.lora:
            given["adapters"] = chosen(engine.adapters, options.lora, files=True)
        return make(engine, asked_for(engine, given), out, options)


def _plan(options: argparse.Namespace) -> int:
    from engine.commands import plan

    with open_engine() as engine:
        plans, presets = engine.lane_or_first(options.lane).plans, engine.presets
        model = options.model or default_model(engine).preset.id
        plan.change(plans, presets, model, options.set, options.reset)
        if options.json:
            tell_json(plan.as_json(plans, model))
        else:
            plan.show(plans.plan(model), plans.options(model))
    return ExitCode.DONE


def _kernels(options: argparse.Namespace) -> int:
    from engine.commands import kernels

    with open_engine() as engine:
        presets, lane = engine.presets, engine.lane_or_first(options.lane)
        preset = kernels.tested_model(presets, lane, options.model)
        times = kernels.run(lane, preset, say)
        if options.json:
            tell_json(kernels.as_json(presets, lane, preset, times))
        else:
            tell(*kernels.lines(presets, lane, preset, times))
    return ExitCode.DONE


def _weights(options: argparse.Namespace) -> int:
    from engine.commands import weights

    with open_engine() as engine:
        code, result = weights.run(engine, options.action, options.model, options.folder, say)
    if options.json:
        tell_json(result)
    else:
        tell(*weights.lines(options.action, result))
    return code


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor.doctor import examine
    from engine.doctor.report import report

    with open_engine() as engine:
        if options.report:
            tell(*report(engine).rstrip("\n").split("\n"))
            return ExitCode.DONE
        lines = examine(engine)
    if options.json:
        tell_json({"lines": [line.to_json() for line in lines]})
    else:
        marks = {"good": "ok  ", "note": "note", "warn": "look", "bad": "BAD "}
        for line in lines:
            tell(f"{marks[line.state]}  {line.subject}: {line.meaning}")
            if line.remedy:
                tell(f"      {line.remedy}")
    return ExitCode.DONE if all(line.state != "bad" for line in lines) else ExitCode.SETUP_MISSING


def _bench(options: argparse.Namespace) -> int:
    from engine.commands.bench.run import run

    out = None if options.out is None else out_folder(options.out)
    with open_engine() as engine:
        result = run(engine, options.only, options.model, out or engine.home.root, say)
    if options.json:
        tell_json(result.as_json())
    else:
        tell(*result.lines())
    return ExitCode.ENGINE_FAILED if result.failed else ExitCode.DONE
