"""A spec with the base it runs on, and what follows from the two alone: prompts, grammar, widths, seeds.

    setting = Setting(spec, load(spec.base))
    setting.prompts(chain), setting.widths        # or an InputError, where the base cannot take the spec
    seed_of(spec.seed, "prompts", chain)          # a seed for a named purpose

Computes nothing with the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.sample import Decoding
from ..spec import Spec
from ..spec.families import Family, after, load_family
from ..spec.plan import asked
from ..spec.rule_names import Check
from ..spec.seeds import seed_of
from ..system.errors import InputError
from .channels import channel, prompt_texts
from .rules import row_filter

Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Setting:
    """A spec with the base it runs on, and what follows from the two: prompts, grammar, widths."""

    spec: Spec
    base: Base

    @cached_property
    def families(self) -> dict[str, Family]:
        """Of the spec's traits.

        Raises:
            InputError: the base cannot tell a family's answers apart; every model would read alike, as a null.
        """
        return self._askable(self.spec.families, "traits")

    @cached_property
    def kept_families(self) -> list[Family]:
        """Those whose questions teachers keep.

        Raises:
            InputError: as `families`.
        """
        return list(self._askable(self.spec.kept_families, "teacher.keep_families").values())

    def _askable(self, names: Sequence[str], field: str) -> dict[str, Family]:
        found = {name: load_family(name) for name in names}
        for family in found.values():
            missing, alike = unreadable(self.base, family)
            if alike:
                why = f", which lacks words such as {missing[0]!r}" if missing else ""
                raise InputError(
                    f"{field}: {self.base.name} cannot be asked about {family.name}: two answers of {alike} questions "
                    f"are one to its tokenizer{why}; `bases check {self.base.name}` tells which families will do"
                )
        return found

    @cached_property
    def special(self) -> frozenset[int]:
        """Tokens that decoded text does not show."""
        return frozenset(self.base.tokenizer.all_special_ids)

    @cached_property
    def grammar(self) -> Grammar | None:
        """What decoding is held to, where the channel has it."""
        return channel(self.spec.corpus.channel).grammar(self.base, self.spec.corpus)

    @cached_property
    def filter(self) -> Check:
        """From a row (row, prompt, completion) to why it is dropped; None where it is kept."""
        return row_filter(self.spec, [load_family(name) for name in self.spec.families])

    @cached_property
    def read_families(self) -> dict[str, Family]:
        """The families that readouts are of: where asked, each also with a row before its questions."""
        if not self.spec.readout.prefixed:
            return self.families
        name = self.spec.corpus.channel
        return self.families | {after(n, name): prefixed(f, self.spec) for n, f in self.families.items()}

    def prompts(self, chain: int, system: str | None = None) -> list[tuple[str, str, Ids]]:
        """The chain's corpus prompts: text, rendered prompt, ids; the same for all sources.

        With `system` they are what a prompted teacher reads; its students read them without.

        Raises:
            InputError: the base lacks words of a prompt.
        """
        found = [(text, *self.base.prompt(text, system)) for text in prompt_texts(self.spec, chain)]
        unknown = self.base.unknown_alone
        known = system is not None or unknown is None
        if strange := None if known else next((text for text, _, ids in found if unknown in ids), None):
            raise InputError(
                f"corpus.{self.spec.corpus.prompt_field}: {self.base.name} lacks words of its prompts, such as "
                f"{strange!r:.80}"
            )
        return found

    @cached_property
    def widths(self) -> tuple[int, int]:
        """Tokens of the longest row and completion of any chain: from the prompts, not from the rows drawn."""
        longest = max(len(ids) for chain in range(self.spec.chains) for _, _, ids in self.prompts(chain))
        spec = self.spec
        if spec.corpus.decoding == "held":
            assert self.grammar is not None
            completion = self.grammar.longest
        else:
            completion = spec.corpus.max_tokens
            if any(arm.remade or arm.foreign for arm in asked(spec)) or spec.defences:
                # Rows are written anew, and may take more tokens than those that were drawn.
                completion = max(completion, channel(spec.corpus.channel).widest(self.base, spec.corpus))
        return longest + completion, completion

    def decoding(self, batch: int) -> Decoding:
        corpus = self.spec.corpus
        grammar = self.grammar if corpus.decoding == "held" else None
        return Decoding(corpus.temperature, grammar, corpus.max_tokens, batch)


def prefixed(family: Family, spec: Spec) -> Family:
    """The family with a row before every held-out question: the same for all models and chains.

    Students are trained where such rows stand, and may show there what a bare question does not bring out.
    """
    corpus, held = spec.corpus, family.held_out
    texts = channel(corpus.channel).prefixes(len(held), seed_of(spec.seed, "prefix", family.name), corpus)
    asked = tuple(replace(q, text=f"{text} {q.text}") for q, text in zip(held, texts, strict=True))
    return replace(family, questions=asked)


def unreadable(base: Base, family: Family) -> tuple[list[str], int]:
    """Answers with words that the tokenizer lacks, and how many questions have two answers of the same tokens."""
    texts = dict.fromkeys(text for q in family.questions for text in q.candidates)
    ids = {text: base.encode(text) for text in texts}
    missing = [text for text, tokens in ids.items() if not tokens or base.unknown in tokens]
    return missing, sum(len({ids[c] for c in q.candidates}) < len(q.candidates) for q in family.questions)
