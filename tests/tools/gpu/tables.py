"""The measurements' rows as tables in Markdown; each is "" where there are no rows for it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

GIB, MIB = 2**30, 2**20
Row = Mapping[str, Any]


def table(head: Sequence[object], lines: Iterable[Sequence[object]]) -> str:
    body = [[" ".join(str(cell).split()) for cell in line] for line in lines]
    if not body:
        return ""
    rows = [[str(cell) for cell in head], ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def named(row: Row) -> str:
    return "x".join(map(str, row["size"]))


def of(rows: Iterable[Row], *kinds: str) -> list[Row]:
    return [row for row in rows if row["kind"] in kinds]


def gib(count: float | None) -> str:
    return "" if count is None else f"{count / GIB:.2f}"


def failures(rows: Iterable[Row]) -> str:
    return table(
        ["task", "seconds", "what"],
        [[r["name"], r["seconds"], r["failed"]] for r in of(rows, "task") if r["failed"]],
    )


def trials(rows: Iterable[Row]) -> str:
    lines = [[n, a] for row in of(rows, "trials") for n, a in row["answers"].items()]
    lines += [[f"{n}, TFLOP/s", a] for row in of(rows, "floor") for n, a in row["tflops"].items()]
    return table(["kernel", "cosine, or what it raised"], lines)


def seconds(rows: Iterable[Row]) -> str:
    """Ours cold and warm by stage, and LightX2V's own on the same weights as a ratio."""
    lines: list[list[object]] = []
    warm: dict[tuple[str, str], float] = {}
    for row in of(rows, "cold", "warm", "theirs"):
        kernel = str(row["choices"]["matmul"])
        key = (named(row), kernel)
        if row["kind"] == "theirs":
            ratio = f"{warm[key] / row['seconds']:.2f}" if key in warm else ""
            lines.append([*key, "LightX2V's own", "", "", "", row["seconds"], ratio])
            continue
        stages = row["seconds"]
        total = round(sum(stages.values()), 2)
        if row["kind"] == "warm":
            warm[key] = total
        by_stage = [stages.get(name, "") for name in ("encode", "denoise", "decode")]
        lines.append([*key, f"ours, {row['kind']} ({row['steps'] or 4})", *by_stage, total, ""])
    head = ["size", "kernel", "run (steps)", "encode", "denoise", "decode", "sum, s", "ours/theirs"]
    return table(head, lines)


def prompts(rows: Iterable[Row]) -> str:
    return table(
        ["the T5, or the text", "encode, s"],
        [[r["text"], r["seconds"].get("encode")] for r in of(rows, "prompt")],
    )


def changes(rows: Iterable[Row]) -> str:
    lines = []
    for row in of(rows, "choice", "variant", "longest"):
        changed = row.get("changed") or _unusual(row["choices"])
        what = ", ".join(f"{name} {value}" for name, value in changed.items()) or "as planned"
        stages, peaks = row["seconds"], row["peaks"]
        lines.append(
            [
                what,
                row["choices"]["matmul"],
                named(row),
                *(stages.get(name, "") for name in ("encode", "denoise", "decode")),
                *(gib(peaks.get(name)) for name in ("denoise", "decode")),
                "" if row["outcome"] == "ok" else row["outcome"],
            ]
        )
    head = ["change", "loaded", "size", "encode", "one step", "decode, s"]
    return table([*head, "denoise", "decode, GiB", "outcome"], lines)


def _unusual(chosen: Mapping[str, Any]) -> dict[str, Any]:
    usual = {"offload": "block", "decode": "whole", "rope_chunk": 8192, "compile": "off"}
    known = {*usual, "device", "precision", "attention", "matmul", "text_encoder"}
    found = {name: chosen[name] for name, value in usual.items() if chosen.get(name) != value}
    return found | {name: value for name, value in chosen.items() if name not in known}


def profiles(rows: Iterable[Row]) -> str:
    parts = []
    block = {named(r): r["block_ms"] for r in of(rows, "profiled")}
    for row in of(rows, "profile"):
        families = dict(row["families_ms"])
        floor = row["floor_ms"]
        lines = [[n, ms, floor.get(n, ""), _over(ms, floor.get(n))] for n, ms in families.items()]
        rate = row["copy_bytes"] / row["copy_ms"] / 1e6 if row["copy_ms"] else 0.0
        shown = table(["kernels", "ms", "least", "more"], lines)
        top = table(["kernel", "ms", "calls"], row["kernels_ms"][:12])
        parts.append(
            f"{named(row)}, {row['choices']['matmul']}: wall {row['wall_ms']} ms, kernels run for "
            f"{row['busy_ms']} of {row['window_ms']} ms ({_percent(row['busy_share'])}); "
            f"{block.get(named(row))} ms a block; copies {row['copy_ms']} ms, {rate:.1f} GB/s, "
            f"{_percent(row['copy_hidden_share'])} beside kernels.\n\n{shown}\n\n{top}"
        )
    return "\n\n".join(parts)


