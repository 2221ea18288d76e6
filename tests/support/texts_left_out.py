"""What the checks of the page's texts leave out, with the causes."""

# Modules (patterns of their paths) whose English no reader of the page meets.
MODULES = {
    r"engine/commands/.*": "the command line",
    r"engine/install/(?!installed|background).*": "runs before there is a page",
    r"engine/(home|presets|preset_file)\.py": "what they refuse comes before there is a page",
    r"engine/(process/variables|machine/addresses)\.py": "as these",
    r"engine/pipelines/(bench|wan_tiny/training)/.*": "benchmark and training",
    r"engine/pipelines/wan_tiny/(?!vocabulary|pipeline).*": "what only the worker says to itself",
    r"engine/(doctor/report|logs|library/xmp)\.py": "reports for issues and logs stay English",
    r"engine/(prompts/rewriting|guard/climb)\.py": "written for models, not for people",
    r"engine/text\.py": "a table that isn't right is no reader's",
    r"engine/pipelines/scripted\.py": "tests",
    r"engine/pipelines/lightx2v/(standins|settings|repairs)\.py": "what LightX2V reads",
    r"ui/api/(gradio_endpoints|answers|mcp|mcp_tools)\.py": "answers to programs",
    r"ui/server/.*": "answers to programs",
    r"ui/(bare|browser|icons|serve|theme)\.py": "answers to programs, or no words of their own",
}

# Texts that look like English for readers and aren't: patterns.
NOT_SHOWN = [
    r"(?i:select|insert|delete|update|pragma|create) .*",  # SQL, whole and in parts
    r"(trashed is|missing =|favourite =|with meant as|not exists \(|visitor !=|and \().*",
    r"default-src .*|private, (max-age|no-cache).*|Bearer .*",  # headers
    r"[\d.]+px .*|[#.][a-z].*|[a-z]+(-[a-z]+)+ [a-z-]+|small why|\ue000 \{ .* \}",  # CSS
    r"Ray runtime started",  # what Ray says
    r"data: .*|: still here|explorer /select.*|\ue000 speed|\{name\}: .*",  # between programs
    r"paging file is too small|not enough memory( resources)?|WinError 1455|can't allocate memory"
    r"|DefaultCPUAllocator.*|could not create a primitive",  # what other programs say
    r"\ue000 × \ue000, \ue000 frames"
    r"|\ue000 \ue000 (MiB|s)",  # "read FILE.mp4", on the command line
    r"\ue000 [GM]B",  # the same in every language
    r"an? (red|small|large|blue|white|orange|green) [a-z ]+",  # prompts
    r"Password \ue000 \(shown once\)|Shared at \ue000",  # the terminal
    r"Headroom|PCIe|Triton|Scripted|Tensor|Notification|Checkpoint|torch\.compile"
    r"|Enter|Files|Line|Default",  # names
    r"triton-windows|\ue000 \ue000 instead of \ue000( \(.*)?",
    r"state = 'running' and .*|no video",  # SQL, and what PyAV would say
    r"CPU: \ue000|unknown processor|NVIDIA GPU|without bias",  # in receipts and fingerprints
    # A sampler's value, which the fingerprint has; what people read is its label, a text.
    r"\ue000 steps, shift \ue000, guidance \ue000|(no )?guidance( \ue000)?"
    r"|\ue000 steps( \(\ue000\))?|\ue000, shift \ue000, \ue000",
    r"transformer blocks|transformer, the rest|text encoder blocks|text encoder's word table",
    r"\ue000 computes something else\.|torch finds no usable GPU\.",  # set-up's
    r"the GPU's product is wrong\.",
    r"stays still",  # a word of the tiny model's
    r"Wan (2\.\d )?\d+(\.\d)?B|Flux / .*|Stable Diffusion .*",  # what LoRAs are for
]

# Parts whose choices are made for each reader, or are names and prompts.
SAID_ANEW = {"size", "frames", "model", "share-model", "measure-size", "idea", "llm-model"}

# Gradio's own words that it has no Chinese for.
GRADIO = {"Roll icon", "Adjust volume", "Copy", "A label"}

# Words that stay on a Chinese page: names of products, models, packages, and of a plan's values.
NAMES = set(
    "Headroom Gradio Wan tiny Scripted Planned Ollama Enter Ctrl Linux Windows Triton Python PyAV "
    "PyTorch SageAttention Intel Xeon Defender Hub Git frpc share setup attention torch sdpa cpu "
    "http whole tiled block lazy resident exact shift token ffmpeg ollama sageattention "
    "matmul".split()
)
