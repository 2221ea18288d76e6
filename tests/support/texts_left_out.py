"""What the extractor of the page's texts leaves out, and what it takes besides, with the causes."""

# Modules (patterns of their paths) whose texts no user of the page sees.
MODULES = {
    r"engine/commands/.*": "the command line",
    r"engine/install/(?!installed|background).*": "runs before there is a page",
    r"engine/(home|presets)\.py": "what they refuse ends the program before there is a page",
    r"engine/pipelines/(bench|wan_tiny/training)/.*": "benchmark and training",
    r"engine/pipelines/wan_tiny/(?!vocabulary|pipeline).*": "what only the worker says to itself",
    r"engine/(doctor/report|logs|library/xmp)\.py": "reports for issues and logs stay English",
    r"engine/(prompts/rewriting|guard/climb)\.py": "written for models, not for people",
    r"engine/pipelines/scripted\.py": "tests",
    r"engine/pipelines/lightx2v/(standins|settings|repairs)\.py": "what LightX2V reads",
    r"ui/api/(gradio_endpoints|answers|mcp|mcp_tools)\.py": "answers to programs",
    r"ui/server/.*": "answers to programs",
    r"ui/(bare|serve|theme)\.py": "answers to programs, or no words of their own",
}

# Single words that are shown, though a name in the code could look the same. In ui/ and its scripts
# words with a capital letter count as texts anyway.
SINGLE = set(
    # verdicts, and where they rest on
    "open busy locked impossible measured predicted about "
    # a size, the doctor's marks, the state of weights, what is shared
    "square landscape portrait good look bad ready waits damaged missing verifying fetching here "
    "checked least most minute minutes clip clips all prompt somebody black unknown "
    # stages, as receipts name them and as an out-of-memory tells them
    "load encode denoise decode save denoising decoding saving "
    # the fields of a request
    "height width frames seed model request "
    # a plan: its choices that the page has no other words for, and their values
    "device dtype threads offload sampler precision modulation attention matmul text_encoder "
    "rope_chunk compile fp16_accumulation "
    "none whole tiled block block-exact lazy resident on off "
    # the roles of weights
    "transformer tokenizer vae scheduler "
    # what the tiny model knows, by kind
    "shapes colours sizes directions motions places".split()
) | {"GPU", "RAM", "Beginning", "Memory", "Cancelled."}

# Texts that look like some and are never shown: patterns.
NOT_SHOWN = [
    r"(select|insert|delete|update|pragma) .*",  # SQL, whole and in parts
    r"(trashed is|missing =|favourite =|has_words|visitor !=|and \().*",
    r"default-src .*|private, max-age.*|Bearer .*",  # headers
    r"[\d.]+px .*|[#.][a-z].*|[a-z]+(-[a-z]+)+ [a-z-]+|small why|\ue000 \{ .* \}",  # CSS
    r"data: .*|: still here|explorer /select.*|\ue000 speed|\{name\}: .*",  # between programs
    r"paging file is too small|not enough memory( resources)?|WinError 1455|can't allocate memory"
    r"|DefaultCPUAllocator.*|could not create a primitive",  # what other programs say
    r"(prompt|seed|device|versions|seconds|peaks) \ue000|size \ue000 × \ue000, \ue000 frames"
    r"|model \ue000 \(\ue000\)|\ue000 \ue000 (MiB|s)",  # "read FILE.mp4", on the command line
    r"an? (red|small|large|blue|white|orange|green) [a-z ]+",  # prompts
    r"Password \ue000 \(shown once\)|Shared at \ue000",  # the terminal
    r"Headroom|PCIe|Triton|Scripted|Tensor|Notification|Checkpoint"
    r"|Enter|Files|Line|Default",  # names
    r"primary|link|stop",
    r"triton-windows|\ue000 \ue000 instead of \ue000 \(.*",
]

# Texts that the code puts together of others, so that none of it says them whole. A "*" is a value.
COMPOSED = {
    "* × * wide",
    "* × * tall",  # a size's name behind its sides
    "about *",
    "up to *",
    "at least *",  # a peak behind its hedge
    "load *",
    "encode *",
    "denoise *",
    "decode *",
    "save *",  # seconds and peaks by stage
    "loading the model *",
    "reading the prompt *",
    "denoising *",
    "decoding *",
    "saving *",
    "Earlier: *",
    "Later: *",
    "Edit: *",
    "Remove: *",
    "Try again: *",  # buttons and their jobs
    "Earlier: Measuring *",
    "Later: Measuring *",
    "Remove: Measuring *",
    "Try again: Measuring *",
    "* GB of * GB",
    "* MB of * GB",
    "* MB of * MB",
    "*:* *",  # a notice behind its time
    "Done.",  # without a note
    "FP16 accumulation",  # a plan's key, as the page writes it
    "Roll icon",
    "Adjust volume",
    "Copy",
    "A label",  # Gradio's, which lacks them in Chinese
    "tokenizer",  # a role of weights, named in presets
    "The GPU's memory (VRAM) is full.",
    "* % checked",
}

# What is the same in Chinese.
SAME = {"*:* *", "* GB", "* MB", "vae"}

# Words that stay on a Chinese page: names of products, models, packages, and of a plan's values.
NAMES = set(
    "Headroom Gradio Wan tiny Scripted Planned Ollama Enter Ctrl Linux Windows Triton Python PyAV "
    "PyTorch SageAttention Intel Xeon Defender Hub Git frpc share setup attention torch sdpa cpu "
    "http whole tiled block lazy resident exact shift token ffmpeg ollama sageattention "
    "matmul".split()
)
