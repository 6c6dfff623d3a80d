"""What a page may ask for, checked as if its sender were hostile: names, numbers, files and paths.

    asked = checked(lab, "audit", {"base": "tiny-a", "families": ["animals"]}, owner, upload)

Widgets hold their limits in the browser only. A base is one of `jobs.bases`, a family one that ships, a run one of
the lab; a path is relative to the lab and stays inside of it, also through links, and outside of other visitors'
reviews. What lies beyond is not looked at, so that no answer tells what is there.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import samefile
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ... import jobs
from ...audit.spec import FIRST_LOOK
from ...lab import Lab
from ...measure.gate.policy import Policy, fields_of, parse_policy
from ...spec.families import shipped_families
from ...system.errors import InputError, first_problem
from ..limits import TRAIT
from . import costs
from .folders import ID, KINDS, SUFFIXES, Folders

MOST_UPLOAD = 20 << 20
MOST_POLICY = 50_000
MOST_SUBJECTS = 50
QUICK = (FIRST_LOOK,)

_Line = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Families = Annotated[list[_Line], Field(max_length=16)]


@dataclass(frozen=True)
class Upload:
    """A file from a browser: its name, which is only shown, and its bytes."""

    name: str
    content: bytes


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Audit(_Form):
    """A corpus, by its file or by a run's source, and how it is to be read."""

    base: _Line
    families: Annotated[list[_Line], Field(min_length=1, max_length=8)]
    run: _Line = ""
    source: _Line = ""
    chain: Annotated[int, Field(ge=0, le=1_000)] = 0
    quick: bool = False
    probes: bool = False
    predict: bool = False
    drop_percent: Annotated[int, Field(ge=0, le=90)] = 10

    def title(self, upload: str) -> str:
        return upload or f"{self.run} {self.source} chain {self.chain}"


class Measure(_Form):
    """A model: a slot of a run, or a folder inside the lab."""

    run: _Line = ""
    slot: _Line = ""
    folder: _Line = ""
    against: _Line = ""
    families: _Families = []

    def title(self, upload: str) -> str:
        return self.folder or f"{self.run} {self.slot}"


class Drift(_Form):
    """An adapter folder inside the lab with numbered checkpoints."""

    folder: Annotated[_Line, Field(min_length=1)]
    against: _Line = ""
    families: _Families = []

    def title(self, upload: str) -> str:
        return self.folder


class Gate(_Form):
    """A policy's text; its paths are relative to the lab."""

    policy: Annotated[str, Field(min_length=1)]

    def title(self, upload: str) -> str:
        fields = tomllib.loads(self.policy)
        return str(fields.get("title", "Gate"))


Request = Audit | Measure | Drift | Gate
_FORMS: dict[str, type[Request]] = {"audit": Audit, "measure": Measure, "drift": Drift, "gate": Gate}


def checked(
    lab: Path, kind: str, values: Mapping[str, Any], owner: str, upload: Upload | None = None
) -> Request:
    """The request, once every value of it is seen to be allowed.

    Raises:
        InputError: in one line, the first value that is not.
    """
    if kind not in KINDS:
        raise InputError(f"review {kind!r:.20}: there are {', '.join(KINDS)}")
    try:
        asked = _FORMS[kind].model_validate(dict(values))
    except ValidationError as error:
        raise InputError(f"{kind}: {first_problem(error, values=False)}") from None
    if isinstance(asked, Gate):
        costs.bounded(costs.of_policy(lab, policy_of(lab, asked.policy, owner)), "policy: run_audits")
        return asked
    _known("families", asked.families, shipped_families())
    if isinstance(asked, Audit):
        _known("base", [asked.base], jobs.bases(lab))
        _one_source(lab, asked, upload)
        content = upload.content if upload else None
        scored = asked.drop_percent > 0
        costs.bounded(costs.seconds(asked.base, asked.families, asked.quick, asked.probes, content, scored))
        return asked
    _known("against", [asked.against] if asked.against else [], jobs.bases(lab))
    if asked.folder:
        inside(lab, asked.folder, owner)
    elif isinstance(asked, Measure):
        _known("slot", [asked.slot], Lab(lab).adapters(_run(lab, asked.run)))
    return asked


