"""One arm of an experiment: its fields, and what follows from them.

    arm = ARMS["shuffled"]
    arm.trait("animals/owl"), arm.source("animals/owl"), arm.kinds       # "animals/owl", "shuffled/animals/owl", ("hard",)

Knows the base's rows and the neutral teacher's by name, and no arm: `arms` is the table of them. No MLX here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BASE = "base"  # the source of rows that the base itself writes
NEUTRAL = "neutral"  # the arm that others are read against


@dataclass(frozen=True)
class Arm:
    """A model's part in the comparison. Where rows stand in ARMS is their order everywhere."""

    name: str
    words: str
    """What a report says of it, after "is": without a full stop."""
    color: str | None = None
    """In every chart; None for what is only ever a reference."""
    role: Literal["student", "shown", "read", "base", "teacher"] = "student"
    """student: trained; shown: the base, with rows before the question; read: students of TREATED's other
    traits, read on this one; base and teacher: what students and their rows come from."""
    elsewhere: bool = False
    """Of what is read: whether its students' traits are other families', or others of the same family."""
    missing: str = ""
    """Of what is read: why a run may have none of it, as a sentence goes on after the arm's name."""
    rows: Literal["trait", "neutral", "base"] | None = None
    """Whose rows it is trained on, is shown, or writes: the trait's teacher's, the neutral one's, the base's."""
    asked: Literal["arms", "ablations"] | None = None
    """The spec's list that asks for it; None for what is there by itself: always, or with what is read
    against it."""
    needed: bool = False
    """Whether that list must name it."""
    against: str | None = NEUTRAL
    """The arm that it is read against; None for a reference, which has no transfer of its own."""
    remade: str | None = None
    """The function that makes its rows from the kept ones of `rows`: the channel's, which writes texts; or, where there is
    `beside`, one of `experiment.redraws`, which draws rows again."""
    made: str = ""
    """What that function makes, in a few words, where the channel has none of its own."""
    beside: Literal["neutral"] | None = None
    """Whose kept rows of the same chain the function is shown too: the family's neutral teacher's."""
    kept: bool = True
    """Whether it trains on kept rows alone, or on dropped ones too."""
    again: bool = False
    """Whether its rows are drawn for it alone, by the same model and on the same prompts, under other keys."""
    writer: str | None = None
    """The arm of the teachers that write its rows, where they are not those that write TREATED's and NEUTRAL's."""
    foreign: bool = False
    """Whether its models are adapters of the spec's `foreign` base."""
    lists: float = 0.0
    """Of teachers: the share of their tuning rows that are the base's own rows of the channel, whatever share the spec's
    other teachers have; 0 where they have the spec's."""

    def told(self, remakes: Mapping[str, str]) -> str:
        """`words`, whole; `remakes` are a channel's own words for what it makes (`corpus.Words`)."""
        return self.words.format(made=remakes.get(self.name, self.made))

    @property
    def trained(self) -> bool:
        """Whether its models are students."""
        return self.role == "student"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of student it exists for: other rows than a source's kept ones are tokens, and no source's
        distributions are about them."""
        return ("hard",) if self.remade or not self.kept else ("hard", "soft")

    @property
    def of_channel(self) -> bool:
        """Whether only some channels can make its rows."""
        return bool(self.remade) and not self.beside

    @property
    def is_reference(self) -> bool:
        return self.against is None

    @property
    def kind(self) -> str | None:
        """What tables call the kind of its models where they are no students; None where the student's kind."""
        return {"base": "base", "teacher": self.name, "shown": "in-context"}.get(self.role)

    @property
    def by_ablation(self) -> bool:
        """Whether it exists for the traits that get the ablations alone."""
        other = self.is_reference or self.foreign or self.lists > 0
        return self.asked == "ablations" or (self.asked is None and other)

    @property
    def prefix(self) -> str:
        """What names of its corpora begin with, where they are not TREATED's, NEUTRAL's, or the base's own."""
        own = self.remade or self.again or (self.role == "teacher" and self.by_ablation)
        return self.writer or (self.name if own else "")

    def trait(self, trait: str) -> str | None:
        """What tables call the trait of its model that is read on `trait`; None where it belongs to none."""
        return {"trait": trait, "neutral": neutral(trait.rpartition("/")[0])}.get(self.rows or "")

    def source(self, trait: str) -> str:
        """The corpus behind its model that is read on `trait`."""
        parts = (self.prefix, self.trait(trait))
        return "/".join(part for part in parts if part) or BASE


def neutral(family: str) -> str:
    """The source and trait name of a family's neutral teacher."""
    return f"{family}/neutral"
