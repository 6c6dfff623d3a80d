"""The plan of a run: every arm has its units, and each unit only needs what comes before it."""

import hashlib
import itertools

import mini
import pytest

from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.pipeline.units import _STAGES, shard_folder
from subliminal_mlx.spec import Spec, load_spec, presets
from subliminal_mlx.spec.arms import DEFAULT
from subliminal_mlx.spec.plan import BASE, Slot, neutral, plain, plan, teacher

REDRAWN = ("traceless", "traceless-2", "thinned")
ABLATIONS = (
    "shuffled",
    "random",
    "foreign",
    "foreign-own",
    "in-context",
    "unfiltered",
    *REDRAWN,
    "kept-lists",
)
SPECS = {name: load_spec(name) for name in presets()}
SPECS["everything"] = mini.spec()
SPECS["everything but lists that are kept"] = mini.spec(ablations=ABLATIONS[:-1])
SPECS["everything but rows drawn again"] = mini.spec(
    ablations=[a for a in ABLATIONS[:-1] if a not in REDRAWN]
)
SPECS["without what came later"] = mini.spec(
    arms=DEFAULT, ablations=["shuffled", "random", "foreign", "in-context", "unfiltered"]
)
SPECS["two families, own questions"] = mini.spec(
    traits=["animals/owl", "animals/cat", "trees/oak", "/some where/my.toml/x"], ablation_traits=[], chains=11
)
SPECS["soft only"] = mini.spec(hard=None, ablations=["foreign", "in-context"])
CASES = [
    pytest.param(spec, slots, id=f"{name}-{slots}") for name, spec in SPECS.items() for slots in (1, 4, 6)
]


def wanted(spec: Spec) -> set[tuple]:
    """Every model of the spec, as (kind, arm, trait, chain): what its fields promise, said without the plan."""
    families = list(dict.fromkeys(trait.rpartition("/")[0] for trait in spec.traits))
    ablated = list(dict.fromkeys(trait.rpartition("/")[0] for trait in spec.ablated))
    found = set()
    for kind, of in (("hard", spec.hard), ("soft", spec.soft)):
        if of is None:
            continue
        found |= {(kind, "treated", trait) for trait in spec.traits}
        found |= {(kind, "neutral", neutral(family)) for family in families}
        if "control" in spec.arms:
            found.add((kind, "control", None))
        if "neutral-again" in spec.arms:
            found |= {(kind, "neutral-again", neutral(family)) for family in families}
        for arm in {"foreign", "foreign-own", "kept-lists"} & set(spec.ablations):
            found |= {(kind, arm, trait) for trait in spec.ablated}
            found |= {(kind, f"{arm}-neutral", neutral(family)) for family in ablated}
        for defence in spec.defences:
            for arm in (defence, f"{defence}-random"):
                found |= {(kind, arm, trait) for trait in spec.traits}
                found |= {(kind, arm, neutral(family)) for family in families}
        if kind == "hard":
            for arm in {"shuffled", "unfiltered", *REDRAWN} & set(spec.ablations):
                found |= {(kind, arm, trait) for trait in spec.ablated}
            if "random" in spec.ablations:
                found.add((kind, "random", None))
    return {(*model, chain) for model in found for chain in range(spec.chains)}


@pytest.mark.parametrize(("spec", "slots"), CASES)
def test_every_arm_of_the_spec_is_trained_once(spec, slots):
    units = plan(spec, slots)
    trained = [slot for unit in units for slot in unit.trained if unit.stage != "teachers"]
    found = [(slot.kind, slot.arm, slot.trait, slot.chain) for slot in trained]
    assert len(set(found)) == len(found) and set(found) == wanted(spec)


@pytest.mark.parametrize(("spec", "slots"), CASES)
def test_units_need_only_what_comes_before_them(spec, slots):
    units, before = plan(spec, slots), set()
    for unit in units:
        assert before.issuperset(unit.needs), unit.name
        if unit.stage != "rows":
            assert {name.split("/c")[-1].split("/")[0] for name in unit.needs} <= {str(unit.chain)}
        before.add(unit.name)
    assert len(before) == len(units)


