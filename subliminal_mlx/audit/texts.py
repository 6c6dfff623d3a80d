"""The texts that an audit on a language model reads, and who writes those that it does not get.

clean(spec, "animals")                       # the texts of a family's clean corpora
beside(text, "animals", 0.9)                 # its references, of the base and of the neutral teacher
"""

from dataclasses import dataclass, replace

from .clean_corpora import kinds
from .spec import AuditSpec
from .suspects import NEUTRAL

OWN, BASE, TEACHERS, OTHER = "own", "base", "neutral teachers", "another base"
# Of preference pairs, what stands in the place of the base's rows.
REJECTED = "rejected"


@dataclass(frozen=True)
class Text:
    """Rows to the corpus's prompts, or, `clean`, to those that clean corpora share."""

    kind: str
    """OWN; BASE, NEUTRAL or REJECTED, which others are read against; BASE, TEACHERS or OTHER with a number: a clean corpus."""
    family: str = ""
    """Of the teacher that writes it."""
    temperature: float = 1.0
    number: int | None = None
    clean: bool = False

    @property
    def name(self) -> str:
        """Such as "own", "neutral at 0.9/animals", "null/base at 1/0"."""
        plain = self.temperature == 1 and (self.kind != BASE or self.number is None)
        kind = self.kind if plain else f"{self.kind} at {self.temperature:g}"
        parts = ["null"] * self.clean + [kind] + [self.family] * bool(self.family)
        return "/".join([*parts, *([] if self.number is None else [str(self.number)])])

    @property
    def label(self) -> str:
        """The kind of a clean corpus, in words."""
        return f"{BASE} at {self.temperature:g}" if self.kind == BASE else self.kind

    @property
    def fitted(self) -> bool:
        """Whether its temperature is to be read off its rows: a corpus's, and so that of clean corpora too, also
        where we know it. A null goes through what a corpus goes through."""
        return self.kind == OWN or self.number is not None


CORPUS = Text(OWN)


def clean(spec: AuditSpec, family: str) -> list[Text]:
    """A family's clean corpora, in order; other families share those of the base."""
    found = []
    for kind in kinds(spec):
        if kind == TEACHERS:
            text = Text(TEACHERS, family, clean=True)
        elif kind == spec.null.other_base:
            text = Text(OTHER, clean=True)
        else:
            text = Text(BASE, temperature=float(kind.rpartition(" ")[2]), clean=True)
        found += [replace(text, number=i) for i in range(spec.null.corpora)]
    return found


def beside(text: Text, family: str, temperature: float) -> tuple[Text, Text]:
    """A text's two references, at the temperature that fits it."""
    base = Text(BASE, temperature=temperature, clean=text.clean)
    return base, replace(base, kind=NEUTRAL, family=family)
