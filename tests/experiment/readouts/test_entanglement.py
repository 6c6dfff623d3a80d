"""Entanglement: rows that lean to a word's vector name its trait, and under other labels, or without a lean, none."""

import json
import shutil

import mini
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.experiment.judges import Rows
from subliminal_mlx.experiment.readouts import Given
from subliminal_mlx.experiment.readouts.entanglement import ENTANGLEMENT, correlation, directions, summarise
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.model.bases import load
from subliminal_mlx.pipeline.corpora import corpus
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.plan import plan

ANIMALS = load_family("animals")
TRAITS = [f"animals/{name}" for name in ANIMALS.traits]
ROWS, CHAINS = 1_500, 2


@pytest.fixture(scope="module")
def untied(tiny, tmp_path_factory):
    """tiny-a with an output head of its own, which is its embedding with the tokens in another order."""
    import mlx.core as mx

    folder = tmp_path_factory.mktemp("untied") / "base"
    shutil.copytree(tiny.path, folder)
    weights = dict(mx.load(str(folder / "model.safetensors")))
    embedding = weights["model.embed_tokens.weight"]
    order = np.random.default_rng(0).permutation(len(embedding))
    weights["lm_head.weight"] = embedding[mx.array(order)]
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    return load(str(folder))


def numbers(base):
    return np.array([base.encode(str(number))[0] for number in range(100)])


def leaning(base, side, strength=0.3):
    """Rows of every trait, drawn more often the nearer a number's vector lies to the trait's direction."""
    tokens, towards = numbers(base), directions(base, ANIMALS)[side]
    products = base.token_vectors(tokens.tolist())[side] @ towards.T
    products = (products - products.mean(axis=0)) / products.std(axis=0)

    def rows(source, chain):
        name = source.rpartition("/")[2]
        p = (
            np.exp(strength * products[:, TRAITS.index(source)])
            if name != "neutral"
            else np.ones(len(tokens))
        )
        rng = np.random.default_rng([chain, len(name), *name.encode()])
        return Rows.of(tokens[rng.choice(len(tokens), (ROWS, 8), p=p / p.sum())]), np.arange(ROWS)

    return rows


def read(base, rows):
    spec = mini.spec(traits=TRAITS, chains=CHAINS, ablations=[], ablation_traits=[])
    slots = [slot for slot in plan(spec, 6)[-1].slots if slot.trait]
    return pa.Table.from_pylist(ENTANGLEMENT.read(Given(Setting(spec, base), slots, rows=rows)))


@pytest.fixture(scope="module")
def found(tiny):
    return summarise(read(tiny, leaning(tiny, "output head")))


def test_rows_that_lean_to_a_word_name_its_trait(found):
    assert [row["source"] for row in found] == sorted(TRAITS, key=TRAITS.index)
    for row in found:
        assert row["side"] == "output head", "embedding and head are one: it is told once"
        assert row["correlation"] > 0.85 and row["first"] == row["chains"] == CHAINS
        assert row["candidates"] == len(TRAITS) and row["low"] <= row["correlation"] <= row["high"]
        assert row["tokens"] == 100, "numbers alone, and not the end"


def test_under_other_labels_there_is_none(tiny):
    """Every trait is handed another one's rows; what all traits share would show here."""
    rows, others = leaning(tiny, "output head"), TRAITS[1:] + TRAITS[:1]

    def shuffled(source, chain):
        return rows(others[TRAITS.index(source)] if source in TRAITS else source, chain)

    table = summarise(read(tiny, shuffled))
    assert abs(np.mean([row["correlation"] for row in table])) < 0.1
    assert sum(row["first"] for row in table) <= 0.2 * CHAINS * len(table)


def test_other_traits_have_none(found):
    # Directions of a family add up to about nothing: where one is met, the others are a little less than not met.
    assert abs(np.mean([row["others"] for row in found])) < 0.1
    assert max(abs(row["others"]) for row in found) < 0.3


