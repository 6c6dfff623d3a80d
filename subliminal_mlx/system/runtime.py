"""What must happen before `import mlx.core`: a fast BLAS on Linux, and no run-time compiler there.

    from subliminal_mlx.system import runtime
    runtime.prepare()          # idempotent; then import mlx

MLX's Linux wheel links a reference BLAS at about 3 GFLOP/s and looks `cblas_sgemm` up in the global
symbol scope, so a faster library loaded first takes its place. macOS is left as it is.
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

ADVICE = "slow BLAS: no MKL or OpenBLAS found; `uv pip install mkl`, or your system's libopenblas, is up to 10 times faster"


@cache
def prepare() -> str:
    """Load the fastest BLAS found and set MLX's environment.

    Returns:
        The name of the BLAS in use: "Accelerate", "mkl", "openblas" or "reference".
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if sys.platform == "darwin":
        return "Accelerate"
    # mx.compile calls g++ at run time on Linux's CPU: a second a kernel, and a compiler we may not assume.
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
    # Two processes use two cores better than two BLAS threads in one.
    os.environ.setdefault("MKL_THREADING_LAYER", "SEQUENTIAL")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    wanted = os.environ.get("SUBLIMINAL_BLAS", "")
    for name, candidates in (("mkl", _mkl()), ("openblas", ["libopenblas.so.0", "libopenblas.so"])):
        if wanted not in ("", name):
            continue
        for library in candidates:
            try:
                ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
                return name
            except OSError:
                continue
    if wanted == "" and not os.environ.get("SUBLIMINAL_WORKER"):
        print(ADVICE, file=sys.stderr)
    return "reference"


def depth_first() -> None:
    """Let MLX compute graphs depth first in this process: less memory with checkpointed gradients, the same values.

    To be called before anything is computed: MLX reads the setting once.
    """
    os.environ.setdefault("MLX_BFS_MAX_WIDTH", "1")


def _mkl() -> list[str]:
    """Where the PyPI package and the system put libmkl_rt, newest first."""
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), reverse=True)
    return [str(path) for path in found] + ["libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so"]
