"""Variables of the environment that other people's code reads, and what becomes of them here.

Gradio and what it stands on take dozens of them: some open another port without our gate, some end
an import in a traceback. People set them for other programs, so what isn't ours is set aside before
anything is imported, and told once. Standard library only: set-up asks here as well.
"""

import os
import ssl
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Environment = MutableMapping[str, str]

# What the page's server, Gradio and their packages read. A name is one of these by its beginning …
PAGE_PREFIXES = (
    "GRADIO_",
    "FASTAPI_",
    "UVICORN_",
    "OTEL_",
    "PANDAS_",
    "SPACE_",
    "SPACES_",
    "FSSPEC",
)
# … or as a whole: a Hugging Face Space, a notebook's host, an OAuth login, Uvicorn's own.
PAGE_NAMES = frozenset(
    {
        "SYSTEM",
        "KAGGLE_KERNEL_RUN_TYPE",
        "OAUTH_CLIENT_ID",
        "OAUTH_CLIENT_SECRET",
        "OAUTH_SCOPES",
        "OPENID_PROVIDER_URL",
        "WEB_CONCURRENCY",
        "FORWARDED_ALLOW_IPS",
    }
)
# fsspec's folder of settings, by default ~/.config/fsspec: a damaged file there ends its import. A
# folder that is none has no settings.
NO_SETTINGS = {"FSSPEC_CONFIG_DIR": os.devnull}
# What holds instead. No telemetry leaves the machine: any other value would mean "on".
PAGE_VALUES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",  # of 10,000 kept for a page that is closed
    "HF_HUB_DISABLE_TELEMETRY": "1",
    **NO_SETTINGS,
}
# Nobody misses these: the page does what they ask for, or never does what they are about.
UNTOLD = (*PAGE_VALUES, "GRADIO_ANALYTICS_CACHE_FREQUENCY", "GRADIO_RUN_HISTORY")
# What people set to change the page, and what does that here.
INSTEAD = {
    "GRADIO_SERVER_PORT": "--port chooses the port.",
    "GRADIO_NUM_PORTS": "--port chooses the port; the next ones are tried if it is taken.",
    "GRADIO_SERVER_NAME": "--host chooses the address.",
    "GRADIO_SHARE": "--share, or the Share tab, gives others a page of their own.",
    "GRADIO_SHARE_SERVER_ADDRESS": "a share's link is Gradio's; --host serves your own network.",
    "GRADIO_MCP_SERVER": "--mcp serves tools for language models.",
    "GRADIO_TEMP_DIR": "HEADROOM_HOME names the folder for all that is kept.",
    "GRADIO_ROOT_PATH": "the page is served at the root of its address (SECURITY.md, proxies).",
    "GRADIO_ALLOWED_PATHS": "no file is served by its path.",
    "GRADIO_NUM_WORKERS": "one process serves the page.",
    "GRADIO_SSR_MODE": "one process serves the page.",
    "WEB_CONCURRENCY": "one process serves the page.",
    "FORWARDED_ALLOW_IPS": "no header says who asks (SECURITY.md, proxies).",
}

