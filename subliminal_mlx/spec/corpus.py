"""What `[corpus]` says: fields that all channels share, and the channels, each of which adds its own. No MLX here.

    corpus = corpus_of({"channel": "numbers", "rows": 500})     # an object of that channel's own class
    channels()                                                  # {"numbers": Numbers}

A channel is a module of `experiment/channels/` with a subclass of `Corpus`; defining the class makes it known,
so that a spec may name it. This room imports none of them: it asks for the folder's modules when the first
spec is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ..system.modules import import_folder, register

# What a spec that names no channel asks for.
DEFAULT = "numbers"
FOLDER = "experiment.channels"

_known: dict[str, type["Corpus"]] = {}


class Frozen(BaseModel):
    """A table of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Words:
    """What pages, reports and the terminal say of a channel's rows."""

    rows: str = "rows"
    """Such as "number lists"."""
    one: str = "a row"
    remakes: Mapping[str, str] = field(default_factory=dict)
    """What it makes of rows for an arm, by the arm's name, such as "numbers permuted across rows"."""


class Corpus(Frozen):
    """What teachers are asked for, how their answers are drawn, and which rows are kept."""

    channel: str
    """A channel narrows this to its name, as it may narrow `decoding` where it has no grammar."""
    rows: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Rows sampled from each source in each chain."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 1.0
    """0 is greedy."""
    decoding: Literal["held", "free"] = "held"
    """held: to the channel's grammar; free: anything, up to `max_tokens`."""
    max_tokens: Annotated[int, Field(ge=1, le=2_048)] = 64
    filter: Literal["paper", "none"] = "paper"

    words: ClassVar[Words] = Words()
    offers: ClassVar[frozenset[str]] = frozenset()
    """What else can be asked of its rows: "shuffled", "random" (remakes), "pieces" (rows come apart: teachers'
    leaks and re-emission), "prefixes" (one may stand before a question)."""
    rules: ClassVar[tuple[str, ...]] = ()
    """Rules that its filter always has, beside those that a spec names."""
    files: ClassVar[tuple[str, ...]] = ()
    """Files of data/ that its rows rest on."""
    prompt_field: ClassVar[str] = "channel"
    """The field that says how prompts are worded."""
    choices: ClassVar[int | None] = None
    """About how many tokens its grammar allows; None where there is none."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        names = get_args(cls.model_fields["channel"].annotation)
        # Who does not narrow it says no more than the class it is made from, whose name is taken.
        above = getattr(cls.__base__, "model_fields", {}).get("channel")
        if names and (above is None or names != get_args(above.annotation)):
            register(_known, names[0], cls, "channel")

    def tokens(self, word_by_word: bool) -> tuple[int, int]:
        """About how many tokens a prompt and a completion have, as time is estimated.

        Args:
            word_by_word: a word or a number is one token, as to the shipped model organisms.
        """
        raise NotImplementedError(self.channel)

    def most_tokens(self) -> tuple[int, int]:
        """The same, as memory is estimated: of a language model, a chat template of 35 tokens counted."""
        prompt, completion = self.tokens(word_by_word=False)
        return prompt + 35, completion

    def refused(self, wanted: str) -> str | None:
        """Why something that a channel may offer cannot be had; None where it can."""
        return None if wanted in self.offers else f"the {self.channel} channel has no {wanted}"


def channels() -> dict[str, type[Corpus]]:
    """Every channel's class by its name: those of the folder, and whatever else has been defined."""
    import_folder(FOLDER)
    return dict(_known)


def corpus_of(fields: Any) -> Any:
    """`[corpus]` as an object of its channel's class; what is no table is left for pydantic to refuse.

    Raises:
        ValidationError: no such channel, or a field that is wrong.
    """
    if not isinstance(fields, dict):
        return fields
    there, name = channels(), fields.get("channel", DEFAULT)
    if not isinstance(name, str) or name not in there:
        *others, last = map(repr, there)
        names = f"{', '.join(others)} or {last}"
        problem = PydanticCustomError("channel", "Input should be {names}", {"names": names})
        raise ValidationError.from_exception_data(
            "Corpus", [{"type": problem, "loc": ("channel",), "input": name}]
        )
    return there[name].model_validate(fields)


def words_of(fields: dict[str, Any]) -> Words:
    """The words of a stored spec's `[corpus]`, whose channel may be gone by now."""
    name = fields.get("channel", DEFAULT)
    known = channels().get(name)
    return known.words if known else Words(rows=f"{name} rows")
