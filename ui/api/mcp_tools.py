"""The MCP server's tools as a language model sees them: what each is for, its fields, its answers.

No import of the SDK: these are words and plain JSON.
"""

from collections.abc import Mapping
from typing import Any

from engine.pipelines import family_of, is_here
from engine.presets import ModelPreset, Presets
from engine.prompts.ideas import load_ideas
from engine.request import PROMPT_LIMIT, SEED_LIMIT, Problem, RequestError
from engine.text import Text, listed
from engine.timing import RATES

SIZE = {
    "model": {
        "type": "string",
        "description": "The model's id, as check lists them. Leave it out for the default one.",
    },
    "height": {
        "type": "integer",
        "description": "Height in pixels, a multiple of 16. Leave it out for the model's default.",
    },
    "width": {
        "type": "integer",
        "description": "Width in pixels, a multiple of 16. Leave it out for the model's default.",
    },
    "frames": {
        "type": "integer",
        "description": "Length in frames, of the form 4k+1 (17, 33, 49, 81, …). Leave it out for "
        "the model's default; check says how many seconds a size lasts.",
    },
}

Tool = dict[str, Any]

GENERATE: Tool = {
    "name": "generate",
    "title": "Make a video clip",
    "description": (
        "Make a short video clip without sound from a text prompt, or from a picture and a "
        "prompt, on this computer's own hardware. Takes from a second to several minutes, by model "
        "and size; check says how long. Clips are made one after the other, so this may stand in a "
        "queue.\n"
        "Leave model and size out unless the user asked for one. A size that this computer has "
        "no room for is refused with the reason and the nearest one that is open: call generate "
        "again with that.\n"
        "The answer has state 'done' and the clip: its path on this computer, a URL, the seed, "
        "the seconds it took. If it isn't done within 50 seconds, state is 'running' or 'queued' "
        "and it goes on by itself: call status with the job's number and wait true until it is "
        "done. Never call generate again for the same clip while its job runs."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "prompt": {
                "type": "string",
                "maxLength": PROMPT_LIMIT,
                "description": "What the clip shows, in English: who or what, how it moves, where, "
                "and with the large models also light, style and camera. One scene, no cuts.",
            },
            **SIZE,
            "seed": {
                "type": "integer",
                "minimum": -1,
                "maximum": SEED_LIMIT - 1,
                "description": "The same seed makes the same clip again; -1 (the default) draws "
                "one.",
            },
            "image": {
                "type": "string",
                "description": "A picture that the clip begins with: the path of a file in the "
                "user's Pictures, Downloads or Desktop folder or in Headroom's own, or a data URL "
                "with at most 10 MB. The prompt then says what happens. Model and size may be left "
                "out: they follow the picture.",
            },
            "last_image": {
                "type": "string",
                "description": "A picture that the clip ends with, likewise; only with image.",
            },
            "fit": {
                "type": "string",
                "enum": ["crop", "pad"],
                "description": "For a picture of another shape than the size: cut, the default, or "
                "whole between bars.",
            },
            "loras": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Names of LoRAs in the user's folder, each perhaps with a strength, "
                "as in film:0.8. Only those that the user asked for.",
            },
            "wait": {
                "type": "boolean",
                "description": "true (the default) waits up to 50 seconds for the clip; false "
                "answers at once with the job's number.",
            },
        },
        "required": ["prompt"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False},
}

ENHANCE: Tool = {
    "name": "enhance",
    "title": "Make a clip smoother or larger",
    "description": (
        "Make another version of a clip that was made here, with more frames a second (motion "
        "looks smoother), larger pictures (no new detail), or both. The clip itself stays. Takes "
        "seconds to minutes. Only when the user asked for it. The answer is as generate's."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "clip": {"type": "integer", "description": "The clip's number, which generate gave."},
            "fps": {
                "type": "integer",
                "enum": list(RATES),
                "description": "Frames a second. With nothing else given, twice as many as it has.",
            },
            "height": {
                "type": "integer",
                "description": "Height in pixels, more than the clip has; its shape stays.",
            },
            "scale": {
                "type": "number",
                "description": "Instead of height: how many times as large.",
            },
            "wait": {
                "type": "boolean",
                "description": "As for generate.",
            },
        },
        "required": ["clip"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False},
}

STATUS: Tool = {
    "name": "status",
    "title": "How far the clips are",
    "description": (
        "What is being made now (stage, step, fraction from 0 to 1, seconds left), what waits, "
        "whether the user has paused the queue, and with a job's number how it is with that job: "
        "its state (queued, running, done, failed, cancelled), what happened, what to do about "
        "it, and the clip once it is done. "
        "With wait true it answers when the job has ended, or after 50 seconds."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "job": {"type": "integer", "description": "The number that generate gave."},
            "wait": {
                "type": "boolean",
                "description": "Wait up to 50 seconds for the job's end; false is the default. "
                "Needs job.",
            },
        },
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}

CHECK: Tool = {
    "name": "check",
    "title": "Which models and sizes are open",
    "description": (
        "May this size run on this computer now, and why: verdict 'open', 'busy' (other programs "
        "hold the memory), 'locked' (not measured yet; a person can measure it on the page) or "
        "'impossible'. Also every model that is here with what it is good at, and every size of "
        "the chosen model that is open, with the seconds it lasts and the seconds it took to make "
        "(null: never made here). Makes nothing and changes nothing; without any field it tells "
        "about the default model at its default size. Call it before generate when the user wants "
        "a certain size, length or model, or asks what is possible."
    ),
    "input_schema": {"type": "object", "properties": SIZE, "additionalProperties": False},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}

TOOLS = (GENERATE, ENHANCE, STATUS, CHECK)


def refuse_unknown(tool: Tool, arguments: Mapping[str, object]) -> None:
    """Raises RequestError for fields that ``tool`` doesn't have: a model shall not believe that
    what it asked for was done."""
    known = tool["input_schema"]["properties"]
    problems = [
        Problem(
            name,
            Text("request.tool_has", field=name, tool=tool["name"], fields=listed(*known)),
        )
        for name in arguments
        if name not in known
    ]
    if problems:
        raise RequestError(tuple(problems))


def instructions(presets: Presets) -> str:
    """What a model reads before it sees the tools."""
    default = presets.default
    return (
        "Headroom makes short video clips from text on this computer: nothing leaves it. A size is "
        "open only when this computer was measured to have room for it. generate makes a clip, "
        "enhance makes one smoother or larger, status follows both, check tells which models and "
        "sizes are open and how long they take. "
        f"The default model is {default.id}: {default.summary} {vocabulary(default)}".strip()
    )


def vocabulary(preset: ModelPreset) -> str:
    """What a prompt can say to ``preset``."""
    said = ""
    known = family_of(preset).vocabulary
    if known is not None:
        words = known.known_words()
        groups = "; ".join(f"{name}: {', '.join(some)}" for name, some in words.items())
        said = f"It knows no words but these. {groups}."
    themes = load_ideas().themes(preset)[:3]
    examples = " ".join(f"“{theme.prompts[0].text}”" for theme in themes)
    return f"{said} Example prompts: {examples}".strip() if examples else said


def model_told(preset: ModelPreset) -> dict[str, object]:
    return {
        "id": preset.id,
        "summary": preset.summary,
        "task": preset.task,
        "inputs": sorted(preset.inputs),
        "prompts": vocabulary(preset),
        "installed": is_here(preset),
        "frames_per_second": preset.fps,
    }
