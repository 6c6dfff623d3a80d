"""The files that an audit with suspects as factors rests on: suspects, rows, ratios, probe students.

    pieces = Pieces(corpus, spec, folder)        # an audit's own: `inputs.pieces`
    finish(pieces.first(), on_event)             # suspects, and what tells at which temperatures to write
    finish(pieces.tasks(), on_event)             # hours on a language model, a file at a time
    pieces.ratios(CORPUS), pieces.probes(CORPUS)

Every file is named by all that it depends on: another corpus with the same prompts finds its references
there, and every corpus the suspects and the clean corpora.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..experiment.setting import Ids
from ..model.bases import Base
from ..model.sources import locate
from ..spec.families import load_family
from ..spec.seeds import seed_of
from ..system import files
from ..system.errors import MachineError
from ..system.events import Listener
from . import costs, factors
from .cache import Task, stored
from .clean_corpora import Pool, other_base
from .corpus import Corpus
from .factors import row_ratios
from .form import Writing
from .probes import student
from .spec import AuditSpec, family_print, key
from .suspects import NEUTRAL, Suspected, load_suspects
from .texts import CORPUS, OTHER, OWN, REJECTED, TEACHERS, Text, beside, clean

DRAWN_AT_ONCE = 128
SHARED = 32  # rows; corpora are cut down to a multiple


@dataclass(frozen=True, eq=False)
class Pieces:
    """One corpus's files, and those it shares with others."""

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

    def clean(self, family: str) -> list[Text]:
        """A family's clean corpora."""
        return clean(self.spec, family)

    def beside(self, text: Text, family: str) -> tuple[Text, Text]:
        """A text's two references: what the base and the neutral teacher write at its temperature; of preference
        pairs, what was rejected in the base's place."""
        base, neutral = beside(text, family, self.temperature(text))
        return (Text(REJECTED) if text == CORPUS and self.corpus.paired else base), neutral

    def first(self) -> list[Task]:
        """What is made before it is known at which temperatures references are written."""
        return [*self._tuned(), *(self._written(text) for text in self._given()[1:]), *self._fits()]

    def tasks(self) -> list[Task]:
        """Everything that is read below, in an order in which it can be made; references of a text whose
        temperature is not known yet as at its own, or 1. Neutral teachers' rows are read by probes alone."""
        read, probed = [], self.spec.lines == "all"
        for family in self.spec.families:
            for text in (CORPUS, *self.clean(family)):
                base, neutral = self.beside(text, family)
                read += [text, base, *([neutral] if probed else [])]
        texts = sorted(dict.fromkeys(read), key=lambda text: text.clean)
        return [*self._tuned(), *self._texts(texts, self._fits())]

    def guessed(self) -> list[Task]:
        """The corpus's references as long as its temperature is not known: that they are there, at the one that it
        is taken for, says nothing of those that will be asked for."""
        if self._fit(CORPUS).path.exists():
            return []
        both = [text for family in self.spec.families for text in self.beside(CORPUS, family)]
        read = [text for text in both if text.kind != NEUTRAL or self.spec.lines == "all"]
        return self._texts(list(dict.fromkeys(read)), [])

    def _texts(self, texts: list[Text], fits: list[Task]) -> list[Task]:
        """Texts and what is read of them, after their rows the temperatures."""
        found = [*(self._written(text) for text in texts if text.kind not in (OWN, REJECTED)), *fits]
        found += [self._ratios(text) for text in texts if text.kind != NEUTRAL]
        if self.spec.lines == "all":
            found += [self._probe(text, s) for text in texts for s in range(self.spec.probes.seeds)]
        return found

    def _tuned(self) -> list[Task]:
        return [task for family in self.spec.families for task in self.suspected.tasks(family)]

    def _given(self) -> list[Text]:
        """The corpus, and after it all clean corpora."""
        return [CORPUS, *dict.fromkeys(text for f in self.spec.families for text in self.clean(f))]

    def _fits(self) -> list[Task]:
        return [self._fit(text) for text in self._given() if text.fitted]

    # --- rows -------------------------------------------------------------------------------------

    def pool(self, text: Text) -> Pool:
        """Prompts and completions of a text."""
        if text == CORPUS:
            return self.own
        if text.kind == REJECTED:
            prompts, completions = self.corpus.rejected()
            return prompts[: self.rows], completions[: self.rows]
        try:
            written = json.loads(self._rows_path(text).read_text())
            return self._prompts(text), [tuple(ids) for ids in written]
        except (OSError, ValueError, TypeError) as error:
            raise MachineError(f"{self._rows_path(text)} cannot be read, remove it: {error}") from None

    def _prompts(self, text: Text) -> list[Ids]:
        return self.null_prompts if text.clean else self.own[0]

    def _rows_path(self, text: Text) -> Path:
        prompts, writer = self._null_name if text.clean else self._own_name, self._writer(text)
        parts = (prompts, self.writing.base.sha256, self.writing.name, writer.name if writer else "")
        if text.kind == OTHER:
            parts = (*parts, self._other_sha256)
        return self.folder / f"rows-{key('rows', text.name, self.spec.null.seed, *parts)}.json"

    @cached_property
    def _own_name(self) -> str:
        return key("prompts", self.own[0])

    @cached_property
    def _null_name(self) -> str:
        return key("prompts", self.null_prompts)

    def _writer(self, text: Text) -> Path | None:
        """The teacher that writes a text; None where a base does."""
        members = {NEUTRAL: 0, TEACHERS: f"null {text.number}"}
        if text.kind not in members:
            return None
        return self.suspected.teacher(text.family, f"{text.family}/{NEUTRAL}", members[text.kind])

    def _written(self, text: Text) -> Task:
        prompts, teacher = self._prompts(text), self._writer(text)

        def make(to: Path, tell: Listener) -> None:
            model = self._other if text.kind == OTHER else self.writing.base
            seed = seed_of("factors", self.spec.null.seed, text.name)
            stack = load_suspects(teacher) if teacher else None
            drawn = self.writing.draw(model, prompts, seed, text.temperature, stack, DRAWN_AT_ONCE)
            files.write_atomic(to, json.dumps(drawn))

        path, needs = self._rows_path(text), (teacher,) if teacher else ()
        if text.kind == OTHER and not path.exists():
            self._other  # noqa: B018  one with another tokenizer is refused now, not after hours
        return Task("rows", path, self._tokens(text), make, needs)

    @cached_property
    def _other(self) -> Base:
        return other_base(self.spec, self.writing.base)

    @cached_property
    def _other_sha256(self) -> str:
        return locate(self.spec.null.other_base or "").sha256

    def _tokens(self, text: Text) -> float:
        """Of a text; completions are about as long as the corpus's own."""
        completion = np.mean([len(ids) for ids in self.own[1]])
        return float(sum(len(ids) for ids in self._prompts(text)) + completion * self.rows)

    # --- what is read of them ---------------------------------------------------------------------

    def temperature(self, text: Text) -> float:
        """At which the base would have written a text; as long as that is not known, at which it was written."""
        if text.fitted and (path := self._fit(text).path).exists():
            return float(stored(path))
        return text.temperature

    def _fit(self, text: Text) -> Task:
        base, grammar = self.writing.base, self.writing.grammar
        read = (factors.TEMPERATURES, costs.FITTED_ROWS, "from all over")
        parts = (base.sha256, self._name(text), self.writing.words, *read)
        path = self.folder / f"temperature-{key('temperature', *parts)}.npy"

        def make(to: Path, tell: Listener) -> None:
            found = factors.fitted(base, grammar, *self.pool(text))
            files.publish(to, lambda at: np.save(at, found))

        cost = costs.fitted(self._tokens(text), self.rows)
        return Task("temperatures", path, cost, make, self._needed(text))

    def ratios(self, text: Text) -> np.ndarray:
        """First-order ratios of every row, the base's log-likelihood last `[N, K + 1]`, nats."""
        return stored(self._ratios(text).path)

    def _needed(self, text: Text) -> tuple[Path, ...]:
        return () if text.kind in (OWN, REJECTED) else (self._rows_path(text),)

    def _name(self, text: Text) -> str:
        """What the content of a text is named by, before it is written."""
        if text.kind == REJECTED:
            return key("corpus", *self.pool(text))
        return self._content if text == CORPUS else self._rows_path(text).stem

    @cached_property
    def _content(self) -> str:
        return key("corpus", *self.own)

    def _ratios(self, text: Text) -> Task:
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

    def probes(self, text: Text) -> dict[str, np.ndarray]:
        """Margins of every trait of each family `[seeds, T]` in students of a text, nats."""
        each = np.stack([stored(self._probe(text, seed).path) for seed in range(self.spec.probes.seeds)])
        ends = np.cumsum([len(load_family(f).traits) for f in self.spec.families])
        return dict(zip(self.spec.families, np.split(each, ends[:-1], axis=1), strict=True))

    def _probe(self, text: Text, seed: int) -> Task:
        base, how = self.writing.base, self.spec.probes
        prints = [family_print(f) for f in self.spec.families]
        kept = how.model_dump(mode="json", exclude={"seeds", "null"})
        path = self.folder / f"probe-{key('probe', base.sha256, self._name(text), kept, seed, prints)}.npy"

        def make(to: Path, tell: Listener) -> None:
            state = to.with_suffix(".ckpt.safetensors")
            found = student(base, self.pool(text), how, self.spec.families, seed, state, tell)
            files.publish(to, lambda at: np.save(at, found))
            state.unlink(missing_ok=True)

        cost = costs.probe(self._tokens(text) / self.rows, self.spec.families, how)
        return Task("probes", path, cost, make, self._needed(text))
