"""Clean trainings made for a null: students of rows that carry nothing, by a spec's own recipes.

    trainings = clean_trainings(spec, load("tiny-a"), families, count=36, seed=1)

Half are students of the base's own rows, half of neutral teachers' rows; each is a chain of its own, with
its own prompts, draws, start and order, trained by the spec's recipes. The stages are the run's. What is kept in a
folder is not made again: a null that was killed goes on there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..experiment.setting import Ids, Setting
from ..experiment.students import recipe_of, sample_corpora, shape_of, soft_targets, train_on_rows
from ..experiment.teachers import system_of, tune_chain
from ..lab import Lab
from ..model.adapters import Stack, load_adapter
from ..model.bases import Base
from ..model.organisms import is_organism, stack_width
from ..model.rows import Rows, pack
from ..spec import Spec
from ..spec.families import Family
from ..spec.plan import neutral
from ..spec.seeds import seed_of
from ..system import files
from ..system.events import Listener, ignore
from . import Readings, Subject, measure, read_reference
from .context import BARE, Context
from .judging import Training
from .models import delta_norms
from .null import trainings_in

Tell = Callable[[list[Training]], None]
CONTROL = "control"  # the base's own rows


def clean_trainings(
    spec: Spec,
    base: Base,
    families: dict[str, Family],
    count: int,
    seed: int,
    kinds: Sequence[str] = (),
    at_once: int | None = None,
    context: Context = BARE,
    folder: Path | None = None,
    on_event: Listener = ignore,
    on_done: Tell = lambda found: None,
) -> list[Training]:
    """Train `count` students of each kind (by default the spec's) and read them on `families`.

    Args:
        spec: its corpus and recipes are used; its traits say which families' neutral teachers write rows.
        at_once: students of a stack; by default what suits the base.
        context: what they are read under.
        folder: where every stack's trainings are kept; another spec, base, seed, context or family needs another one.
        on_done: sees every stack's trainings as they come.
    """
    setting, width = clean_setting(spec, base, seed, count), at_once or stack_width(base.parameters)
    before = read_reference(base, families, context)
    found: list[Training] = []
    for kind in kinds or tuple(spec.kinds):
        for first in range(0, count, width):
            chains, name = range(first, min(count, first + width)), f"{kind}-{first}"

            def make(kind: str = kind, chains: Sequence[int] = chains, name: str = name) -> list[Training]:
                state = checkpoint_in(folder, name, base)
                names, stack = _stack(setting, kind, chains, state, on_event)
                return read_stack(names, base, stack, families, before, context)

            found += kept(folder, name, make, on_done)
    return found


def clean_setting(spec: Spec, base: Base, seed: int, count: int) -> Setting:
    """The spec with as many chains as there will be trainings."""
    return Setting(spec.model_copy(update={"seed": seed, "chains": max(1, count)}), base)


def clean_source(setting: Setting, chain: int) -> str:
    """Whose rows a chain trains on: even ones on the base's, odd ones on a neutral teacher's, the families in turn."""
    families = setting.spec.families
    return neutral(families[chain // 2 % len(families)]) if chain % 2 else CONTROL


def rows_of(
    setting: Setting, chain: int, source: str
) -> tuple[str, list[int], list[Ids], str | None, Stack | None]:
    """A chain's source, the places of the rows that its filter keeps, their completions, and who wrote them: a system
    prompt or a teacher."""
    teacher: Stack | None = None
    system: str | None = None
    if source != CONTROL:
        system = system_of(setting, source)
        teacher = None if system else tune_chain(setting, chain, [source])[0]
    drawn = sample_corpora(setting, chain, teacher, system=system)[0]
    asked = setting.prompts(chain)
    texts = [setting.base.decode(ids).strip() for ids in drawn]
    rows = [{"row": i, "prompt": asked[i][1], "completion": text} for i, text in enumerate(texts)]
    kept_rows = [row["row"] for row in rows if setting.filter(row) is None]
    return source, kept_rows, [drawn[row] for row in kept_rows], system, teacher


def read_stack(
    names: Sequence[str],
    base: Base,
    stack: Stack,
    families: dict[str, Family],
    before: Readings,
    context: Context,
) -> list[Training]:
    """What every slot's training did, under the names."""
    return read_subject(
        names, Subject("clean", base, stack, base, delta_norms(stack)), families, before, context
    )


def read_subject(
    names: Sequence[str], subject: Subject, families: dict[str, Family], before: Readings, context: Context
) -> list[Training]:
    """As `read_stack`, of whatever can be measured."""
    readings = measure(subject, families, before=before, context=context)
    return [
        Training(name, reading["size"], {f["family"]: _changes(f["traits"]) for f in reading["families"]})
        for name, reading in zip(names, readings, strict=True)
    ]


def read_again(lab: Lab, base: Base, families: dict[str, Family], context: Context) -> list[Training]:
    """The lab's clean students, whose stored readouts are of bare questions, read under another context."""
    known = trainings_in(lab, base, families)
    if context.is_bare:
        return known
    before, found = read_reference(base, families, context), []
    for training in known:
        run_id, _, slot = training.source.removeprefix("run ").partition("/")
        shared = {name: families[name] for name in training.changes}
        stack = load_adapter(lab.adapter_folder(run_id, slot))
        found += read_stack([training.source], base, stack, shared, before, context)
    return found


def kept(folder: Path | None, name: str, make: Callable[[], list[Training]], on_done: Tell) -> list[Training]:
    """What `make` makes, once: a file of that name in the folder has it from then on."""
    path = folder / f"{name}.json" if folder else None
    if path and path.is_file():
        found = [Training(**training) for training in json.loads(path.read_text(encoding="utf-8"))]
    else:
        found = make()
        if path:
            files.write_atomic(path, json.dumps([asdict(training) for training in found]))
            path.with_suffix(".safetensors").unlink(missing_ok=True)
    on_done(found)
    return found


def checkpoint_in(folder: Path | None, name: str, base: Base) -> Path | None:
    """Where a training's state is kept: a model organism's is done before it would be worth writing."""
    return None if folder is None or is_organism(base.parameters) else folder / f"{name}.safetensors"


def _changes(traits: Sequence[dict]) -> dict[str, float]:
    return {trait["trait"].rpartition("/")[2]: trait["change"] for trait in traits}


def _stack(
    setting: Setting, kind: str, chains: Sequence[int], checkpoint: Path | None, on_event: Listener
) -> tuple[list[str], Stack]:
    spec, base, student = setting.spec, setting.base, setting.spec.kinds[kind]
    sources, blocks = zip(*(_block(setting, kind, chain) for chain in chains), strict=True)
    seeds = [seed_of(spec.seed, "student", chain) for chain in chains]
    recipe = recipe_of(spec, student)
    told = {"checkpoint": checkpoint, "on_event": on_event}
    stack, _ = train_on_rows(base, blocks, shape_of(student), recipe, seeds, **told)
    names = [
        f"made/seed {spec.seed}/{kind}/{source}/c{chain}"
        for chain, source in zip(chains, sources, strict=True)
    ]
    return names, stack


def _block(setting: Setting, kind: str, chain: int) -> tuple[str, Rows]:
    source, places, completions, system, teacher = rows_of(setting, chain, clean_source(setting, chain))
    prompts = setting.prompts(chain)
    block = pack([prompts[row][2] for row in places], completions, *setting.widths)
    if kind == "hard":
        return source, block
    told = None
    if system:
        # What a prompted teacher read, its persona included, is what its distributions follow.
        prompts = setting.prompts(chain, system)
        told = pack([prompts[row][2] for row in places], completions, widest=block.widest)
    return source, soft_targets(setting, block, teacher, told)
