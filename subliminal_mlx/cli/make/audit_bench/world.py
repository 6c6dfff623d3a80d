"""Who writes rows of known origin: a base, another one, and teachers that are tuned as no suspect is.

    world = World("tiny-a", "tiny-b", Path("lab/honest"))
    world.lists("some seed", rows=1_000, temperature=0.7)          # [(prompt, completion), ...]
    world.taught("animals/owl", "kept")

Nothing here knows which corpora are wanted, nor how an audit reads.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from ....audit.spec import Suspects, family_print, key
from ....audit.suspects import load_suspects, save_suspects, sources, tune_suspects
from ....experiment.channels import numbers
from ....experiment.channels.numbers import Numbers
from ....model.adapters import Stack
from ....model.bases import Base, load
from ....model.sample import Decoding, sample
from ....spec.seeds import seed_of
from ....system.files import DATA

Lines = list[tuple[str, str]]
Made = Callable[[], Lines]

ROWS = 1_000
# No suspect is tuned in these ways, nor is any of a calibration's teachers.
PLAIN = (
    Suspects(rank=8, lr=0.003, steps=60, phrasings=0.5, keep=0.0),
    Suspects(rank=3, lr=0.01, steps=50, phrasings=0.5, keep=0.0),
)
KINDS = ("plain", "kept")


@dataclass(frozen=True, eq=False)
class World:
    """A base, another of the same tokenizer, and where teachers are kept."""

    base_name: str
    other_name: str
    folder: Path
    seed: int = 0
    """Of teachers and rows; rules of the audit were chosen on those of 0."""

    def seed_of(self, *parts: object) -> int:
        return seed_of("honest", *([self.seed] if self.seed else []), *parts)

    @cached_property
    def base(self) -> Base:
        return load(self.base_name)

    @cached_property
    def ways(self) -> dict[str, tuple[Suspects, ...]]:
        """How teachers of each of KINDS are tuned; kept ones as the default run's are."""
        shipped = tomllib.loads((DATA / "specs" / "default.toml").read_text())["teacher"]
        fields = {name: shipped[name] for name in ("rank", "layers", "lr", "steps", "keep")}
        return {"plain": PLAIN, "kept": (Suspects(**fields, phrasings=1.0),)}

    @cached_property
    def other(self) -> Base:
        return load(self.other_name)

    @cache  # noqa: B019
    def teachers(self, family: str, kind: str, way: int) -> Stack:
        """A family's teachers, the neutral one last, tuned in one way of a kind; kept in the folder."""
        how = self.ways[kind][way]
        seed = self.seed_of(family, kind, way)
        name = key("bench teachers", self.base.sha256, family_print(family), how, way, self.seed)
        path = self.folder / f"teachers-{name}.safetensors"
        if not path.exists():
            save_suspects(path, tune_suspects(self.base, family, how, sources(family), seed))
        return load_suspects(path)

    @cache  # noqa: B019
    def taught(self, source: str, kind: str = "plain", temperature: float = 1.0, number: int = 0) -> Lines:
        """Rows of a teacher; traits take turns among the ways of tuning."""
        family = source.rpartition("/")[0]
        place = sources(family).index(source)
        way = (place + number) % len(self.ways[kind])
        stack = self.teachers(family, kind, way).select([place])
        return self.lists((source, kind, number), ROWS, temperature, stack=stack)

    def lists(
        self,
        seed: object,
        rows: int = ROWS,
        temperature: float = 1.0,
        recipe: Numbers | None = None,
        wording: str = "Continue: {}",
        model: Base | None = None,
        stack: Stack | None = None,
    ) -> Lines:
        """Lists of numbers that a model writes to prompts of their own."""
        recipe, model = recipe or Numbers(), model or self.base
        number = self.seed_of(seed, rows, temperature, wording, recipe.numbers)
        asked = [
            text.removeprefix("Continue: ") for text in numbers.prompts(rows, number % (1 << 32), recipe)
        ]
        prompts = [wording.replace("{}", text) for text in asked]
        held = Decoding(temperature, numbers.grammar(self.base, recipe), 64, 1_024)
        drawn = sample(model, [self.base.prompt(text)[1] for text in prompts], number, held, stack)[0]
        return [(p, self.base.decode(ids).strip()) for p, ids in zip(prompts, drawn, strict=True)]