@pytest.mark.parametrize(("spec", "slots"), CASES)
def test_every_corpus_is_made_before_it_is_read(spec, slots):
    """Also the whole chain's, whose smallest says how many rows all its students train on."""
    units = {unit.name: unit for unit in plan(spec, slots)}
    for unit in units.values():
        makers = [other for other in units.values() if other.stage in ("corpora", "derived")]
        own = {other.name for other in makers if other.chain == unit.chain}
        if unit.stage in ("students", "foreign", "in-context"):
            made = {slot.source for name in unit.needs for slot in units[name].slots}
            assert {slot.source for slot in unit.slots} <= made and set(unit.needs) == own
        if unit.stage == "corpora" and unit.slots[0].source != BASE:
            if spec.teacher.kind == "prompted":
                assert not unit.needs
            else:
                tuned = {slot.name for name in unit.needs for slot in units[name].trained}
                assert {teacher(unit.chain, slot.source).name for slot in unit.slots} <= tuned
                if unit.slots[0].arm != "neutral-again":
                    (teachers,) = unit.needs
                    assert units[teachers].slots == unit.slots


@pytest.mark.parametrize(("spec", "slots"), CASES)
def test_rows_are_read_once_of_all_chains_and_wait_for_no_student(spec, slots):
    *others, reading = plan(spec, slots)
    makers = [unit for unit in others if unit.stage in ("corpora", "derived")]
    makers = [unit for unit in makers if not unit.name.startswith("corpora/foreign/")]
    assert reading.stage == "rows" and not any(unit.stage == "rows" for unit in others)
    assert set(reading.needs) == {unit.name for unit in makers}
    assert reading.slots == tuple(slot for unit in makers for slot in unit.slots)
    # A chain is finished without it, and what it says of finished chains is there as soon as all rows are.
    assert reading.chain == spec.chains and reading.name not in {
        name for unit in others for name in unit.needs
    }


