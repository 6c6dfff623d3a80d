"""What a spec's run is called, and how its work is cut: from the files that the spec names. No MLX here.

identify(spec)               # "3f9ac0de1b7c"
stack_size("tiny-a")         # 6
"""

from pathlib import Path

from ..model.organisms import stack_width
from ..model.sources import locate
from ..spec import Spec, run_id
from ..spec.families import FOLDER as FAMILIES
from ..spec.families import LEAKS, load_family
from ..spec.own_code import fingerprints
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
    return found | ({"leaks": files.sha256(LEAKS)} if spec.rules else {})


def own_fingerprints(spec: Spec) -> dict[str, str]:
    """Hashes of users' files of code that the spec names.

    Raises:
        InputError: one is not there.
    """
    named = {"defence": ("defences", spec.defences), "rule": ("filter.rules", spec.filter.rules)}
    found = {}
    for what, (field, names) in named.items():
        found |= fingerprints(what, field, names)
    return found


def stack_size(base: str) -> int:
    """Slots a unit of a run on this base."""
    return stack_width(locate(base).parameters)
