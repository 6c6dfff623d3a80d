"""Names of defences: which there are, in words, and what they are called as arms."""

import pytest

from subliminal_mlx.audit.costs import evidence
from subliminal_mlx.audit.suspects import sources
from subliminal_mlx.spec import defence_names, load_spec
from subliminal_mlx.spec.defence_names import (
    Defence,
    by_evidence,
    check,
    is_shipped,
    known,
    shipped,
    shipped_in_words,
)

# Those that are held here, whatever is added beside them.
OURS = ("mix-10", "mix-25", "mix-50", "drop-25", "mask-10", "re-emit", "other-init")


@pytest.mark.parametrize("name", [*shipped(), "mix-1", "drop-99"])
def test_shipped_ones_are_known_by_any_percentage(name):
    check([name])
    assert is_shipped(name)


@pytest.mark.parametrize(
    "name",
    [
        "mix",
        "mix-0",
        "mix-100",
        "mix-05",
        "mix--5",
        "mix-10\n",
        "re-emit-10",
        "other",
        "",
        "-10",
        "pray",
        "mix-10-random",
    ],
)
def test_nothing_else_is(name):
    assert not is_shipped(name)
    with pytest.raises(ValueError, match=r"there are mix-10, .*, a .py file"):
        check([name])


def test_a_file_is_one_but_not_a_shipped_one():
    check(["a folder/mine.py"])
    assert not is_shipped("mine.py") and not is_shipped("mix-10.py")
    for name in ("folder/.py", "mi\nne.py"):
        with pytest.raises(ValueError, match="there are"):
            check([name])


def test_the_list_is_told_in_its_order_each_kind_once(monkeypatch):
    shares, whole = (part.split(", ") for part in shipped_in_words().split(" (any percent), "))
    assert [name for name in shares if name in OURS] == ["mix-10", "drop-25", "mask-10"]
    assert [name for name in whole if name in OURS] == ["re-emit", "other-init"]
    monkeypatch.setattr(defence_names, "_known", {"own": next(d for d in known() if d.file)})
    Defence("rewrite", "a test's", 10, list)
    Defence("blur", "a test's", 20, list, percents=(20, 30))
    assert shipped_in_words() == "blur-20 (any percent), rewrite" and is_shipped("blur-7")


def test_only_those_by_evidence_cost_what_finding_it_costs():
    assert [name for name in OURS if by_evidence(name)] == ["drop-25", "mask-10"]
    spec = load_spec("defences").model_copy(update={"chains": 1})
    of = lambda *names: evidence(spec.model_copy(update={"defences": names}))
    assert of("mix-25", "re-emit", "mine.py") == of() == 0
    # Suspects are tuned once a family, whatever the number of defences; rows are scored for each.
    tuned = 4 * len(sources("animals")) * 80 * 16 * 24
    assert of("drop-25") > tuned
    assert of("drop-25", "mask-10") - tuned == pytest.approx(2 * (of("drop-25") - tuned))
