"""What a run on a language model will take, told when it begins.

    forecast(spec, gflops=140, processes=2)    # "by estimate: about 40 minutes, 2.4 GB in each of 2 processes"

Reads the model's config and the headers of its weights; imports no MLX.
"""

from ..model import memory
from ..model.memory import Dimensions, reading, sampling, sizes, training
from ..model.organisms import LANGUAGE_DECODE_WIDTH, is_organism
from ..spec import Spec, estimate
from ..system.quantities import about_duration, gigabytes


def forecast(spec: Spec, gflops: float, processes: int) -> str | None:
    """Time and memory in words; None for model organisms, which take little of both.

    Raises:
        InputError: as `locate`.
    """
    count, shape = sizes(spec.base)
    if not count or is_organism(count):
        return None
    time = about_duration(estimate.run_seconds(spec, count, gflops, processes))
    if shape is None:
        return f"by estimate: {time}"
    size = gigabytes(max(of_spec(shape, spec).values()) + memory.PROCESS)
    where = f"in each of {processes} processes" if processes > 1 else "in its process"
    return f"by estimate: {time}, {size} {where}"


def of_spec(shape: Dimensions, spec: Spec, slots: int = 1) -> dict[str, int]:
    """Bytes at the peaks of a run's training, sampling and reading, from the spec's sizes alone.

    Tokens are guessed, by the channel, and 90 of a persona. With `slots` 1, as language models are run.
    """
    corpus, kinds = spec.corpus, spec.kinds.values()
    told = 90 * (spec.teacher.kind == "prompted")
    prompt, completion = corpus.most_tokens()
    options = {"grad_checkpoint": spec.grad_checkpoint, "batch_tokens": spec.batch_tokens, "slots": slots}
    trained = [
        training(shape, s.batch, prompt + completion, completion, s.rank, layers=s.layers, **options)
        for s in kinds
    ]
    choices = corpus.choices if corpus.decoding == "held" else None
    return {
        "training": max(trained),
        "sampling": sampling(shape, LANGUAGE_DECODE_WIDTH * slots, prompt + told, completion, choices),
        "reading": reading(shape, 30 * slots, 60 + told, 16, 3),
    }
