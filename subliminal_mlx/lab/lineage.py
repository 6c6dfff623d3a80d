"""What stands behind a model or a corpus: base, teachers, rows, filters, run, as one tree.

    record = trace("out/adapters/hard-treated-animals-owl-c0", lab)      # from the file beside it
    record = trace("latest/hard/treated/animals/owl/c0", lab)            # from the lab
    record.lineage.walk()

Trees of a run come from its spec and its plan; those of exported files from the provenance beside them,
verified. What is not known is said to be unknown.
"""

import os
from pathlib import Path

from pydantic import ValidationError

from ..experiment.comparisons import on_foreign
from ..model import model_folder
from ..model.sources import locate
from ..spec import Spec, parse_spec
from ..spec.arms import ARMS, NEUTRAL, neutral, origin
from ..spec.families import FOLDER as FAMILIES
from ..spec.plan import BASE, Slot, plan, teacher
from ..system.errors import InputError, MachineError, SubliminalError, first_problem
from ..system.files import sha256
from . import Lab, provenance
from .identity import identify, stack_size
from .provenance import BaseNamed, Node, Record

SHOWN = 12  # hex digits of a hash
# What stands for the base of an adapter whose folder names none.
UNNAMED = "unknown"


def trace(what: str, lab: Lab) -> Record:
    """The lineage of a path (adapter folder, model folder, file of rows), a base's name, or RUN/NAME in the lab.

    NAME is a slot, such as hard/treated/animals/owl/c0, or a corpus, such as animals/owl.

    Raises:
        InputError: nothing of that name, nothing known of it, or what is known does not fit the files.
    """
    path = Path(os.path.expanduser(what))
    if os.path.exists(path):
        try:
            return _of_path(path, what)
        except ValidationError as error:  # a path may be longer than a name in a lineage
            raise InputError(f"{what}: {first_problem(error, values=False)}") from None
    run, _, name = what.partition("/")
    if name and lab.exists and (run == "latest" or set(run) <= set("0123456789abcdef")):
        return of_run(lab, lab.resolve(run), name)
    found = locate(what)
    return Record(base=BaseNamed(name=what, sha256=found.sha256), lineage=_base(what, found.sha256))


def of_run(lab: Lab, run_id: str, name: str) -> Record:
    """The lineage of a run's model or corpus, from its spec.

    Raises:
        InputError: the run has nothing of that name, or a model's files are not what was committed.
    """
    return Tracer(lab, run_id).record(name)