def _over(ms: float, least: float | None) -> str:
    return "" if least is None else f"{ms - least:.1f}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def guard(rows: Iterable[Row], unopened: Mapping[float, list[str]]) -> str:
    rows = list(rows)
    lines = []
    for row in of(rows, "verdicts"):
        if row["when"].startswith("while"):
            continue
        words = [word for _, word, _, _, offered in row["sizes"] if offered]
        count = {word: words.count(word) for word in dict.fromkeys(words)}
        told = ", ".join(f"{n} {word}" for word, n in count.items())
        others = [name for name, word, _, _, offered in row["sizes"] if not offered]
        opened = [n for n, word, _, _, offered in row["sizes"] if not offered and word == "open"]
        lines.append(
            [row["cap"], row["when"], told, f"{len(opened)} of {len(others)}", gib(row["budget"])]
        )
    head = ["cap, GiB", "when", "offered sizes", "others open", "budget, GiB"]
    tail = [
        f"Under {row['cap']:g} GiB {row['ran']} open sizes ran; failed: "
        f"{', '.join(row['failed']) or 'none'}."
        for row in of(rows, "open_sizes")
    ]
    tail += [
        f"Under {cap:g} GiB never opened though measured to fit: {', '.join(names) or 'none'}."
        for cap, names in unopened.items()
    ]
    shown = table(head, lines)
    return "\n".join([shown, "", *tail]) if shown else ""


def recoveries(rows: Iterable[Row]) -> str:
    rows = list(rows)
    ran_out = {row["where"]: row["outcome"] for row in of(rows, "must_run_out")}
    lines: list[list[object]] = [
        [row["what"], ran_out.get(row["what"], ""), row["frames"], row["latents"]]
        for row in of(rows, "same_after")
    ]
    for row in of(rows, "broken_context"):
        what = f"{row.get('state')}: {row.get('note') or row.get('notice') or row.get('refused')}"
        after = f"{row.get('same')}, other worker: {row.get('other_worker')}"
        lines.append(["a CUDA fault in our worker", what, after, f"{row.get('seconds')} s"])
    return table(["after", "what came", "frames equal", "latents equal"], lines)


def held(rows: Iterable[Row]) -> str:
    """Growth from the first clip of each size to its last."""
    found = of(rows, "held")
    if len(found) < 4:
        return ""
    lines = []
    for name in ("allocated", "reserved", "outside", "pinned", "torch_pinned", "rss", "open_files"):
        values = [float(row[name]) for row in found if row.get(name) is not None]
        if len(values) < len(found):
            continue
        first, second, last = values[0], values[1], values[-1]
        unit = 1 if name == "open_files" else MIB
        lines.append([name, *(f"{v / unit:.1f}" for v in (first, second, last, last - second))])
    head = ["MiB", "after clip 1", "after clip 2", f"after clip {len(found)}", "growth since 2"]
    return table(head, lines)


def gauges(rows: Iterable[Row]) -> str:
    lines = [
        [
            row["source"],
            row["readings"],
            *(
                "" if row.get(name) is None else f"{row[name] / MIB:.0f}"
                for name in ("offset", "largest", "largest_settled")
            ),
            "over 2" if row.get("delay") is None else row["delay"],
        ]
        for row in of(rows, "gauge")
    ]
    head = ["source", "readings", "counts besides, MiB", "largest difference at that moment"]
    return table([*head, "within the last 0.25 s", "delay, s"], lines)


def pinned(rows: Iterable[Row]) -> str:
    lines = []
    for row in of(rows, "pinning"):
        rates = row["gigabytes_a_second"]
        for name, taken in (("torch", row["torch_bytes"]), ("exact", row["exact_bytes"])):
            lines.append([f"{row['count']} of {row['shape']}", name, gib(taken), rates[name]])
        lines.append(["", "pageable", gib(row["raw"]), rates["pageable"]])
    for row in of(rows, "load", "variant_host"):
        what = f"{row['choices']['offload']} ({row['kind']})"
        taken = row.get("pinned") or row.get("torch_pinned")
        lines.append([what, row["choices"]["matmul"], gib(taken), f"rss {gib(row['rss'])} GiB"])
    return table(["what", "how", "page-locked, GiB", "GB/s to the GPU"], lines)
