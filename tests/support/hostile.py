"""Environments that people have for other programs, and what a page has to keep to in each."""

import re
import socket
from collections.abc import Mapping

import httpx
import psutil

PROXY = "http://127.0.0.1:9"
GRADIO = {
    # Another port without the gate, another program in front, a reload at every change.
    "GRADIO_NUM_WORKERS": "1",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_NODE_SERVER_PORT": "7999",
    "GRADIO_NODE_PATH": "/bin/true",
    "GRADIO_LOCAL_DEV_MODE": "1",
    "GRADIO_WATCH_DIRS": "/",
    "GRADIO_VIBE_MODE": "1",
    "GRADIO_DEBUG": "1",
    # Values that are none.
    "GRADIO_SERVER_PORT": "nonsense",
    "GRADIO_NUM_PORTS": "0",
    "GRADIO_SERVER_NAME": "203.0.113.9",
    "GRADIO_ANALYTICS_MAX_EVENTS": "many",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "often",
    "GRADIO_DEFAULT_CONCURRENCY_LIMIT": "all",
    "GRADIO_HEARTBEAT_INTERVAL": "-1",
    "GRADIO_CACHE_MODE": "never",
    # What the page would tell, serve or keep elsewhere.
    "GRADIO_ANALYTICS_ENABLED": "True",
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_ROOT_PATH": "/elsewhere",
    "GRADIO_SHARE": "True",
    "GRADIO_SHARE_SERVER_ADDRESS": "203.0.113.9:7000",
    "GRADIO_MCP_SERVER": "True",
    "GRADIO_TEMP_DIR": "/proc/nowhere",
    "GRADIO_EXAMPLES_CACHE": "/proc/nowhere",
    "GRADIO_RUN_HISTORY": "True",
    "GRADIO_HISTORY_BUCKET": "nobody/nothing",
    "GRADIO_PROFILING": "1",
    "GRADIO_IS_E2E_TEST": "1",
}
# By a name for each. All of them together are one more.
HOSTILE: Mapping[str, Mapping[str, str]] = {
    **{name: {name: value} for name, value in GRADIO.items()},
    "a Space": {
        "SYSTEM": "spaces",
        "SPACE_ID": "nobody/nothing",
        "SPACE_HOST": "nobody.hf.space",
        "SPACES_ZERO_GPU": "true",
        "OAUTH_CLIENT_ID": "x",
    },
    "a notebook": {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
    "fsspec's": {"FSSPEC_CONFIG_DIR": "/proc/nowhere", "FSSPEC_FILE": "{", "FSSPEC__": "1"},
    "Uvicorn's": {"WEB_CONCURRENCY": "four", "FORWARDED_ALLOW_IPS": "*"},
    "telemetry": {
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": PROXY,
        "OTEL_PROPAGATORS": "nonsense",
        "OTEL_PYTHON_TRACER_PROVIDER": "nonsense",
    },
    "packages'": {
        "PANDAS_FUTURE": "nonsense",
        "NUMPY_MADVISE_HUGEPAGE": "nonsense",
        "TQDM_POSITION": "nonsense",
        "TQDM_NCOLS": "nonsense",
        "EAGER_IMPORT": "1",
    },
    "the hub's": {
        "HF_HUB_ETAG_TIMEOUT": "nonsense",
        "HF_HUB_DOWNLOAD_TIMEOUT": "",
        "HF_HUB_VERBOSITY": "nonsense",
        "HF_ENDPOINT": "::nonsense::",
    },
    "certificates": {
        "SSL_CERT_FILE": "/no/such/file",
        "SSL_CERT_DIR": "/no/such/folder",
        "SSLKEYLOGFILE": "/no/such/file",
    },
    "a proxy for HTTP": {"HTTP_PROXY": PROXY, "http_proxy": PROXY, "HTTPS_PROXY": PROXY},
    "a proxy that is none": {"HTTPS_PROXY": "http://[::1", "NO_PROXY": "[::1,ü,*.x,fe80::/10"},
    "a proxy's spelling": {"HTTP_PROXY": PROXY, "NO_PROXY": "intranet", "no_proxy": "wiki"},
    "socks4": {"ALL_PROXY": "socks4://127.0.0.1:9"},
    "socks5": {"ALL_PROXY": "socks5://me:secret@127.0.0.1:9", "all_proxy": "socks5h://127.0.0.1:9"},
}


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


LOOPBACK = ("127.0.0.1", "::1") if _has_ipv6() else ("127.0.0.1",)


def faults(process: int, url: str) -> list[str]:
    """What the page at ``url``, served by ``process``, doesn't keep to; best nothing."""
    found = []
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        if client.get("").status_code != 200:
            found.append("it doesn't answer")
        if client.get("", headers={"Host": "evil.example"}).status_code != 400:
            found.append("another name is answered")
        if client.get("gradio_api/file=/etc/passwd").status_code not in (403, 404):
            found.append("a file is served by its path")
        upload = client.post(
            "gradio_api/upload", headers={"Origin": "http://evil.example"}, files={"files": b"x"}
        )
        if upload.status_code not in (403, 404):
            found.append("a foreign upload is taken")
        if client.get("gradio_api/mcp/").status_code != 404:
            found.append("it has Gradio's MCP server")
        config = client.get("config").json()
        root = str(config.get("root", ""))
        if not url.startswith(root.rstrip("/")):
            found.append(f"its root is {root}")
        for name in ("is_space", "is_colab", "dev_mode", "vibe_mode", "pwa"):
            if config.get(name):
                found.append(f"{name} is on")
    port = int(url.rstrip("/").rpartition(":")[2])
    ours = psutil.Process(process)
    for one in (ours, *ours.children(recursive=True)):
        for open_one in one.net_connections(kind="inet"):
            if open_one.status == psutil.CONN_LISTEN and open_one.laddr.port != port:
                found.append(f"{one.name()} listens on {open_one.laddr.port}")
        if re.search("node|frpc", one.name()):
            found.append(f"{one.name()} was started")
    return found
