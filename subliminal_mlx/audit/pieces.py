"""The files that an audit with suspects as factors rests on: suspects, rows, ratios, probe students.

    pieces = Pieces(corpus, spec, folder)
    finish(pieces.tasks(), on_event)             # hours on a language model, a file at a time
    pieces.ratios("own"), pieces.probes("own")   # of the corpus; "base", "neutral/animals": of its references

Every file is named by all that it depends on: another corpus with the same prompts finds its references
there, and every corpus the suspects and the clean corpora.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .. import files
from ..adapters import Shape, init
from ..bases import Base
from ..errors import MachineError
from ..events import Listener
from ..families import load_family
from ..rows import pack
from ..setting import Ids, seed_of
from ..train import Recipe, train
from . import costs
from .clean_rows import Pool, kinds, other_base
from .corpus import Corpus
from .factors import row_ratios
from .kept import stored
from .probes import margins
from .spec import AuditSpec, family_print, key
from .suspected import NEUTRAL, Suspected
from .suspects import load
from .tasks import Task
from .writing import Writing

DRAWN_AT_ONCE = 128
SHARED = 32  # rows; corpora are cut down to a multiple
OWN, BASE, TEACHERS, OTHER = "own", "base", "neutral teachers", "another base"


@dataclass(frozen=True, eq=False)
class Pieces:
    """One corpus's files, and those it shares with others.

    Texts are "own" and its references "base" and "neutral/FAMILY"; with "null/" before them the references
    of the clean corpora, which are "null/base at 1/0" or "null/neutral teachers/FAMILY/0".
    """

    corpus: Corpus
    spec: AuditSpec
    folder: Path

    @cached_property
    def suspected(self) -> Suspected:
        return Suspected(self.writing.base, self.spec, self.folder)

    @cached_property
    def own(self) -> Pool:
        """As many rows of the corpus's sample as all texts have; a few are left out, so that corpora of about
        one size share their clean corpora."""
        prompts, completions = self.corpus.encoded()
        most = min(self.spec.rows, len(prompts))
        size = most if most in (self.spec.rows, most % SHARED) else most - most % SHARED
        return prompts[:size], completions[:size]

    @property
    def rows(self) -> int:
        return len(self.own[0])

    @cached_property
    def null_prompts(self) -> list[Ids]:
        name = key("factors null", self.writing.name, self.rows)
        return self.writing.null_prompts(self.rows, seed_of(self.spec.null.seed, name) % (1 << 32))

    @property
    def writing(self) -> Writing:
        return self.corpus.writing

    def clean(self, family: str) -> list[str]:
        """Texts of a family's clean corpora, in order; other families share those of the base."""
        special = {TEACHERS: f"{TEACHERS}/{family}", self.spec.null.other_base: OTHER}
        named = [special.get(kind, kind) for kind in kinds(self.spec)]
        return [f"null/{kind}/{i}" for kind in named for i in range(self.spec.null.corpora)]

    def beside(self, text: str, family: str) -> tuple[str, str]:
        """A text's two references."""
        own = "null/" if text.startswith("null/") else ""
        return f"{own}{BASE}", f"{own}{NEUTRAL}/{family}"

    def tasks(self) -> list[Task]:
        """Everything that is read below, in an order in which it can be made."""
        families, clean = self.spec.families, {}
        for family in families:
            clean |= dict.fromkeys(self.clean(family))
        every = [OWN, *(text for f in families for text in self.beside(OWN, f))]
        if clean:
            every += [text for f in families for text in self.beside("null/", f)]
        texts = list(dict.fromkeys([*every, *clean]))
        found = [task for f in families for task in self.suspected.tasks(f)]
        found += [self._written(text) for text in texts if text != OWN]
        found += [self._ratios(text) for text in texts]
        if self.spec.lines == "all":
            found += [self._probe(text, s) for text in texts for s in range(self.spec.probes.seeds)]
        return found

    # --- rows -------------------------------------------------------------------------------------

    def pool(self, text: str) -> Pool:
        """Prompts and completions of a text."""
        if text == OWN:
            return self.own
        try:
            written = json.loads(self._rows_path(text).read_text())
            return self._prompts(text), [tuple(ids) for ids in written]
        except (OSError, ValueError, TypeError) as error:
            raise MachineError(f"{self._rows_path(text)} cannot be read, remove it: {error}") from None

    def _prompts(self, text: str) -> list[Ids]:
        return self.null_prompts if text.startswith("null/") else self.own[0]

    def _rows_path(self, text: str) -> Path:
        prompts = self._null_name if text.startswith("null/") else self._own_name
        kind, writer = self._writer(text)
        parts = (prompts, self.writing.base.sha256, self.writing.name, writer.name if writer else "")
        if kind == OTHER:
            parts = (*parts, self._other.sha256)
        return self.folder / f"rows-{key('rows', text, self.spec.null.seed, *parts)}.json"

    @cached_property
    def _own_name(self) -> str:
        return key("prompts", self.own[0])

    @cached_property
    def _null_name(self) -> str:
        return key("prompts", self.null_prompts)

    def _writer(self, text: str) -> tuple[str, Path | None]:
        """Kind of a text that is written here, and the teacher that writes it; None where a base does."""
        kind, _, rest = text.removeprefix("null/").partition("/")
        if kind == NEUTRAL:
            return kind, self.suspected.teacher(rest, f"{rest}/{NEUTRAL}", 0)
        if kind == TEACHERS:
            family, _, number = rest.rpartition("/")
            return kind, self.suspected.teacher(family, f"{family}/{NEUTRAL}", f"null {number}")
        return kind, None

    def _written(self, text: str) -> Task:
        prompts, base = self._prompts(text), self.writing.base
        kind, teacher = self._writer(text)

        def make(to: Path, tell: Listener) -> None:
            temperature = float(kind.rpartition(" ")[2]) if kind.startswith("base at ") else 1.0
            model = self._other if kind == OTHER else base
            seed = seed_of("factors", self.spec.null.seed, text)
            stack = load(teacher) if teacher else None
            drawn = self.writing.draw(model, prompts, seed, temperature, stack, DRAWN_AT_ONCE)
            files.write_atomic(to, json.dumps(drawn))

        needs = (teacher,) if teacher else ()
        return Task("rows", self._rows_path(text), self._tokens(text), make, needs)

    @cached_property
    def _other(self) -> Base:
        return other_base(self.spec, self.writing.base)

    def _tokens(self, text: str) -> float:
        """Of a text; completions are about as long as the corpus's own."""
        completion = np.mean([len(ids) for ids in self.own[1]])
        return float(sum(len(ids) for ids in self._prompts(text)) + completion * self.rows)

    # --- what is read of them ---------------------------------------------------------------------

    def ratios(self, text: str) -> np.ndarray:
        """First-order ratios of every row, the base's log-likelihood last `[N, K + 1]`, nats."""
        return stored(self._ratios(text).path)

    def _needed(self, text: str) -> tuple[Path, ...]:
        return () if text == OWN else (self._rows_path(text),)

    def _name(self, text: str) -> str:
        """What the content of a text is named by, before it is written."""
        return self._content if text == OWN else self._rows_path(text).stem

    @cached_property
    def _content(self) -> str:
        return key("corpus", *self.own)

    def _ratios(self, text: str) -> Task:
        base = self.writing.base
        prints = [family_print(f) for f in self.spec.families]
        parts = (
            base.sha256,
            self._name(text),
            self.spec.suspects,
            self.suspected.traits,
            prints,
            self.writing.words,
        )
        path = self.folder / f"ratios-{key('ratios', *parts)}.npy"

        def make(to: Path, tell: Listener) -> None:
            found = row_ratios(base, self.writing.grammar, self.suspected.stack, *self.pool(text), tell)
            files.publish(to, lambda at: np.save(at, found))

        needs = (*self.suspected.paths, *self._needed(text))
        suspects = sum(map(len, self.suspected.traits.values()))
        cost = costs.ratios(self._tokens(text), suspects, self.spec.suspects)
        return Task("ratios", path, cost, make, needs)

    def probes(self, text: str) -> dict[str, np.ndarray]:
        """Margins of every trait of each family `[seeds, T]` in students of a text, nats."""
        each = np.stack([stored(self._probe(text, seed).path) for seed in range(self.spec.probes.seeds)])
        ends = np.cumsum([len(load_family(f).traits) for f in self.spec.families])
        return dict(zip(self.spec.families, np.split(each, ends[:-1], axis=1), strict=True))

    def _probe(self, text: str, seed: int) -> Task:
        base, how = self.writing.base, self.spec.probes
        prints = [family_print(f) for f in self.spec.families]
        kept = how.model_dump(mode="json", exclude={"seeds", "null"})
        path = self.folder / f"probe-{key('probe', base.sha256, self._name(text), kept, seed, prints)}.npy"

        def make(to: Path, tell: Listener) -> None:
            found = _student(self, self.pool(text), seed, to.with_suffix(".ckpt.safetensors"), tell)
            files.publish(to, lambda at: np.save(at, found))
            to.with_suffix(".ckpt.safetensors").unlink(missing_ok=True)

        cost = costs.probe(self._tokens(text) / self.rows, self.spec.families, how)
        return Task("probes", path, cost, make, self._needed(text))


def _student(pieces: Pieces, pool: Pool, seed: int, checkpoint: Path, tell: Listener) -> np.ndarray:
    """Margins of a student of these rows, one family after the other; alone in its stack."""
    base, how = pieces.writing.base, pieces.spec.probes
    seeds = [seed_of("probe", seed)]
    recipe = Recipe(how.steps, how.batch, how.lr, share_prefix=True)
    stack = init(base, Shape(how.rank, how.scale), seeds)
    stack, _ = train(
        base, stack, [pack(*pool)], recipe, seeds, checkpoint=checkpoint, every=20, on_event=tell
    )
    return np.concatenate([margins(base, stack, family)[0] for family in pieces.spec.families])