@pytest.mark.parametrize(("spec", "slots"), CASES)
def test_stacks_are_small_and_names_their_own(spec, slots, tmp_path):
    units, folders = plan(spec, slots), Folders(tmp_path)
    shards = {shard_folder(folders, "0" * 12, unit.name) for unit in units}
    assert len(shards) == len(units) == len({unit.name for unit in units})
    adapters = [folders.adapter_folder("0" * 12, slot.name) for unit in units for slot in unit.trained]
    assert len(set(adapters)) == len(adapters)
    # A folder of one adapter holds no other's.
    assert not {parent for path in adapters for parent in path.parents} & set(adapters)
    for unit in units:
        assert unit.cost > 0 and unit.stage in _STAGES
        assert 0 <= unit.chain < spec.chains + (unit.stage == "rows")
        if unit.trained:
            assert len(unit.slots) <= slots
    # Students of one defence, or of its random control, share stacks with no others.
    of = lambda unit: (
        unit.stage,
        unit.chain,
        unit.slots[0].kind,
        unit.stage == "defended" and unit.slots[0].arm,
    )
    for _, group in itertools.groupby(units, of):
        sizes = [len(unit.slots) for unit in group if unit.trained]
        # No more stacks than it takes, and all but the last of one size.
        assert len(sizes) == -(-sum(sizes) // slots) and len(set(sizes[:-1])) <= 1
        assert not sizes or sizes[-1] <= sizes[0]


def test_eight_slots_are_four_and_four():
    units = [unit for unit in plan(load_spec("default"), 6) if unit.name.startswith("teachers/c0/")]
    assert [len(unit.slots) for unit in units] == [4, 4]


def test_the_plan_is_the_same_every_time():
    for spec in SPECS.values():
        assert plan(spec, 6) == plan(spec.model_copy(), 6)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_only_adds(ablation):
    """The other arms' units stay what they are, but for what they wait for."""
    plain_spec, more = mini.spec(ablations=[], ablation_traits=[]), mini.spec(ablations=[ablation])
    models = lambda spec: {slot for unit in plan(spec, 1) for slot in unit.slots}
    added = models(more) - models(plain_spec)
    assert models(plain_spec) < models(more)
    own = {
        "foreign-own": {"foreign-teacher"},
        "kept-lists": {"kept-lists-teacher"},
    }.get(ablation, set())
    assert {slot.arm.removesuffix("-neutral") for slot in added} == {ablation} | own
    assert {slot.trait for slot in added} <= {"animals/owl", "animals/neutral", None}


@pytest.mark.parametrize(
    ("name", "digest"),
    {
        "all": "03105d161713",
        "default": "4577316efdb4",
        "defences": "80b793554c0f",
        "leaky": "292b1dfd997c",
        "everything": "d886e02d512e",
        "everything but lists that are kept": "8cd02dbb4582",
        "everything but rows drawn again": "77a34b18a1f9",
        "without what came later": "edd447a74f79",
    }.items(),
)
def test_plans_stay_what_they_were(name, digest):
    """Names, order and company of models: what stands together in a stack is computed together."""
    told = [
        (unit.name, unit.stage, [(slot.name, slot.source) for slot in unit.slots], unit.needs, unit.cost)
        for unit in plan(SPECS[name], 6)
        if unit.stage != "rows"
    ]
    assert hashlib.sha256(repr(told).encode()).hexdigest()[:12] == digest


def test_a_teacher_of_the_other_base_is_tuned_there_and_writes_there():
    assert_writes_for(mini.spec(ablations=["foreign-own"]), "foreign", "hard/foreign/c0/0")


def test_a_teacher_that_keeps_lists_writes_for_students_of_the_base():
    assert_writes_for(mini.spec(ablations=["kept-lists"]), "kept-lists", "hard/c0/1")
    # Beside other arms of such teachers each kind is by itself: one is tuned otherwise, or elsewhere.
    both = plan(mini.spec(ablations=["kept-lists", "foreign-own"]), 6)
    names = [unit.name for unit in both if unit.stage == "teachers"]
    assert names == ["teachers/c0/0", "teachers/foreign/c0/0", "teachers/kept-lists/c0/0"]
    assert all(len({slot.arm for slot in unit.slots}) == 1 for unit in both if unit.stage == "teachers")


def assert_writes_for(spec, where, students):
    units = {unit.name: unit for unit in plan(spec, 6)}
    made, drawn = units[f"teachers/{where}/c0/0"], units[f"corpora/{where}/c0/0"]
    assert [slot.name for slot in made.slots] == [
        f"{where}-teacher/animals/owl/c0",
        f"{where}-teacher/animals/neutral/c0",
    ]
    assert drawn.slots == made.slots == made.trained and drawn.needs == (made.name,)
    # As much work as the same of the base, so that progress and time left are right.
    per_slot = lambda name: units[name].cost / len(units[name].slots)
    assert per_slot(made.name) == per_slot("teachers/c0/0")
    assert per_slot(drawn.name) == per_slot("corpora/c0/0")
    assert drawn.name in units[students].needs
    read = {slot.source for slot in units[students].slots}
    assert {slot.source for slot in made.slots} <= read


def test_names_of_slots():
    assert Slot("hard", "treated", 0, "animals/owl", "animals/owl").name == "hard/treated/animals/owl/c0"
    assert Slot("teacher", "teacher", 3, "animals/owl", "animals/owl").name == "teacher/animals/owl/c3"
    assert Slot("hard", "control", 1, None, BASE).name == "hard/control/c1"
    assert Slot("hard", "treated", 0, "../my.toml/owl", "").name == "hard/treated/my/owl/c0"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("animals/owl", "animals/owl"),
        ("shuffled/animals/owl", "shuffled/animals/owl"),
        ("/a b/pets.toml/owl", "pets/owl"),
        ("pets.toml/neutral", "pets/neutral"),
        ("shuffled//a/x.toml/pets.toml/owl", "shuffled/pets/owl"),
        ("foreign-teacher//a/x.toml/pets.toml/owl", "foreign-teacher/pets/owl"),
        ("kept-lists-teacher//a/x.toml/pets.toml/owl", "kept-lists-teacher/pets/owl"),
        (BASE, BASE),
    ],
)
def test_names_without_folders(source, expected):
    assert plain(source) == expected
