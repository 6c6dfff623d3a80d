"""What is said of this machine."""

import json
import platform
import re
import subprocess
import sys

import pytest

from subliminal_mlx.jobs import line as turns
from subliminal_mlx.system import machine


def test_peak_memory_is_this_process_own():
    """A child of a process that holds much has not held it."""
    held = bytearray(600 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    program = "from subliminal_mlx.system.machine import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if sys.platform == "linux":
        assert 1 << 23 < int(child.stdout) < 300 << 20 < machine.peak_memory()
    assert machine.peak_memory() > 600 << 20


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; names that were made are forgotten before and after."""
    monkeypatch.setenv("SUBLIMINAL_CACHE", str(tmp_path / "a cache"))
    monkeypatch.delenv("SUBLIMINAL_LINE", raising=False)
    machine._named.cache_clear()
    yield tmp_path / "a cache"
    machine._named.cache_clear()


def named():
    machine._named.cache_clear()
    return machine.machine_name()


def test_a_machine_stays_the_same_in_another_network(cache, monkeypatch):
    monkeypatch.setattr(machine, "_host_id", lambda: None)
    monkeypatch.setattr(platform, "node", lambda: "office.example")
    here, line = named(), turns.folder()
    monkeypatch.setattr(platform, "node", lambda: "dhcp-17.home")
    assert (named(), turns.folder()) == (here, line) and re.fullmatch("[0-9a-f]{8}", here)
    assert [path.name for path in cache.iterdir()] == ["machine-id"], "nothing half made is left"
    monkeypatch.setattr(machine, "_host_id", lambda: "another that shares the home")
    assert named() != here


def test_what_cannot_be_kept_falls_back_to_the_host(cache, monkeypatch):
    cache.write_text("a file where the folder should be")
    monkeypatch.setattr(machine, "_host_id", lambda: "uuid")
    by_id = named()
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    assert named() == by_id
    monkeypatch.setattr(machine, "_host_id", lambda: None)
    by_name = named()
    monkeypatch.setattr(platform, "node", lambda: "another")
    assert len({by_id, by_name, named()}) == 3
    cache.unlink()
    cache.mkdir()
    (cache / "machine-id").write_bytes(b"\xff no id of ours")
    assert named() == machine._named(cache) != by_name


def test_many_that_begin_at_once_agree(cache):
    program = "from subliminal_mlx.system.machine import machine_name; print(machine_name())"
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


def test_a_mac_is_told_by_its_platform_uuid(monkeypatch):
    told = '  "IOPlatformUUID" = "0DD7A2C1-0000-5000-8000-0123456789AB"\n'
    monkeypatch.setattr(sys, "platform", "darwin")
    answer = subprocess.CompletedProcess([], 0, stdout=told)
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: answer)
    assert machine._host_id() == "0DD7A2C1-0000-5000-8000-0123456789AB"

    def fails(*command, **options):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", fails)
    assert machine._host_id() is None


def test_a_macs_gpu_has_one_process(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert machine.likely_processes() == 1


def test_environment_names_what_a_result_depends_on():
    here = machine.environment()
    assert here == machine.environment() == json.loads(json.dumps(here))
    assert {"mlx-lm", "numpy", "duckdb", "python", "system", "machine", "commit"} <= set(here)
    assert re.fullmatch(r"\d+\.\d+\.\d+", here["mlx"]) and here["device"] in ("cpu", "gpu")
    assert here["blas"] in ("Accelerate", "mkl", "openblas", "reference")
    assert 1 <= machine.default_processes() <= 4
    assert machine.likely_processes() == machine.default_processes()