# Read by packages that every command imports, each of which ends in a traceback over a value that
# is no whole number.
NUMBERS = (
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_ETAG_TIMEOUT",
    "NUMPY_MADVISE_HUGEPAGE",
    "TORCH_SPARSE_BSR_SCATTER_MM_LRU_CACHE_SIZE",
    "TORCHDYNAMO_TRANSLATION_VALIDATION_TIMEOUT",
    "TORCHDYNAMO_REPRO_LEVEL",
    "TORCHINDUCTOR_PRECOMPILATION_TIMEOUT_SECONDS",
    "TORCHINDUCTOR_DEFAULT_AUTOTUNE_WARMUP",
    "TORCHINDUCTOR_DEFAULT_AUTOTUNE_REP",
    "TORCHINDUCTOR_COLLECTIVE_BENCHMARK_NRUNS",
    "TORCHINDUCTOR_COLLECTIVE_BENCHMARK_TIMEOUT",
    "TORCHINDUCTOR_COORDINATE_DESCENT_RADIUS",
    "TORCHINDUCTOR_MIN_NUM_SPLIT",
    "TORCHINDUCTOR_FILE_LOCK_TIMEOUT",
    "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT",
    "TORCHINDUCTOR_CHUNKER_NUM_CHUNKS",
    "TORCHINDUCTOR_CPP_MIN_CHUNK_SIZE",
    "TORCHINDUCTOR_CPP_MAX_HORIZONTAL_FUSION_SIZE",
    "TORCHINDUCTOR_CPP_GEMM_MAX_K_SLICES",
    "TORCHINDUCTOR_NUM_DECOMPOSE_K_SPLITS",
    "TORCHINDUCTOR_DECOMPOSE_K_THRESHOLD",
    "TORCHINDUCTOR_ORIGAMI_TOPK",
    "TORCHINDUCTOR_AUTOTUNE_POOL_INACTIVITY_TIMEOUT",
    "AOTINDUCTOR_REPRO_LEVEL",
    "INDUCTOR_PROVENANCE",
    "WORLD_SIZE",
    "DIFFUSERS_TIMEOUT_REMOTE_CODE",
)
# huggingface_hub's, tqdm's and fsspec's: an import of everything, progress bars that nobody sees
# here, and other protocols' settings.
NEVER = ("EAGER_IMPORT", "TQDM_", "FSSPEC")
# For those who look into PyTorch and NumPy, by their beginning: logs, traces and profiles, the
# processor's instructions. A name that they don't know, a file that can't be written or a wrong
# number ends their import, so every clip.
INSIDES = (
    "TORCH_LOGS",
    "TORCH_TRACE",
    "TORCH_DTRACE",
    "TORCH_COMPILE_STROBELIGHT",
    "COMPILE_STROBELIGHT_",
    "PYTORCH_JIT",
    "PYTORCH_MATCHER_LOGLEVEL",
    "TORCH_DISTRIBUTED_DEBUG",
    "NPY_ENABLE_CPU_FEATURES",
    "NPY_DISABLE_CPU_FEATURES",
)

MIRROR = "HF_ENDPOINT"
# Stands in for a mirror's address that can't be one: it ends no import, every fetch ends at once,
# and nothing (a token, for one) goes to a server that the user didn't choose.
NO_MIRROR = "unusable://hf-endpoint.invalid"

AUTH = "HEADROOM_AUTH"  # ours: the page's login

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
SPOKEN = ("http", "https")  # to a proxy, by all that fetches something here
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
KEY_LOG = "SSLKEYLOGFILE"
EXCEPTIONS = ("NO_PROXY", "no_proxy")
THIS_COMPUTER = ("127.0.0.1", "localhost", "::1")


class WrongWay(NamedTuple):
    """A variable about the way out of this computer that can't be followed. Its value isn't here,
    as it may hold a password; ``kind`` is a proxy's, such as socks5, "" where it is no proxy."""

    name: str
    what: Literal["proxy", "certificates", "key log", "mirror"]
    kind: str = ""

    def __str__(self) -> str:
        if self.what == "mirror":
            return f"{self.name} isn't the address of a hub"
        if self.what == "certificates":
            return f"{self.name} names certificates that can't be read"
        if self.what == "key log":
            return f"{self.name} names a file that can't be written"
        if self.kind:
            return f"{self.name} names a {self.kind} proxy, which isn't supported here"
        return f"{self.name} isn't a proxy address"


def settle(environment: Environment) -> list[str]:
    """Take out of ``environment`` what would end any command in a traceback, keep fsspec from its
    files, and join the two spellings of NO_PROXY.

    Returns:
        Sentences for the user.
    """
    told = []
    for name in NUMBERS:
        value = environment.get(name)
        if value is not None and not _is_number(value):
            del environment[name]
            if value:
                told.append(f"{name} isn't a whole number, so it is left out.")
    for name in [name for name in environment if name.startswith(NEVER)]:
        del environment[name]
    if insides := sorted(name for name in environment if name.startswith(INSIDES)):
        for name in insides:
            del environment[name]
        told.append(
            f"Ignored, because they change PyTorch's or NumPy's internals: {', '.join(insides)}."
        )
    told += _settle_mirror(environment)
    environment.update(NO_SETTINGS)
    join_exceptions(environment)
    return told


def _settle_mirror(environment: Environment) -> list[str]:
    """huggingface_hub takes an address apart when it is imported, and a blank one for a server."""
    value = environment.get(MIRROR)
    if value is None or value == NO_MIRROR:
        return []
    if not value.strip():
        del environment[MIRROR]
    elif _kind(value.strip()) in SPOKEN and "://" in value:
        environment[MIRROR] = value.strip()
    else:
        environment[MIRROR] = NO_MIRROR
        return [
            f"{MIRROR} isn't a hub address, such as https://huggingface.co, so no weights can be "
            "downloaded: correct it or unset it."
        ]
    return []


