"""What a spec's run is called, and how its work is cut: from the files that the spec names. No MLX here.

identify(spec)               # "3f9ac0de1b7c"
stack_size("tiny-a")         # 6
"""

from pathlib import Path

from ..model.organisms import stack_width
from ..model.sources import locate
from ..spec import Spec, parse_spec, run_id
from ..spec.corpus import Unloaded
from ..spec.families import FOLDER as FAMILIES
from ..spec.families import LEAKS, load_family
from ..spec.own_code import fingerprints, is_file
from ..system import files
from ..system.errors import InputError
from ..system.files import DATA


def identify(spec: Spec) -> str:
    """The run id of a spec, from the files it names.

    Raises:
        InputError: a base or family that is not there, two families of one name, or one base by two names.
    """
    prints = {f"base/{name}": locate(name).sha256 for name in (spec.base, spec.foreign) if name}
    if spec.foreign and prints[f"base/{spec.base}"] == prints[f"base/{spec.foreign}"]:
        # Its students would start where the others do, and show transfer where the control must show none.
        raise InputError(f"foreign: {spec.foreign} is {spec.base} by another name: name another base")
    for name in dict.fromkeys((*spec.families, *spec.kept_families)):
        path = Path(name) if name.endswith(".toml") else FAMILIES / f"{name}.toml"
        family = load_family(name).name
        if f"family/{family}" in prints:
            raise InputError(f"traits: two families are called {family!r}: rename the file of one")
        prints[f"family/{family}"] = files.sha256(path)
    if spec.teacher.keep:
        prints["kept"] = files.sha256(DATA / "kept.toml")
    return run_id(spec, prints | row_fingerprints(spec) | own_fingerprints(spec))


def row_fingerprints(spec: Spec) -> dict[str, str]:
    """Hashes of the files of data/ by which rows are drawn and dropped; none of number lists without rules."""
    found = {f"data/{name}": files.sha256(DATA / name) for name in spec.corpus.files}
    # Which rules a user's channel always has, only its code says.
    ruled = spec.rules or is_file(spec.corpus.channel)
    return found | ({"leaks": files.sha256(LEAKS)} if ruled else {})


def own_fingerprints(spec: Spec) -> dict[str, str]:
    """Hashes of users' files of code that the spec names.

    Raises:
        InputError: one is not there.
    """
    channel = fingerprints("channel", "corpus.channel", [spec.corpus.channel])
    rules = fingerprints("rule", "filter.rules", spec.filter.rules)
    return channel | rules | fingerprints("defence", "defences", spec.defences)


def own_spec(toml: str, run_id: str) -> Spec:
    """A stored run's spec; its channel's own file, where it has one, is run, if all its files are those of then.

    For the command line alone: who asks from a browser runs no file.

    Raises:
        InputError: as `identify`, or a file is another one.
    """
    spec = parse_spec(toml, where=f"run {run_id}")
    if not isinstance(spec.corpus, Unloaded):
        return spec
    if identify(spec) != run_id:
        raise InputError(f"run {run_id}: {spec.corpus.channel}, or another file of its spec, changed since")
    return parse_spec(toml, where=f"run {run_id}", own_code=True)


def stack_size(base: str) -> int:
    """Slots a unit of a run on this base."""
    return stack_width(locate(base).parameters)
