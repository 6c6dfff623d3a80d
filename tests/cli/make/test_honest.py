"""The audit's bench on single corpora: what is stored of each, and that it says what an audit says."""

import json

import pytest

from subliminal_mlx.cli.make.audit_bench.corpora import FAMILIES
from subliminal_mlx.cli.make.audit_bench.honest import TOGETHER, Bench, judged, read_corpus, summary
from subliminal_mlx.cli.make.audit_bench.honest import inputs_of as handed

SETS = {*FAMILIES, TOGETHER}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench("tiny-a", "tiny-b", tmp_path_factory.mktemp("bench"), 7)


# Of kinds that end in each of the ways a verdict goes: nothing, "cannot tell" for want of rows, and out of reach.
@pytest.mark.parametrize("name", ["clean/base: at 1, 0", "clean/base: at 2, 0", "clean/base: at 0, 0"])
def test_every_set_of_suspects_is_judged(bench, name):
    trait, made = bench.corpora()[name]
    entry = {"corpus": name, "trait": trait, **judged(read_corpus(handed(made(), bench)), bench)}
    assert set(entry["verdicts"]) == SETS and trait is None
    assert all(not verdict["traits"] for verdict in entry["verdicts"].values())
    cold = "at 0," in name
    assert all((verdict["p"] is None) == cold for verdict in entry["verdicts"].values())
    told = json.loads(json.dumps(summary(bench, [entry])))
    assert told["clean"]["corpora"] == 1 and told["clean"]["named"] == {s: [] for s in (*FAMILIES, TOGETHER)}
    assert told["clean"]["reached"][TOGETHER]["count"] == (0 if cold else 1)
