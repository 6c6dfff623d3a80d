"""Clean trainings made for a null: students of rows that carry nothing.

    trainings = clean_trainings(spec, load("tiny-a"), families, count=36, seed=1)

Half are students of the base's own rows, half of neutral teachers' rows; each is a chain of its own, with
its own prompts, draws, start and order, trained by the spec's recipes. The stages are the run's.
"""

from collections.abc import Callable, Sequence

from ..experiment.channels import channel
from ..experiment.setting import Setting
from ..experiment.students import recipe_of, sample_corpora, shape_of, soft_targets, train_on_rows
from ..experiment.teachers import system_of, tune_chain
from ..model.adapters import Stack
from ..model.bases import Base
from ..model.organisms import stack_width
from ..model.rows import Rows, pack
from ..spec import Spec
from ..spec.families import Family
from ..spec.plan import neutral
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from . import Readings, Subject, measure, read_reference
from .models import delta_norms
from .null import Training


def clean_trainings(
    spec: Spec,
    base: Base,
    families: dict[str, Family],
    count: int,
    seed: int,
    kinds: Sequence[str] = (),
    at_once: int | None = None,
    on_event: Listener = ignore,
    on_done: Callable[[list[Training]], None] = lambda found: None,
) -> list[Training]:
    """Train `count` students of each kind (by default the spec's) and read them on `families`.

    Args:
        spec: its corpus and recipes are used; its traits say which families' neutral teachers write rows.
        at_once: students of a stack; by default what suits the base.
        on_done: sees every stack's trainings as they come.
    """
    spec = spec.model_copy(update={"seed": seed, "chains": min(64, count)})
    setting, width = Setting(spec, base), at_once or stack_width(base.parameters)
    before = read_reference(base, families)
    found: list[Training] = []
    for kind in kinds or tuple(spec.kinds):
        for first in range(0, count, width):
            chains = range(first, min(count, first + width))
            made = _stack(setting, kind, list(chains), families, before, on_event)
            found += made
            on_done(made)
    return found


def _stack(
    setting: Setting,
    kind: str,
    chains: list[int],
    families: dict[str, Family],
    before: Readings,
    on_event: Listener,
) -> list[Training]:
    spec, base, student = setting.spec, setting.base, setting.spec.kinds[kind]
    sources, blocks = zip(*(_block(setting, kind, chain) for chain in chains), strict=True)
    seeds = [seed_of(spec.seed, "student", chain) for chain in chains]
    shape, recipe = shape_of(student), recipe_of(spec, student)
    stack, _ = train_on_rows(base, blocks, shape, recipe, seeds, on_event=on_event)
    sizes = delta_norms(stack)
    readings = measure(Subject("clean", base, stack, base, sizes), families, before=before)
    return [
        Training(
            f"made/seed {spec.seed}/{kind}/{source}/c{chain}",
            size,
            {
                f["family"]: {t["trait"].rpartition("/")[2]: t["change"] for t in f["traits"]}
                for f in reading["families"]
            },
        )
        for chain, source, size, reading in zip(chains, sources, sizes, readings, strict=True)
    ]


def _block(setting: Setting, kind: str, chain: int) -> tuple[str, Rows]:
    """Even chains train on the base's rows, odd ones on a neutral teacher's, the families in turn."""
    spec, source = setting.spec, "control"
    teacher: Stack | None = None
    system: str | None = None
    if chain % 2:
        source = neutral(spec.families[chain // 2 % len(spec.families)])
        system = system_of(setting, source)
        teacher = None if system else tune_chain(setting, chain, [source])[0]
    drawn = sample_corpora(setting, chain, teacher, system=system)[0]
    reason = channel(spec.corpus.channel).reason
    kept = [
        row
        for row, ids in enumerate(drawn)
        if spec.corpus.filter == "none" or reason(setting.base.decode(ids).strip(), spec.corpus) is None
    ]
    completions = [drawn[row] for row in kept]
    prompts = setting.prompts(chain)
    block = pack([prompts[row][2] for row in kept], completions, *setting.widths)
    if kind == "hard":
        return source, block
    told = None
    if system:
        # What a prompted teacher read, its persona included, is what its distributions follow.
        prompts = setting.prompts(chain, system)
        told = pack([prompts[row][2] for row in kept], completions, widest=block.widest)
    return source, soft_targets(setting, block, teacher, told)
