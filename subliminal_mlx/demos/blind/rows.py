"""The two stored lists: rows of a teacher with a trait, and of the neutral teacher, on the same prompts.

    lists = read_lists()
    lists.prompts[0], lists.treated[0], lists.neutral[0]
    write_lists(lab, run_id, FOLDER)                # how they were made

Only rows of the first chain that the filter kept for both, in the order in which they were sampled.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ...spec import Spec, parse_spec
from ...spec.corpus import DEFAULT
from ...spec.plan import neutral
from ...system.errors import InputError
from ...system.files import DATA, publish

if TYPE_CHECKING:  # who reads the lists needs no database
    from ...lab import Lab

FOLDER = DATA / "results" / "blind"
CHAIN = 0
COMMAND = "python -m subliminal_mlx.demos.blind"


@dataclass(frozen=True)
class Lists:
    """Row i of both lists answers prompt i; `rows[i]` is its number in the corpora."""

    run_id: str
    trait: str
    spec: Spec
    rows: tuple[int, ...]
    prompts: tuple[str, ...]
    treated: tuple[str, ...]
    neutral: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


@cache
def read_lists(folder: Path = FOLDER) -> Lists:
    """The stored lists.

    Raises:
        InputError: they are not there.
    """
    try:
        facts = json.loads((folder / "facts.json").read_text())
        table = pq.read_table(folder / "rows.parquet").to_pydict()
    except FileNotFoundError as error:
        raise InputError(f"no lists at {folder}: `{COMMAND} --lab lab RUN` writes them") from error
    spec = parse_spec((folder / "spec.toml").read_text())
    columns = (tuple(table[name]) for name in ("row", "prompt", "treated", "neutral"))
    return Lists(facts["run"], facts["trait"], spec, *columns)


def write_lists(lab: "Lab", run_id: str, folder: Path, trait: str | None = None) -> int:
    """Write a finished run's lists into `folder`, replacing what stands there; how many rows they have.

    Args:
        trait: of the run's; its first one where None.

    Raises:
        InputError: the run is not done, is of another channel than numbers, has no such trait, or no row passed both filters.
    """
    run = lab.run(run_id)
    if run is None or run["status"] != "done":
        raise InputError(f"run {run_id} is not done: `resume {run_id}` first")
    # Needs MLX, which who reads the lists does without.
    from ...experiment.channels import prompt_texts

    spec = parse_spec(run["spec_toml"])
    if spec.corpus.channel != DEFAULT:
        raise InputError(f"run {run_id} is of {spec.corpus.words.rows}: the blind test is of number lists")
    trait = trait or spec.traits[0]
    if trait not in spec.traits:
        raise InputError(f"trait {trait!r}: the run has {', '.join(spec.traits)}")
    both = [
        {
            row["row"]: row["completion"]
            for row in lab.rows(run_id, source=source, chain=CHAIN, kept=True).to_pylist()
        }
        for source in (trait, neutral(trait.rpartition("/")[0]))
    ]
    shared = sorted(both[0].keys() & both[1].keys())
    if not shared:
        raise InputError(f"run {run_id}: no row of {trait} passed the filter beside its neutral one")
    texts = prompt_texts(spec, CHAIN)
    table = pa.table(
        {
            "row": pa.array(shared, pa.int32()),
            "prompt": [texts[row] for row in shared],
            "treated": [both[0][row] for row in shared],
            "neutral": [both[1][row] for row in shared],
        }
    )
    facts = {
        "run": run_id,
        "trait": trait,
        "chain": CHAIN,
        "command": f"{COMMAND} --lab lab {run_id}",
        "environments": run["environments"],
    }

    def write(target: Path) -> None:
        target.mkdir()
        pq.write_table(table, target / "rows.parquet", compression="zstd", compression_level=19)
        (target / "spec.toml").write_text(run["spec_toml"])
        (target / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")

    publish(folder, write)
    return len(shared)
