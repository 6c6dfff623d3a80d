"""Whether this machine computes what the project was built on: kernels against stored values, speed, one chain.

    found = examine(on_event=print)             # facts, parity, speed, chain
    found["well"]                               # `doctor` puts it into words

Stored values come from the machine that the project was built on (a CPU, fp32); `store` makes them anew.
Another device rounds in another order: each kind of value has a tolerance for the CPU and for a GPU.
"""

import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.channels import numbers
from ..lab import Lab
from ..model.adapters import Shape, init
from ..model.bases import load
from ..model.rows import pack
from ..model.sample import Decoding, sample
from ..model.score import score
from ..model.train import Recipe, train
from ..pipeline import run as pipeline
from ..spec import parse_spec
from ..spec.arms import MAIN, ORIGINS
from ..system.events import Event, Listener, ignore
from ..system.files import DATA, write_atomic
from ..system.machine import default_processes, environment, peak_memory
from ..system.rate import machine_gflops

STORED = DATA / "doctor.json"
SEED, ROWS = 7, 64
CORPUS = numbers.Numbers(shown=(3, 3), numbers=(8, 8))
# Largest difference that is rounding: of log-probabilities and losses in nats, of the share of rows redrawn.
TOLERANCES = {
    "cpu": {"forward": 1e-4, "backward": 1e-3, "draws": 0.05},
    "gpu": {"forward": 2e-3, "backward": 2e-2, "draws": 0.15},
}
MEANINGS = {
    "forward": "log-probabilities of 64 number lists, token by token, in nats",
    "backward": "losses of 12 training steps of two adapters, in nats a token",
    "draws": "share of 64 lists, drawn at temperature 1 by keyed randomness, that came out otherwise",
}
CHAIN = """
title = "doctor"
traits = ["animals/owl", "animals/cat"]
chains = 1
teacher = {rank = 1, lr = 0.01, steps = 80}
corpus = {rows = 1500}
hard = {steps = 120, lr = 0.006}
readout = {points = 1, answers = 0}
"""

Found = dict[str, Any]


def examine(on_event: Listener = ignore, chain: bool = True) -> Found:
    """Everything, in about a minute; `chain` is most of it."""
    on_event(Event("checks", 0, 3, {}))
    found: Found = {"facts": facts(), "parity": parity(kernels(), json.loads(STORED.read_text()))}
    on_event(Event("checks", 1, 3, {}))
    found["speed"] = speed()
    if chain:
        on_event(Event("checks", 2, 3, {}))
    found["chain"] = small_chain() if chain else None
    on_event(Event("checks", 3, 3, {}))
    return found | {"well": well(found)}


def well(found: Found) -> bool:
    """Whether every kernel agrees, and the chain moved the way of its teacher."""
    chain = found["chain"]
    return all(row["agrees"] for row in found["parity"]) and (chain is None or chain["transfer"] > 0)


def facts() -> Found:
    """Versions, device, system, processor, memory."""
    import mlx.core as mx
    import psutil

    here = environment()
    info = {}
    if here["device"] == "gpu":
        info = {k: v for k, v in mx.device_info().items() if isinstance(v, str | int | float)}
    return {
        **{name: value for name, value in here.items() if name != "machine"},
        "os": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "free_bytes": psutil.virtual_memory().available,
        "processes": default_processes(),
        "device_info": info,
    }


def kernels() -> dict[str, list]:
    """What is compared: a forward pass, a training, keyed draws, all of tiny-a."""
    base = load("tiny-a")
    prompts = [base.prompt(text)[1] for text in numbers.prompts(ROWS, SEED, CORPUS)]
    # Lists that no machine drew, so that a forward pass that differs does not change what is trained on.
    rng = np.random.default_rng(SEED)
    fixed = [(*base.encode(" ".join(map(str, rng.integers(0, 100, 8)))), base.eos) for _ in range(ROWS)]
    rows = pack(prompts, fixed)
    stack = init(base, Shape(4), [1, 2])
    _, losses = train(base, stack, [rows, rows], Recipe(12, 16, 1e-2), [1, 2])
    drawn = sample(base, prompts, SEED, Decoding(1.0, numbers.grammar(base, CORPUS)))[0]
    return {
        "forward": [round(float(x), 6) for row in score(base, rows)[0] for x in row],
        "backward": [round(float(x), 6) for x in losses.ravel()],
        "draws": [base.decode(ids) for ids in drawn],
    }


def parity(here: dict[str, list], stored: dict[str, Any]) -> list[Found]:
    """Rows: check, difference, tolerance, agrees."""
    device = environment()["device"]
    rows = []
    for name, expected in stored["values"].items():
        if name == "draws":
            difference = float(np.mean([a != b for a, b in zip(here[name], expected, strict=True)]))
        else:
            difference = float(np.abs(np.array(here[name]) - np.array(expected)).max())
        allowed = TOLERANCES[device][name]
        # Not "not more than": a NaN agrees with nothing.
        rows.append(
            {"check": name, "difference": difference, "tolerance": allowed, "agrees": difference <= allowed}
        )
    return rows


def speed() -> Found:
    """Rates: products in GFLOP/s, tokens trained and drawn a second with tiny-a, in one process."""
    base = load("tiny-a")
    prompts = [base.prompt(text)[1] for text in numbers.prompts(256, SEED, CORPUS)]
    decoding = Decoding(1.0, numbers.grammar(base, CORPUS))
    started = time.perf_counter()
    drawn = sample(base, prompts, SEED, decoding)[0]
    drew = time.perf_counter() - started
    rows = pack(prompts, drawn)
    started = time.perf_counter()
    train(base, init(base, Shape(8), [1, 2, 3]), [rows] * 3, Recipe(10, 32, 1e-3), [1, 2, 3])
    trained = time.perf_counter() - started
    return {
        "gflops": machine_gflops(),
        "trained_tokens_per_second": 3 * 10 * 32 * rows.tokens.shape[1] / trained,
        "drawn_tokens_per_second": sum(map(len, drawn)) / drew,
    }


def small_chain() -> Found:
    """A whole experiment in miniature, in worker processes, in a lab that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        started = time.monotonic()
        outcome = pipeline.run(parse_spec(CHAIN), Lab(Path(folder) / "lab"))
        entries = outcome.summary["traits"]
        arms = [entry["arms"] for entry in entries]
        mean = lambda arm, field: float(np.mean([a[arm][field] for a in arms]))
        return {
            "seconds": time.monotonic() - started,
            "peak_memory_bytes": max(outcome.run["peak_memory_bytes"] or 0, peak_memory()),
            "traits": [entry["trait"] for entry in entries],
            "transfer": mean("treated", "transfer"),
            **{arm: mean(arm, "probability") for arm in (*ORIGINS, *MAIN)},
        }


def store(path: Path = STORED) -> None:
    """Write this machine's values as those that others are held against."""
    content = {"environment": facts(), "values": kernels()}
    for name in ("free_bytes", "memory_bytes", "commit", "device_info", "processes"):
        content["environment"].pop(name)
    write_atomic(path, json.dumps(content, indent=None) + "\n")