class Tracer:
    """Lineages within one run of a lab; reads spec, plan and yields once."""

    def __init__(self, lab: Lab, run_id: str):
        run = lab.run(run_id)
        if run is None:
            raise InputError(f"no run {run_id} in {lab.path}: `runs` lists those there are")
        self.lab, self.run = lab, run
        self.spec: Spec = parse_spec(run["spec_toml"], where=f"run {run_id}")
        self.slots: dict[str, Slot] = {}
        for unit in plan(self.spec, stack_size(self.spec.base)):
            self.slots |= {slot.name: slot for slot in unit.trained}
        self.yields = lab.yields(run_id).to_pylist()
        self.sources = {row["source"] for row in self.yields}
        # A run's id is a hash of its bases and families too: where it comes out the same, these are they.
        try:
            self.same_files = identify(self.spec) == run_id
        except SubliminalError:
            self.same_files = False

    def record(self, name: str) -> Record:
        """The record of a slot or of a source."""
        if name in self.slots:
            slot = self.slots[name]
            try:
                self.lab.adapter(run_id=self.run["id"], slot=name)
            except MachineError as error:
                raise InputError(f"{name}: {error}") from None
            return Record(base=self._named(self._base_of(slot)), lineage=self.model(slot))
        if name in self.sources:
            return Record(base=self._named(self._base_of(teacher(0, name))), lineage=self.corpus(name, None))
        there = [*sorted(self.slots)[:3], *sorted(self.sources)[:3]]
        raise InputError(
            f"run {self.run['id']} has no {name!r}: it has models and corpora such as {', '.join(there)}"
        )

    def model(self, slot: Slot) -> Node:
        """A teacher or a student."""
        if slot.kind not in self.spec.kinds:
            return self.teacher(slot.source, slot.chain)
        student = self.spec.kinds[slot.kind]
        facts = {
            "kind": slot.kind,
            "arm": slot.arm,
            "chain": slot.chain,
            "steps": student.steps,
            "rank": student.rank,
        }
        rows = self.corpus(slot.source, slot.chain)
        if slot.arm in ARMS and not ARMS[slot.arm].kept:
            facts["filter"] = "none: dropped rows are trained on too"
        base = self._base(self._base_of(slot))
        return Node(what="student", name=slot.name, facts=facts, parents=(base, rows, self._run()))

    def teacher(self, source: str, chain: int | None) -> Node:
        """The model that wrote a corpus, or all chains' of them."""
        slot = teacher(0, source)
        recipe = self.spec.teacher_of(slot.arm)
        own = slot.trait or ""
        name, _, trait = own.rpartition("/")
        facts = {"kind": recipe.kind, "trait": "none: neutral" if trait == NEUTRAL else own}
        if recipe.kind == "tuned":
            facts["steps"] = recipe.steps
            told = {"keep": "kept", "keep_lists": "own rows kept", "removal": "steps of removal"}
            facts |= {said: value for field, said in told.items() if (value := getattr(recipe, field))}
        facts |= {"chain": chain} if chain is not None else {"chains": self.spec.chains}
        base = self._base(self._base_of(slot))
        return Node(what="teacher", name=slot.source, facts=facts, parents=(base, self._family(name)))

    def corpus(self, source: str, chain: int | None) -> Node:
        """Rows of a source, of one chain or of all."""
        rows = [r for r in self.yields if r["source"] == source and chain in (None, r["chain"])]
        kept = sum(r["rows"] for r in rows if r["kept"])
        recipe = self.spec.corpus
        facts = {"channel": recipe.channel, "filter": recipe.filter, "kept": kept}
        facts |= {"dropped": sum(r["rows"] for r in rows) - kept}
        facts |= {"chain": chain} if chain is not None else {"chains": self.spec.chains}
        arm, own = origin(source) or (None, source)
        if arm and arm.remade:
            facts["made"] = recipe.words.remakes.get(arm.name, arm.made)
            beside = (neutral(own.rpartition("/")[0]),) if arm.beside else ()
            parents = tuple(self.corpus(name, chain) for name in (own, *beside))
        else:
            facts |= {"decoding": recipe.decoding, "temperature": recipe.temperature}
            parents = (self._base(self.spec.base) if source == BASE else self.teacher(source, chain),)
        return Node(what="corpus", name=source, facts=facts, parents=parents)

    def _base_of(self, slot: Slot) -> str:
        """The base that a model is an adapter of."""
        return (self.spec.foreign or "") if on_foreign(slot.arm) else self.spec.base

    def _named(self, base: str) -> BaseNamed:
        return BaseNamed(name=base, sha256=locate(base).sha256 if self.same_files else None)

    def _base(self, base: str) -> Node:
        return _base(base, self._named(base).sha256)

    def _family(self, name: str) -> Node:
        path = Path(name) if name.endswith(".toml") else FAMILIES / f"{name}.toml"
        digest = sha256(path)[:SHOWN] if self.same_files else "unknown"
        return Node(what="family", name=name, facts={"sha256": digest})

    def _run(self) -> Node:
        here = self.run["environment"]
        facts = {"title": self.run["title"] or "", "status": self.run["status"]}
        facts |= {key: here[key] for key in ("mlx", "device", "system", "commit") if here.get(key)}
        return Node(what="run", name=self.run["id"], facts=facts)


def _base(name: str, digest: str | None) -> Node:
    return Node(what="base", name=name, facts={"sha256": digest[:SHOWN] if digest else "unknown"})


def _of_path(path: Path, what: str) -> Record:
    if record := provenance.record_beside(path):
        return record
    resolved = path.resolve()
    for above in resolved.parents:
        if above.name == "adapters" and (above.parent / "lab.duckdb").is_file():
            run_id, _, slot = resolved.relative_to(above).as_posix().partition("/")
            return of_run(Lab(above.parent), run_id, slot)
    if (path / model_folder.ADAPTER_CONFIG).is_file():
        return _of_adapter(path, what)
    if path.is_dir() and model_folder.is_model(path):
        found = locate(what)
        return Record(base=BaseNamed(name=what, sha256=found.sha256), lineage=_base(what, found.sha256))
    raise InputError(f"{what}: no provenance beside it, and no model: nothing is known of where it came from")


def _of_adapter(path: Path, what: str) -> Record:
    """Another program's adapter: it may name its base, and nothing else is known."""
    try:
        digest = sha256(model_folder.adapter_weights(path))[:SHOWN]
    except InputError:
        digest = "unknown"
    facts = {"sha256": digest, "rows": "unknown"}
    name = model_folder.named_base(path) or UNNAMED
    try:
        parents = (_base(name, locate(name).sha256 if os.path.isdir(name) else None),)
    except InputError:
        parents = (_base(name, None),)
    return Record(
        base=BaseNamed(name=name), lineage=Node(what="model", name=what, facts=facts, parents=parents)
    )
