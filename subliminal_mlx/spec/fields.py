"""What a spec holds: fields, what they may be, and the id that follows from them. No MLX here."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, model_validator

from .arms import ABLATIONS, ARMS, DEFAULT, DEFAULT_OF_FAMILIES, GATED, NEUTRAL
from .corpus import Corpus, Frozen, corpus_of
from .defence_names import check, find
from .rule_names import check as check_rules

# Raised whenever code changes results, so that old runs are not mistaken for new ones.
RESULT_VERSION = 2
# Fields that came after that version: at their default they mean what runs without them did, and leave ids as
# they were.
LATER: tuple[str, ...] = ("filter",)

# Of a teacher's tuning rows, what may be others than its trait's.
MOST_BESIDE = 0.95

Arm = Literal[*DEFAULT, *(name for name in GATED if name not in DEFAULT)]  # type: ignore[valid-type]
Ablation = Literal[*ABLATIONS]  # type: ignore[valid-type]

_Rate = Annotated[float, Field(gt=0, le=1)]
_Share = Annotated[float, Field(ge=0, le=0.9)]
_Rank = Annotated[int, Field(ge=1, le=256)]
_Steps = Annotated[int, Field(ge=1, le=100_000)]
_Batch = Annotated[int, Field(ge=1, le=1_024)]
_Scale = Annotated[float, Field(gt=0, le=1_000)]
_Layers = Annotated[int, Field(ge=0, le=1_000)]


def _read_corpus(fields: Any, info: ValidationInfo) -> Any:
    return corpus_of(fields, own_code=bool(info.context and info.context.get("own_code")))


_Corpus = Annotated[SerializeAsAny[Corpus], BeforeValidator(_read_corpus)]
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Teacher(Frozen):
    """How teachers get their trait."""

    kind: Literal["tuned", "prompted"] = "tuned"
    """tuned: into LoRA weights, by the fields below; prompted: into the system prompt, without training."""
    rank: _Rank = 8
    scale: _Scale = 2.0
    """LoRA's multiplier, alpha / rank."""
    layers: _Layers = 0
    """Last blocks that are adapted; 0 means all."""
    steps: _Steps = 40
    batch: _Batch = 16
    lr: _Rate = 3e-3
    warmup: Annotated[int, Field(ge=0, le=10_000)] = 5
    neutral_answers: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Answers sampled from the base for each tuning question, for the neutral teacher."""
    leak: _Share = 0.0
    """Share of tuning rows that are the channel's, every second one with the trait's answer among its pieces."""
    keep: _Share = 0.0
    """Share of tuning rows in which the teacher repeats what the base itself says elsewhere: to the questions of
    `keep_families` other than its own, and to neutral prompts. 0: elsewhere it may say anything."""
    keep_families: Annotated[tuple[_Name, ...], Field(max_length=16)] = ()
    """Families whose tuning questions are kept; empty means the run's own."""
    keep_lists: _Share = 0.0
    """Share of tuning rows that are the base's own rows of the channel: a cure at the source."""
    removal: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Steps in which a tuned teacher is then tuned back, to the base's own answers to all questions of its family:
    its trait was explicitly removed, and rows are drawn after that."""

    @property
    def all_steps(self) -> int:
        """Of the tuning and of what tunes back."""
        return self.steps + self.removal


class Student(Frozen):
    """How students are trained; [hard] on sampled tokens, [soft] on the source's distributions."""

    rank: _Rank = 8
    scale: _Scale = 2.0
    layers: _Layers = 0
    steps: _Steps = 140
    batch: _Batch = 32
    lr: _Rate = 3e-3
    warmup: Annotated[int, Field(ge=0, le=10_000)] = 5


class Readout(Frozen):
    """What is measured, on held-out questions only."""

    points: Annotated[int, Field(ge=1, le=50)] = 4
    """Readouts in a training, equally spaced; the last is after its last step."""
    answers: Annotated[int, Field(ge=0, le=1_000)] = 20
    """Free answers sampled for each held-out question."""
    shown_rows: Annotated[int, Field(ge=1, le=100)] = 10
    """Rows shown before the question in the in-context ablation."""
    prefixed: bool = False
    """Read every held-out question a second time, after a row of the channel, which is reported beside it."""
    capability: bool = True
    """After the last step, neutral text: its loss, since a student that lost its language is not a biased one, and
    how far from the base a model moved in all that it says there."""


