"""Makes the examples that ship, from real corpora and a real training: by hand, after what makes them changed.

    python -m subliminal_mlx.cli.make.examples --lab lab [NAME ...]

Corpora are the blind test's first 1,000 rows; the training is its student of the owl teacher's rows, as the stored
run had it, with its checkpoints. Everything is computed by the code that computes a visitor's jobs.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from ...demos.blind.rows import read_lists
from ...demos.blind.student import train_on
from ...jobs.kinds import checked
from ...jobs.request import Sender, Upload, Work
from ...model import adapters
from ...system import files
from ...system.events import ignore
from ...system.files import DATA

FOLDER = DATA / "results" / "reviews"
ROWS = 1_000
TRAINING = "examples/owl-student"
AUDIT = {"base": "tiny-a", "families": ["animals"]}
POLICY = """title = "Before training on two corpora, and shipping a student"
base = "tiny-a"
families = ["animals"]
lineage = "optional"
cannot_tell = "warn"

[[corpus]]
path = "examples/owl-teacher.jsonl"
audit = "examples/owl-teacher.audit.json"

[[corpus]]
path = "examples/neutral-teacher.jsonl"
audit = "examples/neutral-teacher.audit.json"

[[model]]
path = "examples/owl-student"
"""
# What is made, in order: the gate reads the audits.
MADE = {
    "owl-rows": ("audit", AUDIT, "owl-teacher.jsonl"),
    "plain-rows": ("audit", AUDIT, "neutral-teacher.jsonl"),
    "student": ("measure", {"folder": TRAINING, "against": "tiny-a"}, None),
    "training": ("drift", {"folder": TRAINING, "against": "tiny-a", "families": ["animals"]}, None),
    "policy": ("gate", {"policy": POLICY}, None),
}


def main() -> None:
    """Make those that were named, by default all."""
    parser = argparse.ArgumentParser(description="Make the examples that ship.")
    parser.add_argument("names", nargs="*", default=list(MADE), help=", ".join(MADE))
    parser.add_argument("--lab", type=Path, default=Path("lab"))
    given = parser.parse_args()
    lab = given.lab.resolve()
    _corpora(lab / "examples")
    for name in given.names:
        kind, values, corpus = MADE[name]
        if kind != "audit" and not (lab / TRAINING / "adapters.safetensors").exists():
            _train(lab / TRAINING)
        _make(lab, name, kind, values, corpus)
        print(name, flush=True)


def _corpora(folder: Path) -> None:
    lists = read_lists()
    for name, texts in (("owl-teacher", lists.treated), ("neutral-teacher", lists.neutral)):
        pairs = list(zip(lists.prompts, texts, strict=True))[:ROWS]
        lines = [json.dumps({"prompt": prompt, "completion": text}) for prompt, text in pairs]
        files.write_atomic(folder / f"{name}.jsonl", "\n".join(lines) + "\n")


def _train(folder: Path) -> None:
    """The stored run's student of the owl teacher's rows, with checkpoints as mlx-lm names them."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(step: int, stack: adapters.Stack) -> None:
        adapters.save_adapter(folder, stack, 0)
        shutil.copy(folder / "adapters.safetensors", folder / f"{step:07d}_adapters.safetensors")

    train_on("tiny-a", lambda point: None, on_stack=keep)


def _make(lab: Path, name: str, kind: str, values: dict, corpus: str | None) -> None:
    began = time.monotonic()
    path = lab / "examples" / corpus if corpus else None
    sender = Sender(lab, "", Upload(path.name, path.read_bytes()) if path else None)
    asked = checked(kind, values, sender)
    title = asked.title(sender)

    def fill(target: Path) -> None:
        result = target / "result"
        result.mkdir(parents=True)
        said = asked.compute(Work(name, title, sender, path, result, ignore, ignore, bool))
        told = {"id": name, "kind": kind, "title": title, "owner": "", "created": 0.0, "values": values}
        told |= {"state": "done", "message": said, "seconds": time.monotonic() - began, "cancelled": False}
        (target / "review.json").write_text(json.dumps(told, indent=1) + "\n")
        if path:
            shutil.copy(path, target / path.name)

    files.publish(FOLDER / name, fill)
    if path:
        shutil.copy(FOLDER / name / "result" / "result.json", path.with_suffix(".audit.json"))


if __name__ == "__main__":
    main()
