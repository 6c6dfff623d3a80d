"""What computes here: versions, device, memory. MLX is imported where it is asked for, not before.

environment()["device"]        # "cpu" or "gpu"
default_processes()            # worker processes that pay
peak_memory()                  # bytes that this process held at most
"""

import hashlib
import importlib.util
import os
import platform
import re
import resource
import secrets
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from . import runtime
from .files import cache_folder


def environment() -> dict[str, Any]:
    """Versions, BLAS, device, system and commit: what a result also depends on."""
    blas = runtime.prepare()
    import mlx.core as mx

    names = ("mlx", "mlx-lm", "numpy", "scipy", "duckdb", "transformers")
    return {
        **{name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": "gpu" if mx.default_device() == mx.gpu else "cpu",
        "blas": blas,
        "machine": machine_name(),
        "commit": _commit(),
    }


def machine_name() -> str:
    """Stands for this machine in what a run keeps of it and in the name of its line, without telling its name.

    Not by its name: networks give a Mac another one.
    """
    return _named(cache_folder())


@lru_cache
def _named(folder: Path) -> str:
    own = "/".join(part for part in (_kept_id(folder), _host_id()) if part)
    return hashlib.sha256((own or platform.node()).encode()).hexdigest()[:8]


def _kept_id(folder: Path) -> str | None:
    """A random id that lies in the user's cache from the first time on; None where it cannot be kept."""
    path = folder / "machine-id"
    made = folder / f".machine-id-{secrets.token_hex(8)}"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            made.write_text(secrets.token_hex(16))
            # Of several that begin at once the first names it for all: a link replaces nothing.
            with suppress(FileExistsError):
                os.link(made, path)
        found = path.read_text(encoding="ascii")
        return found if re.fullmatch(r"[0-9a-f]{32}", found) else None
    except (OSError, ValueError):
        return None
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _host_id() -> str | None:
    """What tells machines apart that share a home; None where a Mac does not say."""
    try:
        if sys.platform != "darwin":
            return Path("/etc/machine-id").read_text(encoding="ascii").strip() or platform.node()
        command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        # Elsewhere a name stays, and is what tells machines apart that have no id.
        return None if sys.platform == "darwin" else platform.node()
    found = re.search(r'"IOPlatformUUID" = "([0-9A-Fa-f-]+)"', told)
    return found[1] if found else None


def _commit() -> str:
    """The checkout's commit, marked where files differ from it; empty outside a checkout."""
    folder = Path(__file__).parent.parent.parent
    if not (folder / ".git").exists():
        return ""  # installed into somebody else's repository, perhaps
    git = lambda *words: subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    try:
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
        return git("rev-parse", "--short=12", "HEAD").stdout.strip() + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def default_processes() -> int:
    """One a core on a CPU, at most 4; one where a GPU does the work."""
    runtime.prepare()
    import mlx.core as mx

    return _processes(mx.default_device() == mx.gpu)


def likely_processes() -> int:
    """The same without MLX, which pages do not import: by what its wheel for this system computes on."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    found = importlib.util.find_spec("mlx")
    folders = found.submodule_search_locations if found else None
    return _processes(apple or any(next(Path(at).parent.glob("mlx_cuda*"), None) for at in folders or ()))


def _processes(on_gpu: bool) -> int:
    return 1 if on_gpu else min(4, os.cpu_count() or 1)


def peak_memory() -> int:
    """The most memory that this process has held, bytes; where a GPU computes, what MLX held on it, if more."""
    return max(_resident_peak(), _gpu_peak())


def _gpu_peak() -> int:
    """Metal's and CUDA's buffers are no part of a process's resident memory."""
    mx = sys.modules.get("mlx.core")
    return mx.get_peak_memory() if mx and mx.default_device() == mx.gpu else 0


def _resident_peak() -> int:
    try:
        # Linux's getrusage also counts what the process that started this one held at that moment.
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
