"""What may be measured: a base, a fine-tuned model folder, an adapter folder of ours, of mlx-lm's or of PEFT's.

    subject = open_model("out/adapters/hard-treated", against="tiny-a")
    subject.reference, subject.stack          # what its change is read against, and its adapter
    for subject in open_checkpoints("adapters", "tiny-a", names): ...

An adapter's base is the one asked for, else the one that its folder names: by its provenance file, by the
lab it lies in, or by the trainer's own record. Knows nothing about families.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..experiment.comparisons import on_foreign
from ..lab import Lab, provenance
from ..model import adapters
from ..model.adapter_files import read_adapter
from ..model.adapters import Stack
from ..model.bases import Base, load, locate
from ..model.model_folder import ADAPTER_CONFIG, is_model, named_base
from ..model.sources import is_here
from ..model.tuned import tuned
from ..model.weights import squared_norm
from ..spec import parse_spec
from ..system import runtime
from ..system.errors import InputError, SubliminalError

runtime.prepare()

import mlx.core as mx  # noqa: E402


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


def open_model(model: str, against: str | Base | None = None, claims: bool = True) -> Subject:
    """Load a model and its base.

    Args:
        model: an adapter folder, or whatever `bases.load` takes.
        against: the base, or its name; for an adapter it may be left out where its folder names one.
        claims: see that an adapter's folder does not name another base.

    Raises:
        InputError: no such model, no base named, a base that is not the one the folder names, a part of an
            adapter that is not read, or weights that do not fit the base or are not finite.
    """
    folder = Path(os.path.expanduser(model))
    if os.path.exists(folder / ADAPTER_CONFIG):
        if is_model(folder):
            raise InputError(
                f"model {model!r}: a model and an adapter in one folder, of which one program reads this and "
                "another that: keep each in a folder of its own"
            )
        return next(open_checkpoints(model, against, claims=claims))
    if os.path.isdir(folder) and any(folder.glob("*adapters.safetensors")):
        raise InputError(
            f"model {model!r}: adapters without {ADAPTER_CONFIG}, which says what they are: put it there"
        )
    base = load(model)
    if against is None:
        return Subject(model, base, None, None, None)
    reference = _loaded(against)
    return Subject(model, base, None, reference, (_distance(model, base, reference),))


def open_checkpoints(
    model: str, against: str | Base | None = None, files: tuple[str, ...] = (), claims: bool = True
) -> Iterator[Subject]:
    """Load checkpoints of an adapter folder: together where a stack computes them, else one after the other.

    Args:
        files: names in the folder; by default its final weights.
        claims: as `open_model`.

    Raises:
        InputError: as `open_model`.
    """
    folder = Path(os.path.expanduser(model))
    claim = claimed_base(folder) if claims else None
    named = against or (claim[0] if claim else None)
    if named is None:
        raise InputError(f"model {model!r}: an adapter that names no base: say which with --against")
    if claim:
        _check_claim(model, named.name if isinstance(named, Base) else named, *claim)
    base = _loaded(named)
    try:
        found = [read_adapter(folder, file) for file in files or (None,)]
        for adapter in found:
            adapters.check_named(base, adapter)
        if all(adapters.takes(base, adapter) for adapter in found):
            stack = adapters.concatenate([adapters.stack_of(adapter) for adapter in found])
            with adapters.applied(base, stack):  # refuses what does not fit
                pass
            yield _finite(Subject(model, base, stack, base, delta_norms(stack)))
            return
        for adapter in found:
            copy, size = tuned(base, adapter)
            yield _finite(Subject(model, copy, None, base, (size,)))
    except InputError as error:
        raise InputError(f"model {model!r}: {error}") from None


def _finite(subject: Subject) -> Subject:
    if not all(map(math.isfinite, subject.sizes or ())):
        raise InputError("its adapter's weights are not finite: the training diverged")
    return subject


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
    squares = sum(squared_norm(ab["a"], ab["b"]) for ab in stack.arrays.values())
    return tuple(float(x) for x in abs(stack.shape.scale) * mx.sqrt(squares))


def _loaded(base: str | Base) -> Base:
    return base if isinstance(base, Base) else load(base)


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
