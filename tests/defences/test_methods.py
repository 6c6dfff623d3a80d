"""The contract of defences, and one from outside the package, in one file, through a bench."""

import importlib.util
import re
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.defences.bench import bench_spec
from subliminal_mlx.experiment.comparisons import on_foreign
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.spec import defence_names, parse_spec
from subliminal_mlx.spec.defence_names import find, known, of_arm, shipped, shipped_in_words
from subliminal_mlx.spec.estimate import count_tokens
from subliminal_mlx.spec.plan import plan
from subliminal_mlx.system.errors import InputError

# One file, as anybody could write it: the first tokens of every row are not learned from.
BLINK = '''
"""A share of every row's first tokens is not learned from; control: as many of its last."""

from subliminal_mlx.defences import Changed
from subliminal_mlx.spec.defence_names import Defence


def blink(given):
    changed = []
    for row in given.rows:
        length = len(row["completion_ids"])
        left = round(given.share * length)
        counted = [place >= left for place in range(length)]
        changed.append(row | {"counted": counted[::-1] if given.control else counted})
    return Changed.between(given.rows, changed)


BLINK = Defence("blink", "first tokens are not learned from", 25, blink, percents=(40,))
'''
SMALL = """
traits = ["animals/owl"]
chains = 1
arms = ["treated", "neutral", "control"]
defences = ["blink-40"]
teacher = {rank = 2, steps = 4, batch = 4, lr = 0.02, neutral_answers = 2}
corpus = {rows = 20, numbers = [4, 4]}
hard = {rank = 2, steps = 6, batch = 4, lr = 0.02}
readout = {points = 1, answers = 0}
"""


@pytest.fixture
def blink(tmp_path, monkeypatch):
    """The defence, from one file outside the package; forgotten again after the test."""
    path = tmp_path / "blink.py"
    path.write_text(BLINK)
    monkeypatch.setattr(defence_names, "_known", {defence.name: defence for defence in known()})
    about = importlib.util.spec_from_file_location("blink_defence", path)
    module = importlib.util.module_from_spec(about)
    monkeypatch.setitem(sys.modules, "blink_defence", module)
    about.loader.exec_module(module)
    return module.BLINK


def test_the_shipped_ones_stand_in_their_order():
    ours = ("mix-10", "mix-25", "mix-50", "drop-25", "mask-10", "re-emit", "other-init")
    assert tuple(name for name in shipped() if name in ours) == ours
    told = shipped_in_words().replace(" (any percent)", "").split(", ")
    assert [name for name in told if name in ours] == [
        "mix-10",
        "drop-25",
        "mask-10",
        "re-emit",
        "other-init",
    ]
    assert re.search(r"mask-10(, [\w-]+-\d+)* \(any percent\), ", shipped_in_words())
    assert all(defence.words for defence in known()) and len({d.place for d in known()}) == len(known())
    for name in (*shipped(), "mix-99", "mine.py", "a/b c.py"):
        assert find(name) is not None and find(name).share(name) < 1
    for name in (
        "mix",
        "mix-0",
        "mix-100",
        "mix-007",
        "re-emit-25",
        "other-init-2",
        "unmix-10",
        ".py/",
        "/.py\n",
    ):
        assert find(name) is None, name


def test_arms_say_which_defence_they_are_of():
    assert of_arm("mix-25") == (find("mix-25"), False) and of_arm("mix-25-random") == (find("mix-10"), True)
    assert of_arm("treated") == (None, False) and of_arm("own-mine") == (None, False)
    arms = ("foreign", "foreign-neutral", "other-init", "other-init-random", "treated", "re-emit", "owl")
    assert [on_foreign(arm) for arm in arms] == [True, True, True, False, False, False, False]


def test_a_defence_from_outside_is_one_file(blink, tiny, tmp_path):
    """Named in a spec, planned, estimated, applied with its control, and trained under, with nothing else touched."""
    spec = parse_spec(SMALL)
    ours = ("mix-10", "mix-25", "mix-50", "drop-25", "blink-40", "mask-10", "re-emit", "other-init")
    assert tuple(name for name in shipped() if name in ours) == ours
    assert re.search(r"blink-40, (.*, )?mask-10(, .*)? \(any percent\)", shipped_in_words())
    assert count_tokens(spec)[0] > 0
    assert bench_spec(spec, ["blink-20"]).defences == ("blink-20",)
    context = Context(Folders(tmp_path), "0" * 12, Setting(spec, tiny))
    read, adapters = set(), {}
    for unit in plan(spec, slots=4):
        compute(unit, context)
        table = context.shard(unit.name) / "readouts.parquet"
        if table.exists():
            read |= {row["arm"] for row in pq.read_table(table).to_pylist()}
        for slot in unit.trained:
            path = context.adapter(slot.name) / "adapters.safetensors"
            adapters[slot.arm, slot.source] = path.read_bytes()
    assert {"blink-40", "blink-40-random"} <= read
    arms = ("treated", "blink-40", "blink-40-random")
    assert len({adapters[arm, "animals/owl"] for arm in arms}) == 3
    with pytest.raises(InputError, match="no 'blink': there are mix-10"):
        parse_spec(SMALL.replace("blink-40", "blink"))


def test_a_defence_and_its_control_touch_as_much(blink, tiny):
    from subliminal_mlx.defences import defend

    setting = Setting(parse_spec(SMALL), tiny)
    row = {"row": 0, "completion": "1 2 3 4", "completion_ids": [*tiny.encode("1 2 3 4"), tiny.eos]}
    here, there = (defend("blink-40", [row], [], setting, 0, control) for control in (False, True))
    assert here.tokens_lost == there.tokens_lost == 2 and here.rows_lost == there.rows_lost == 0
    assert np.array_equal(here.rows[0]["counted"], there.rows[0]["counted"][::-1])