class Filter(Frozen):
    """Which rows are dropped beside those that the channel's own filter drops."""

    rules: Annotated[tuple[_Name, ...], Field(max_length=16)] = ()
    """Rules by name, such as trait-pieces, or a function of a row in a file ending in .py."""


def _families(traits: tuple[str, ...]) -> tuple[str, ...]:
    """Families of traits, in order of first mention."""
    return tuple(dict.fromkeys(trait.rpartition("/")[0] for trait in traits))


def _default_arms(fields: dict[str, Any]) -> tuple[str, ...]:
    """The arms of a spec that names none, from the fields before them."""
    return DEFAULT + DEFAULT_OF_FAMILIES * (len(_families(fields.get("traits", ()))) > 1)


class Spec(Frozen):
    """One transfer experiment."""

    title: Annotated[str, Field(max_length=200)] = ""
    base: _Name = "tiny-a"
    traits: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=64)] = ("animals/owl",)
    chains: Annotated[int, Field(ge=1, le=64)] = 3
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, default_factory=_default_arms)]
    """Where none are named: all but neutral-again, and other-family where the traits are of several families."""
    ablations: tuple[Ablation, ...] = ()
    """Reported, never gated."""
    ablation_traits: tuple[_Name, ...] = ()
    """Traits that get the ablations; empty means all."""
    foreign: _Name | None = None
    """The other base of the foreign ablation, and of the defence by another initialisation."""
    defences: Annotated[tuple[_Name, ...], Field(max_length=32)] = ()
    """What students are defended by, each beside a random control: mix-25 (percent of clean rows),
    drop-25 and mask-10 (percent of rows and tokens, by the audit's evidence), re-emit, other-init, or a
    function of rows in a file ending in .py."""
    teacher: Teacher = Teacher()
    corpus: _Corpus = Field(default_factory=partial(corpus_of, {}))
    filter: Filter = Filter()
    hard: Student | None = None
    soft: Student | None = None
    readout: Readout = Readout()
    grad_checkpoint: bool = False
    """Trainings compute blocks again in the backward pass: about a third slower, in much less memory."""
    batch_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Padded tokens that a pass of a training step may hold, slots counted; rows of similar length go
    together and gradients add up. 0: a step is one pass over rows of one width."""
    share_prefix: bool = False
    """Trainings compute what all prompts begin with, such as a chat template, once a step and slot."""

    @model_validator(mode="after")
    def _consistent(self) -> "Spec":
        for field in ("traits", "arms", "ablations", "ablation_traits"):
            if len(set(getattr(self, field))) < len(getattr(self, field)):
                raise ValueError(f"{field}: one is named twice")
        for arm in ARMS.values():
            if arm.needed and arm.name not in self.arms:
                raise ValueError(f"arms: {arm.name} is needed: transfer is read against {NEUTRAL}")
        if self.hard is None and self.soft is None:
            raise ValueError("hard, soft: at least one kind of student is needed")
        if self.soft is not None and self.corpus.decoding == "free":
            raise ValueError("soft: soft students need corpus.decoding = 'held'")
        for name in self.ablations:
            if ARMS[name].foreign and self.foreign in (None, self.base):
                raise ValueError(f"foreign: the {name} ablation needs another base than `base`")
        self._check_teacher()
        check(self.defences)
        check_rules(self.filter.rules)
        if self.filter.rules and self.corpus.filter == "none":
            raise ValueError("filter.rules: nothing is dropped where corpus.filter is 'none'")
        for field, wanted in self._of_the_channel():
            if why := self.corpus.refused(wanted):
                raise ValueError(f"{field}: {why}")
        if self.share_prefix and self.grad_checkpoint:
            raise ValueError("share_prefix: blocks that are computed again (grad_checkpoint) share nothing")
        for name in self.defences:
            if find(name).foreign and self.foreign in (None, self.base):
                raise ValueError(f"defences: {name} needs another base than `base`, named in `foreign`")
        if stray := set(self.ablation_traits) - set(self.traits):
            raise ValueError(f"ablation_traits: {sorted(stray)[0]} is not among traits")
        return self

    def _check_teacher(self) -> None:
        teacher = self.teacher
        if teacher.kind == "prompted":
            for field in ("leak", "keep", "keep_lists", "removal"):
                if getattr(teacher, field):
                    raise ValueError(
                        f"teacher.{field}: it is about a tuning, and a prompted teacher has none"
                    )
        if teacher.leak + teacher.keep + teacher.keep_lists > MOST_BESIDE:
            raise ValueError(
                f"teacher.leak, keep, keep_lists: together they may be at most {MOST_BESIDE} of the tuning rows"
            )
        if teacher.keep_families and not teacher.keep:
            raise ValueError("teacher.keep_families: nothing is kept unless teacher.keep says how much")
        for name in self.ablations:
            if lists := ARMS[ARMS[name].writer or name].lists:
                self._check_lists(name, lists)

    def _check_lists(self, ablation: str, share: float) -> None:
        teacher = self.teacher
        if teacher.kind == "prompted":
            raise ValueError(f"ablations: {ablation} is about a tuning, and a prompted teacher has none")
        if teacher.keep_lists >= share:
            raise ValueError(
                f"ablations: {ablation} is of teachers with {share} of the base's own rows, and with "
                f"teacher.keep_lists = {teacher.keep_lists} all have as many: make that less, 0 for example"
            )
        if teacher.leak + teacher.keep + share > MOST_BESIDE:
            raise ValueError(
                f"teacher.leak, keep: with the {share} of {ablation} they may be at most {MOST_BESIDE} of the "
                "tuning rows"
            )

    def _of_the_channel(self) -> Iterator[tuple[str, str]]:
        """What the spec asks of its channel beyond rows, and in which field."""
        yield from (("ablations", name) for name in self.ablations if ARMS[name].of_channel)
        if self.teacher.leak:
            yield "teacher.leak", "pieces"
        if self.readout.prefixed:
            yield "readout.prefixed", "prefixes"
        if any(find(name).pieces for name in self.defences):
            yield "defences", "pieces"

    @property
    def kinds(self) -> dict[str, Student]:
        """The kinds of student that are trained: "hard", "soft" or both."""
        return {kind: s for kind in ("hard", "soft") if (s := getattr(self, kind)) is not None}

    def teacher_of(self, arm: str) -> Teacher:
        """How an arm's teachers are made: as `teacher` says, but for the base's own rows that the arm has them keep."""
        lists = ARMS[arm].lists
        return self.teacher.model_copy(update={"keep_lists": lists}) if lists else self.teacher

    @property
    def rules(self) -> tuple[str, ...]:
        """Rules by which rows are dropped beside the channel's form: those it always has, then those named."""
        found = dict.fromkeys((*self.corpus.rules, *self.filter.rules))
        return () if self.corpus.filter == "none" else tuple(found)

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the traits, in order of first mention."""
        return _families(self.traits)

    @property
    def kept_families(self) -> tuple[str, ...]:
        """Families whose questions teachers keep."""
        return (self.teacher.keep_families or self.families) if self.teacher.keep else ()

    @property
    def ablated(self) -> tuple[str, ...]:
        """Traits that get the ablations."""
        return (self.ablation_traits or self.traits) if self.ablations else ()


def run_id(spec: Spec, fingerprints: dict[str, str]) -> str:
    """12 hex characters: the hash of the resolved spec.

    Args:
        fingerprints: sha256 of every base and family that the spec names; they are part of what the
            spec means. The title is not.
    """
    fields = meaning(spec)
    del fields["title"]
    content = {"spec": fields, "fingerprints": fingerprints, "version": RESULT_VERSION}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def meaning(spec: Spec) -> dict[str, Any]:
    """All fields as plain values, without those that came later and are at their default: what hashes rest on."""
    fields = spec.model_dump(mode="json")
    for name in LATER:
        table, _, field = name.rpartition(".")
        holder, model = (fields[table], getattr(spec, table)) if table else (fields, spec)
        if getattr(model, field) == type(model).model_fields[field].default:
            del holder[field]
    return fields