def settle_for_page(environment: Environment) -> list[str]:
    """Take out of ``environment`` whatever Gradio and its packages read and isn't ours, and put in
    what they shall read. To be called before gradio is imported.

    Returns:
        Sentences for the user: what was set aside, and what does that here.
    """
    aside = sorted(name for name in environment if is_the_pages(name))
    told = [n for n in aside if n not in UNTOLD and environment[n].strip()]
    for name in aside:
        del environment[name]
    environment.update(PAGE_VALUES)
    if not told:
        return []
    lines = [f"Ignored, because these variables don't apply to this page: {', '.join(told)}."]
    return lines + [f"{name}: {INSTEAD[name]}" for name in told if name in INSTEAD]


def is_the_pages(name: str) -> bool:
    """Whether Gradio or a package of its may read the variable ``name``."""
    return name.startswith(PAGE_PREFIXES) or name in PAGE_NAMES


def join_exceptions(environment: Environment) -> None:
    """NO_PROXY and no_proxy say the same from now on: most programs read one of them only.

    Where a proxy is named, this computer is spared, too: a proxy would look at its own. Where none
    is, nothing is added, as Windows and macOS have theirs elsewhere, with exceptions beside them,
    which nobody looks at once the environment has any.
    """
    spared = [host for name in EXCEPTIONS for host in _hosts(environment.get(name, ""))]
    if any(environment.get(name) for upper in PROXIES for name in (upper, upper.lower())):
        spared += THIS_COMPUTER
    if "*" in spared:
        spared = ["*"]
    if spared:
        environment.update(dict.fromkeys(EXCEPTIONS, ",".join(dict.fromkeys(spared))))


def wrong_way(environment: Mapping[str, str], hub: bool = False) -> WrongWay | None:
    """The first variable that nothing can be fetched with; ``hub``: from the hub of the weights.
    For who fetches, once it failed: the page itself needs neither."""
    for name in (name for upper in PROXIES for name in (upper.lower(), upper)):
        if value := environment.get(name, "").strip():
            kind = _kind(value)
            if kind not in SPOKEN:
                return WrongWay(name, "proxy", kind)
    for name in CERTIFICATES:
        if (value := environment.get(name, "")) and not _loads(value):
            return WrongWay(name, "certificates")
    if (value := environment.get(KEY_LOG, "")) and not _takes_keys(value):
        return WrongWay(KEY_LOG, "key log")
    if hub and (value := environment.get(MIRROR, "").strip()):
        if "://" not in value or _kind(value) not in SPOKEN:
            return WrongWay(MIRROR, "mirror")
    return None


def _loads(path: str) -> bool:
    if os.path.isdir(path):
        return True  # of certificates, each read when it is needed
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True


def _takes_keys(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = path
    except (OSError, ValueError):
        return False
    return True


def _kind(address: str) -> str:
    """What is spoken to the server at ``address``; "" where it isn't the address of one."""
    try:
        address.encode()  # bytes that aren't UTF-8 come as half a character, which none has
        parts = urlsplit(address if "://" in address else f"http://{address}")
        named = _is_host(parts.hostname or "") and parts.port != 0  # raises for what is no number
    except ValueError:
        return ""
    return parts.scheme.lower() if named else ""


def _is_host(name: str) -> bool:
    """Whether a computer may be called ``name``: each label has 1 to 63 characters (RFC 1035).

    Raises:
        UnicodeError: a label is empty, too long, or of characters that no name has.
    """
    name.encode("idna")
    return bool(name) and name.isprintable() and not set(name) & set(' "<>\\^`{|}')


def _hosts(value: str) -> Iterable[str]:
    """What stands between commas. IPv6 loses its brackets, as a bracket ends httpx in an error."""
    for part in value.split(","):
        host = part.strip()
        if host and not any("\ud800" <= c <= "\udfff" for c in host):  # no UTF-8: nobody's name
            bare = host[1:].partition("]")[0] if host.startswith("[") else host
            yield bare or host


def _is_number(value: str) -> bool:
    try:
        int(value)
    except ValueError:
        return False
    return True