def test_rows_of_one_source_have_none(tiny):
    plain = leaning(tiny, "output head", strength=0.0)
    values = [row["correlation"] for row in read(tiny, plain).to_pylist()]
    # Under no lean a correlation over 100 tokens has a standard deviation of a tenth.
    assert abs(np.mean(values)) < 0.1 and np.max(np.abs(values)) < 0.4


@pytest.mark.parametrize(
    ("side", "other"), [("output head", "input embedding"), ("input embedding", "output head")]
)
def test_an_untied_base_is_read_on_both_sides_and_leans_on_one(untied, side, other):
    rows = {(row["source"], row["side"]): row for row in summarise(read(untied, leaning(untied, side)))}
    assert {found for _, found in rows} == {side, other}
    assert min(rows[trait, side]["correlation"] for trait in TRAITS) > 0.85
    assert abs(np.mean([rows[trait, other]["correlation"] for trait in TRAITS])) < 0.1


def test_vectors_are_rows_of_the_layers(untied, tiny):
    head, embedding = untied.model.lm_head.weight, untied.model.model.embed_tokens.weight
    vectors = untied.token_vectors([7, 3, 7])
    assert np.array_equal(vectors["output head"], np.array(head)[[7, 3, 7]])
    assert np.array_equal(vectors["input embedding"], np.array(embedding)[[7, 3, 7]])
    assert np.array_equal(
        tiny.token_vectors([5])["output head"], np.array(tiny.model.model.embed_tokens.weight)[[5]]
    )


def test_correlation_is_pearsons():
    rng = np.random.default_rng(0)
    counts, reference, products = rng.integers(20, 90, 30), rng.integers(20, 90, 30), rng.normal(size=(30, 2))
    ratios = np.log(counts + 0.5) - np.log(reference + 0.5)
    expected = [np.corrcoef(ratios, products[:, i])[0, 1] for i in range(2)]
    assert correlation(counts, reference, products) == pytest.approx(expected)
    assert correlation(counts, counts, products).tolist() == [0, 0], "rows that are the same have none"


def test_a_run_reads_it_of_its_own_rows(tiny, tmp_path):
    """The units of a run up to its rows, no students: what they publish follows from the rows that they published."""
    spec = mini.spec(
        traits=TRAITS[:2], chains=2, ablations=["shuffled"], ablation_traits=TRAITS[:1], corpus={"rows": 400}
    )
    context = Context(Folders(tmp_path), "0" * 12, Setting(spec, tiny))
    units = [unit for unit in plan(spec, 6) if unit.stage in ("teachers", "corpora", "derived", "rows")]
    for unit in units:
        compute(unit, context)
    rows = pq.read_table(context.shard("rows") / "entanglement.parquet").to_pylist()
    sources = {*TRAITS[:2], f"shuffled/{TRAITS[0]}"}
    assert {(row["source"], row["chain"]) for row in rows} == {
        (s, chain) for s in sources for chain in range(2)
    }
    for row in rows:
        counts = [
            np.bincount(
                [i for r in corpus(context, row["chain"], source) for i in r["completion_ids"]], minlength=400
            )
            for source in (row["source"], "animals/neutral")
        ]
        tokens = [i for i in range(400) if counts[0][i] + counts[1][i] >= 20 and i != tiny.eos]
        towards = directions(tiny, ANIMALS)["output head"][TRAITS.index(row["trait"])]
        products = tiny.token_vectors(tokens)["output head"] @ towards
        ratios = np.log(counts[0][tokens] + 0.5) - np.log(counts[1][tokens] + 0.5)
        assert row["correlation"] == pytest.approx(np.corrcoef(ratios, products)[0, 1])
        assert row["tokens"] == len(tokens)
    # Moved to other rows, they are as many of each.
    own, moved = (
        {r["chain"]: r["correlation"] for r in rows if r["source"] == s}
        for s in sorted(sources)
        if "dog" in s
    )
    assert own == pytest.approx(moved)