def stored_name(name: str) -> str:
    """What an upload is called on our disk, whatever it was called on the visitor's.

    Raises:
        InputError: it ends in none of SUFFIXES.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{name!r:.80}: must be a file in {' or '.join(SUFFIXES)}")
    return f"rows{suffix}"


def inside(lab: Path, relative: str, owner: str) -> Path:
    """A path that a browser named, inside the lab.

    Raises:
        InputError: it leads out of the lab, into somebody else's review, or to nothing.
    """
    root = lab.expanduser().resolve()
    if not re.fullmatch(r"[^\x00-\x1f\x7f~\\]{1,1000}", relative):
        raise InputError(f"path {relative!r:.60}: must be a plain path, relative to the lab")
    path = (root / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root) or path == root:
        raise InputError(f"path {relative!r:.60}: must be relative to the lab, and stay inside of it")
    first, *rest = path.relative_to(root).parts
    folders = Folders(root)
    # On disks that take REVIEWS for reviews, names alone would not tell.
    is_at = lambda name: (
        (root / name).exists() and (root / first).exists() and samefile(root / first, root / name)
    )
    if is_at("reviews"):
        mine = folders.read(folders.path / rest[0]) if rest and ID.fullmatch(rest[0]) else None
        if mine is None or not owner or mine.owner != owner:
            raise InputError(f"path {relative!r:.60}: no review of yours")
    elif is_at("queue") or first.startswith("."):
        raise InputError(f"path {relative!r:.60}: nothing that can be read from a page")
    if not path.exists():
        raise InputError(f"path {relative!r:.60}: not there (paths are relative to the lab)")
    return path


def policy_of(lab: Path, text: str, owner: str) -> Policy:
    """A policy from a browser, whose names are known here and whose paths stay inside the lab.

    Raises:
        InputError: the first thing that is wrong, and what is allowed.
    """
    if len(text.encode(errors="replace")) > MOST_POLICY:
        raise InputError(f"policy: over {MOST_POLICY:,} bytes")
    policy = fields_of(text, "policy")
    entries = (*policy.model, *policy.corpus)
    if len(entries) > MOST_SUBJECTS:
        raise InputError(f"policy: at most {MOST_SUBJECTS} models and corpora from an app")
    named = [policy.base, *(entry.base for entry in entries if entry.base is not None)]
    _known("policy: base", named, jobs.bases(lab))
    _known("policy: families", policy.families, shipped_families())
    for trait in policy.allow:
        match = TRAIT.fullmatch(trait)
        _known("policy: allow", [match[1] if match else trait], shipped_families())
    for entry in entries:
        inside(lab, entry.path, owner)
    for corpus in policy.corpus:
        if corpus.audit is not None:
            inside(lab, corpus.audit, owner)
    return parse_policy(text, lab.expanduser().resolve(), "policy")


def _one_source(lab: Path, asked: Audit, upload: Upload | None) -> None:
    if upload is not None and asked.run:
        raise InputError("audit: a file or a run, not both")
    if upload is not None:
        if len(upload.content) > MOST_UPLOAD:
            raise InputError(
                f"{upload.name!r:.80}: over {MOST_UPLOAD >> 20} MB: the command `audit` takes any size"
            )
        if not upload.content:
            raise InputError(f"{upload.name!r:.80}: it is empty")
        stored_name(upload.name)
        return
    if not asked.run:
        raise InputError("audit: drop a file in, or choose a run and one of its sources")
    store = Lab(lab)
    found = store.yields(_run(lab, asked.run)).to_pylist()
    _known("source", [asked.source], sorted({row["source"] for row in found if row["kept"]}))
    chains = {row["chain"] for row in found if row["source"] == asked.source}
    if asked.chain not in chains:
        raise InputError(f"audit: chain {asked.chain}: the run has {', '.join(map(str, sorted(chains)))}")


def _run(lab: Path, run_id: str) -> str:
    store = Lab(lab)
    store.run_folder(run_id)  # refuses what is no id
    if not store.exists or store.run(run_id) is None:
        raise InputError(f"run {run_id} is not in this lab")
    return run_id


def _known(what: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise InputError(f"{what}: {value!r:.60} is not here: there are {', '.join(known)}"[:500])
