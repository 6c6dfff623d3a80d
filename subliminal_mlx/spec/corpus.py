"""What `[corpus]` says: fields that all channels share, and the channels, each of which adds its own. No MLX here.

    corpus = corpus_of({"channel": "numbers", "rows": 500})     # an object of that channel's own class
    channels()                                                  # {"numbers": Numbers}

A channel is a module of `experiment/channels/` with a subclass of `Corpus`; defining the class makes it known,
so that a spec may name it. This room imports none of them: it asks for the folder's modules when the first
spec is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ..system.errors import InputError
from ..system.modules import import_folder, register
from .own_code import is_file, label, module_of

# What a spec that names no channel asks for.
DEFAULT = "numbers"
FOLDER = "experiment.channels"
# Functions that the module of every channel holds (`experiment.channels` says which).
NEEDED = ("prompts", "grammar", "reason", "widest")

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


class Unloaded(Corpus):
    """What a spec says of a channel in a user's file whose code is not run: to be told of, not to be drawn from."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def tokens(self, word_by_word: bool) -> tuple[int, int]:
        """Of the prompt a guess; the code, which knows, is not asked."""
        return 60, self.max_tokens

    def refused(self, wanted: str) -> None:
        """Nothing: whoever began the run was told what its channel lacks."""


def corpus_of(fields: Any, own_code: bool = False) -> Any:
    """`[corpus]` as an object of its channel's class; what is no table is left for pydantic to refuse.

    Args:
        own_code: whether a channel in a user's file, named by its path, is run; else it is `Unloaded`.

    Raises:
        ValidationError: no such channel, or a field that is wrong.
        InputError: a user's file that defines no channel.
    """
    if not isinstance(fields, dict):
        return fields
    there, name = channels(), fields.get("channel", DEFAULT)
    if isinstance(name, str) and is_file(name):
        return (own_class(name) if own_code else Unloaded).model_validate(fields)
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
    known = _own[name][0] if name in _own else channels().get(name)
    return known.words if known else Words(rows=f"{label(name)} rows")


# --- channels in users' files ---------------------------------------------------------------------

# Of those that were run, by their paths: the class of fields and its module.
_own: dict[str, tuple[type[Corpus], ModuleType]] = {}


def own_class(path: str) -> type[Corpus]:
    """The class of fields that a user's file defines; runs the file.

    Raises:
        InputError: no such file, it fails, or it does not define a channel.
    """
    module = module_of("channel", path)
    found = [
        part
        for part in vars(module).values()
        if isinstance(part, type) and issubclass(part, Corpus) and part.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise InputError(f"channel {path}: it must define one subclass of Corpus, not {len(found)}")
    if missing := [name for name in NEEDED if not callable(getattr(module, name, None))]:
        raise InputError(f"channel {path}: it defines no function `{missing[0]}`")
    fields = found[0].model_fields
    if get_args(fields["channel"].annotation):
        raise InputError(
            f"channel {path}: its name is its path: leave the field `channel` out, or say `channel: str` where the class "
            "above narrows it"
        )
    if empty := next((name for name, field in fields.items() if field.default is None), None):
        raise InputError(f"channel {path}: {empty}: a field needs a default that TOML can say, not None")
    if found[0].files:
        raise InputError(f"channel {path}: `files` are of data/: keep what rows rest on in the file itself")
    _own[path] = found[0], module
    return found[0]


def own_module(path: str) -> ModuleType:
    """The module of a user's file that was run as a spec was read.

    Raises:
        InputError: it was not.
    """
    if path not in _own:
        raise InputError(
            f"channel {path} is a file of somebody's code, which only `run`, `resume`, `defend`, `null` and `export` "
            "run: what `export` writes can be audited"
        )
    return _own[path][1]
