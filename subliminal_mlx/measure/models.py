"""What may be measured: a base, a fine-tuned model folder, an adapter folder of ours or of mlx-lm's.

    subject = open_model("out/adapters/hard-treated", against="tiny-a")
    subject.reference, subject.stack          # what its change is read against, and its adapter

An adapter's base is the one asked for, else the one that its folder names: by its provenance file, by the
lab it lies in, or by mlx-lm's own record. Knows nothing about families.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiment.comparisons import on_foreign
from ..lab import Lab, provenance
from ..model import adapters
from ..model.adapters import Stack
from ..model.bases import Base, load, locate
from ..model.model_folder import named_base, read_json
from ..model.sources import is_here
from ..spec import parse_spec
from ..system import runtime
from ..system.errors import InputError, SubliminalError

runtime.prepare()

import mlx.core as mx  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

CONFIG = "adapter_config.json"


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and what its change is read against.

    Attributes:
        name: as it was asked for.
        base: computes the model, with `stack` applied.
        stack: its LoRA adapter, or several checkpoints of one; None for a whole model.
        reference: the base that it came from; None where none is named.
        sizes: Frobenius norm of the change of all weights together, one a slot; None without a reference.
    """

    name: str
    base: Base
    stack: Stack | None
    reference: Base | None
    sizes: tuple[float, ...] | None


def open_model(model: str, against: str | Base | None = None, files: tuple[str, ...] = ()) -> Subject:
    """Load a model and its base.

    Args:
        model: an adapter folder, or whatever `bases.load` takes.
        against: the base, or its name; for an adapter it may be left out where its folder names one.
        files: checkpoints in an adapter folder to load as one stack; by default its final weights.

    Raises:
        InputError: no such model, no base named, a base that is not the one the folder names, or
            weights that do not fit the base or are not finite.
    """
    folder = Path(os.path.expanduser(model))
    if os.path.exists(folder / CONFIG):
        return _open_adapter(model, folder, against, files)
    if os.path.isdir(folder) and any(folder.glob("*adapters.safetensors")):
        raise InputError(
            f"model {model!r}: adapters without {CONFIG}, which says what they are: put it there"
        )
    base = load(model)
    if against is None:
        return Subject(model, base, None, None, None)
    reference = _loaded(against)
    return Subject(model, base, None, reference, (_distance(model, base, reference),))


def claimed_base(folder: Path) -> tuple[str, str | None] | None:
    """Name of the base that an adapter's folder says it was made for, and its hash where that is written too."""
    if record := provenance.record_beside(folder):
        return record.base.name, record.base.sha256
    if name := _base_in_lab(folder):
        return name, None
    name = named_base(folder)
    return (name, None) if name else None


def delta_norms(stack: Stack) -> tuple[float, ...]:
    """Frobenius norm of every slot's change of the weights, `scale * a @ b` over all paths together."""
    squares = 0.0
    for ab in stack.arrays.values():
        a, b = ab["a"].astype(mx.float32), ab["b"].astype(mx.float32)
        # |AB|^2 = trace(A'A BB'): never the whole product.
        squares = squares + (mx.swapaxes(a, 1, 2) @ a * (b @ mx.swapaxes(b, 1, 2))).sum(axis=(1, 2))
    return tuple(float(x) for x in stack.shape.scale * mx.sqrt(mx.maximum(squares, 0.0)))


def _loaded(base: str | Base) -> Base:
    return base if isinstance(base, Base) else load(base)


def _open_adapter(model: str, folder: Path, against: str | Base | None, files: tuple[str, ...]) -> Subject:
    claim = claimed_base(folder)
    named = against or (claim[0] if claim else None)
    if named is None:
        raise InputError(f"model {model!r}: an adapter that names no base: say which with --against")
    if claim:
        _check_claim(model, named.name if isinstance(named, Base) else named, *claim)
    base = _loaded(named)
    kind = read_json(folder / CONFIG).get("fine_tune_type", "lora")
    if kind != "lora":
        return _through_mlx_lm(model, folder, base, kind)
    stack = adapters.concatenate(
        [adapters.load_adapter(folder, file) for file in files or ("adapters.safetensors",)]
    )
    with adapters.applied(base, stack):  # refuses what does not fit
        pass
    sizes = delta_norms(stack)
    if not all(map(math.isfinite, sizes)):
        raise InputError(f"model {model!r}: its adapter's weights are not finite: the training diverged")
    return Subject(model, base, stack, base, sizes)


def _check_claim(model: str, name: str, claimed: str, digest: str | None) -> None:
    if digest is None and (name == claimed or not is_here(claimed)):
        return  # a stranger's folder must not start a download
    try:
        wanted = digest or locate(claimed).sha256
    except SubliminalError:
        return  # what the folder names is not here: the one asked for is taken at the user's word
    if locate(name).sha256 != wanted:
        raise InputError(
            f"model {model!r}: made for {claimed} ({wanted[:12]}), not for {name}: measure it against that"
        )


def _base_in_lab(folder: Path) -> str | None:
    """The base of the run that made an adapter, where the folder is LAB/adapters/RUN/SLOT."""
    folder = folder.resolve()
    for above in folder.parents:
        if above.name == "adapters" and (above.parent / "lab.duckdb").is_file():
            run_id, _, slot = folder.relative_to(above).as_posix().partition("/")
            run = Lab(above.parent).run(run_id)
            if run is None:
                return None
            spec = parse_spec(run["spec_toml"], where=f"run {run_id}")
            return spec.foreign if any(map(on_foreign, slot.split("/"))) else spec.base
    return None


def _through_mlx_lm(model: str, folder: Path, base: Base, kind: Any) -> Subject:
    """DoRA and full fine-tunings: mlx-lm puts them into a second copy of the model."""
    from dataclasses import replace

    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    try:
        tuned = load_model(base.path, lazy=False)[0]
        tuned = load_adapters(tuned, str(folder))
        tuned.set_dtype(mx.float32) if base.model.layers and _fp32(base) else None
        mx.eval(tuned.parameters())
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model {model!r}: its {kind} adapter does not fit {base.name}: {reason}") from None
    subject = replace(base, model=tuned, _sub_heads={})
    size = _distance(model, subject, base) if kind == "full" else float("nan")
    return Subject(model, subject, None, base, (size,) if math.isfinite(size) else None)


def _fp32(base: Base) -> bool:
    return all(x.dtype == mx.float32 for _, x in tree_flatten(base.model.parameters()))


def _distance(model: str, base: Base, reference: Base) -> float:
    """Frobenius norm of the difference of two models' weights.

    Raises:
        InputError: they are not models of one shape and one vocabulary, or a weight is not finite.
    """
    if base.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
        raise InputError(
            f"model {model!r}: its vocabulary is not that of {reference.name}: it is no model of that base"
        )
    # A reference that adapters were measured on before has its Linears wrapped.
    ours, theirs = adapters.own_weights(base), adapters.own_weights(reference)
    for path in sorted(ours.keys() | theirs.keys()):
        one, other = (list(x[path].shape) if path in x else "none" for x in (ours, theirs))
        if one != other:
            raise InputError(
                f"model {model!r}: it is no model of {reference.name}: {path} is {one} here and {other} there"
            )
    total = sum(
        float(mx.square(x.astype(mx.float32) - theirs[path].astype(mx.float32)).sum())
        for path, x in ours.items()
        if mx.issubdtype(x.dtype, mx.floating)
    )
    if not math.isfinite(total):
        raise InputError(f"model {model!r}: its weights are not finite: the training diverged")
    return math.sqrt(total)
