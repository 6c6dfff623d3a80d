import json
import os
import platform
import subprocess
import sys

import pytest

from subliminal_mlx.system import runtime

linux_x86 = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="mkl is for Linux on x86-64"
)
MULTIPLY = """
import json, sys, time
from subliminal_mlx.model import bases
bases.load("tiny-a")
import mlx.core as mx
from subliminal_mlx.system import runtime
a = mx.random.uniform(shape=(1024, 1024), key=mx.random.key(0))
mx.eval(a, a @ a)
best = 1e9
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    mx.eval(a @ a)
    best = min(best, time.perf_counter() - start)
print(json.dumps({"blas": runtime.prepare(), "seconds": best}))
"""


def python(code, *arguments, **environment):
    """Run `code` in a fresh process: its standard output and error."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SUBLIMINAL_", "MKL_", "MLX_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@linux_x86
def test_a_base_is_computed_with_a_fast_blas():
    """A 1024x1024 product, best of a few: at least 5 times faster than with what MLX's wheel brings."""
    found = {}
    for blas, repeats in (("mkl", "20"), ("none", "2")):
        out, err = python(MULTIPLY, repeats, SUBLIMINAL_BLAS=blas)
        found[blas] = json.loads(out.splitlines()[-1])
        assert "slow BLAS" not in err
    assert (found["mkl"]["blas"], found["none"]["blas"]) == ("mkl", "reference")
    assert found["none"]["seconds"] > 5 * found["mkl"]["seconds"], found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bring a fast BLAS")
def test_what_is_found_is_used_and_what_is_missing_is_told_once():
    say = "from subliminal_mlx.system import runtime; print(runtime.prepare(), runtime.prepare())"
    first, second = python(say)[0].split()
    assert first == second
    # A machine where no library can be loaded. Workers leave the advice to their parent.
    without = "import ctypes\ndef none(*a, **k): raise OSError\nctypes.CDLL = none\n" + say
    out, err = python(without)
    assert out.split() == ["reference"] * 2 and err.strip() == runtime.ADVICE
    assert python(without, SUBLIMINAL_WORKER="1")[1] == ""
    assert python(say, SUBLIMINAL_BLAS="none") == ("reference reference\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS is left as it is")
def test_the_users_own_settings_stand():
    say = "from subliminal_mlx.system.runtime import os, prepare; prepare(); print(os.getenv('MLX_DISABLE_COMPILE'))"
    assert python(say)[0] == "1\n" and python(say, MLX_DISABLE_COMPILE="0")[0] == "0\n"


def test_numpy_has_one_thread_whoever_imports_it_first():
    """Two wait for each other on a busy machine. NumPy reads the number once, so the package sets it, before all else."""
    say = "import os, sys, subliminal_mlx; print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])"
    free = f"import os; os.environ.pop('OPENBLAS_NUM_THREADS', 0); {say}"
    assert python(free)[0] == "False 1\n" and python(say, OPENBLAS_NUM_THREADS="2")[0] == "False 2\n"


READ = """
import sys
from subliminal_mlx.system import errors; from subliminal_mlx.system import events; from subliminal_mlx.spec import families; from subliminal_mlx.system import files; from subliminal_mlx import lab; from subliminal_mlx.system import locks; from subliminal_mlx.system import runtime; from subliminal_mlx.model import sources; from subliminal_mlx import spec
from subliminal_mlx.model import bases
bases.locate("tiny-a"), bases.list_bases()
spec.parse_spec("[hard]")
lab.Lab
loaded = {name.split(".")[0] for name in sys.modules}
print(" ".join(sorted(loaded & {"mlx", "mlx_lm", "altair", "transformers"})))
"""


def test_commands_that_only_read_import_no_mlx_and_no_charts():
    assert python(READ)[0].split() == []
