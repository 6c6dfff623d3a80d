"""What is said of this machine."""

import json
import re
import subprocess
import sys

from subliminal_mlx import machine


def test_peak_memory_is_this_process_own():
    """A child of a process that holds much has not held it."""
    held = bytearray(600 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    program = "from subliminal_mlx.machine import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if sys.platform == "linux":
        assert 1 << 23 < int(child.stdout) < 300 << 20 < machine.peak_memory()
    assert machine.peak_memory() > 600 << 20


def test_environment_names_what_a_result_depends_on():
    here = machine.environment()
    assert here == machine.environment() == json.loads(json.dumps(here))
    assert {"mlx-lm", "numpy", "duckdb", "python", "system", "machine", "commit"} <= set(here)
    assert re.fullmatch(r"\d+\.\d+\.\d+", here["mlx"]) and here["device"] in ("cpu", "gpu")
    assert here["blas"] in ("Accelerate", "mkl", "openblas", "reference")
    assert 1 <= machine.default_processes() <= 4
