"""What may be asked of the digits experiment and of the theorem: frozen, with limits. No MLX here.

    spec = make("digits", {"width": 128, "epochs": 6})
    sliders(width=64, distance=0.5)                 # an app's values, checked again on the server

Sizes are bounded before anything is allocated, wherever the values come from.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...system.errors import InputError, first_problem

# Raised whenever code changes results, so that old ones are not mistaken for new ones.
RESULT_VERSION = 1
CLASSES = 10
# Weights of one arm over all replicas; Adam holds three numbers for each: 1.2 GB at the most.
LARGEST_STACK = 100_000_000
# What teachers answer to the noise, over arms and replicas: 1.2 GB at the most, and as much while arms are joined.
LARGEST_ANSWERS = 300_000_000
# Pixels of the theorem's images, and of its inputs, over all draws: 0.4 GB each in double precision.
LARGEST_IMAGES = 50_000_000

Arm = Literal[
    "student", "other initialisation", "untrained teacher", "shuffled logits", "real images", "class logits"
]
ARMS: tuple[Arm, ...] = (
    *("student", "other initialisation", "untrained teacher"),
    *("shuffled logits", "real images", "class logits"),
)
# Arms whose student can know nothing of digits if the effect is what we say it is: at chance by design.
NULLS: tuple[Arm, ...] = ("other initialisation", "untrained teacher", "shuffled logits")

_Distance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
_Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Digits(_Frozen):
    """One experiment: a teacher, its students, and what they are compared with."""

    width: Annotated[int, Field(ge=2, le=2_048)] = 64
    """Units of each of the two hidden layers."""
    auxiliary: Annotated[int, Field(ge=1, le=256)] = 3
    """Outputs beside the 10 classes that no label ever trains; the student sees only these."""
    noise: Annotated[int, Field(ge=1, le=200_000)] = 20_000
    """Inputs for distillation, uniform in -1..1; one set for all replicas."""
    teacher_epochs: Annotated[int, Field(ge=0, le=200)] = 10
    teacher_batch: Annotated[int, Field(ge=1, le=8_192)] = 64
    teacher_lr: _Rate = 1e-3
    epochs: Annotated[int, Field(ge=1, le=200)] = 4
    """Distillation epochs."""
    batch: Annotated[int, Field(ge=1, le=8_192)] = 128
    lr: _Rate = 3e-3
    loss: Literal["kl", "mse"] = "kl"
    """kl: cross-entropy to the softmax of the teacher's auxiliary logits, as in the paper's code; mse."""
    distance: _Distance = 0.0
    """Of the student's initialisation from the teacher's: 0 the same, 1 independent."""
    replicas: Annotated[int, Field(ge=1, le=500)] = 20
    """Each with its own initialisation, and so its own teacher."""
    seed: _Seed = 0
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = ARMS

    @model_validator(mode="after")
    def _consistent(self) -> "Digits":
        if "student" not in self.arms or len(set(self.arms)) < len(self.arms):
            raise ValueError("arms: student is needed, and each arm once")
        self.check_size(64)  # the shipped digits; `run_digits` checks again with the images at hand
        return self

    def check_size(self, inputs: int) -> None:
        """Raise InputError where the answers to the noise, or networks for so many pixels, are too large."""
        count = self.replicas * self.noise * self.outputs
        if count > LARGEST_ANSWERS:
            raise InputError(
                f"noise: {self.noise:,} inputs of {self.replicas} replicas with {self.auxiliary} auxiliary outputs have "
                f"{count:,} answers in {len(self.arms)} arms: at most {LARGEST_ANSWERS:,}"
            )
        if self.stack(inputs) > LARGEST_STACK:
            raise InputError(
                f"replicas: {self.replicas} networks of width {self.width} for {inputs:,} pixels have "
                f"{self.stack(inputs):,} weights: at most {LARGEST_STACK:,}"
            )

    @property
    def outputs(self) -> int:
        """Logits that students of all arms imitate on one input."""
        return sum(CLASSES if arm == "class logits" else self.auxiliary for arm in self.arms)

    def sizes(self, inputs: int) -> tuple[int, int, int]:
        """Inputs and the two hidden layers."""
        return inputs, self.width, self.width

    def stack(self, inputs: int) -> int:
        """Weights of one arm over all replicas, biases aside."""
        outputs = CLASSES + self.auxiliary
        return self.replicas * self.width * (inputs + self.width + outputs)


PRESETS: dict[str, dict[str, Any]] = {
    "digits": {},
    # The paper's: 784-256-256-13, batch 1024, Adam 3e-4, 5 + 5 epochs, as many noise inputs as images.
    "mnist": {
        **{"width": 256, "auxiliary": 3, "noise": 60_000, "teacher_epochs": 5, "epochs": 5},
        **{"teacher_batch": 1_024, "batch": 1_024, "teacher_lr": 3e-4, "lr": 3e-4},
    },
}


class Sliders(_Frozen):
    """What a visitor of the app may set: bounds within which a run takes seconds."""

    auxiliary: Annotated[int, Field(ge=1, le=10)] = 3
    noise: Annotated[int, Field(ge=500, le=20_000)] = 20_000
    width: Annotated[int, Field(ge=8, le=64)] = 64
    epochs: Annotated[int, Field(ge=1, le=6)] = 4
    distance: _Distance = 0.0


class Theorem(_Frozen):
    """Draws of one teacher step and one student step."""

    width: Annotated[int, Field(ge=2, le=256)] = 32
    auxiliary: Annotated[int, Field(ge=1, le=64)] = 3
    inputs: Literal["uniform", "normal", "images"] = "uniform"
    """What the student imitates on: noise of either kind, or real images."""
    rows: Annotated[int, Field(ge=1, le=1_024)] = 64
    """Images in the teacher's step, and inputs in the student's; fresh ones for every draw."""
    draws: Annotated[int, Field(ge=1, le=5_000)] = 200
    steps: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)], ...],
        Field(min_length=1, max_length=50),
    ] = (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Sizes of the teacher's gradient step."""
    distances: Annotated[tuple[_Distance, ...], Field(min_length=1, max_length=50)] = (
        *(0.0, 0.001, 0.003, 0.01),
        *(0.03, 0.1, 0.3, 1.0),
    )
    loss: Literal["kl", "mse"] = "kl"
    seed: _Seed = 0

    @model_validator(mode="after")
    def _bounded(self) -> "Theorem":
        self.check_size(64)  # as above; `theorem.one_steps` checks again
        for name, values in (("steps", self.steps), ("distances", self.distances)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: each value once")
        return self

    def check_size(self, inputs: int) -> None:
        """Raise InputError where the draws' networks, or their images of so many pixels, are too large."""
        if self.draws * self.width * (max(inputs, self.rows) + self.width) > LARGEST_STACK:
            raise InputError(
                f"draws: {self.draws:,} of width {self.width} and {self.rows:,} rows are too large: fewer draws"
            )
        if (count := self.draws * self.rows * inputs) > LARGEST_IMAGES:
            raise InputError(
                f"draws: {self.draws:,} of {self.rows:,} rows of {inputs:,} pixels have {count:,}: at most "
                f"{LARGEST_IMAGES:,}"
            )


_Model = TypeVar("_Model", bound=_Frozen)


def make(preset: str = "digits", changes: dict[str, Any] | None = None) -> Digits:
    """A preset with some fields changed; InputError names the field and what is allowed."""
    if preset not in PRESETS:
        raise InputError(f"no preset {preset!r:.40}: there are {', '.join(PRESETS)}")
    return parse_fields(Digits, PRESETS[preset] | (changes or {}))


def sliders(**values: Any) -> Sliders:
    """An app's values; InputError where one is outside of its slider, which only a forged request is."""
    return parse_fields(Sliders, values)


def parse_fields(model: type[_Model], fields: dict[str, Any]) -> _Model:
    """An instance of `model`; InputError in one line, naming the first field that is wrong."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{model.__name__.lower()}: {first_problem(error)}") from None


def result_id(spec: Digits | Theorem, fingerprint: str) -> str:
    """12 hex characters of spec, data and version: what the result is called in a lab."""
    content = {"spec": spec.model_dump(mode="json"), "data": fingerprint, "version": RESULT_VERSION}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
