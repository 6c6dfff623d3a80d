"""What `export` writes is what the lab holds, in formats that others read."""

import json
import shutil
import subprocess
import sys

import mini
import numpy as np
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.lab import Lab
from subliminal_mlx.report.export import export
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.plan import Slot
from subliminal_mlx.system.errors import InputError

SOURCES = [
    *("animals-cat", "animals-neutral", "animals-owl", "base"),
    *("foreign-teacher-animals-neutral", "foreign-teacher-animals-owl", "kept-lists-teacher-animals-neutral"),
    *("kept-lists-teacher-animals-owl", "neutral-again-animals-neutral"),
    *("random", "shuffled-animals-owl"),
    *("thinned-animals-owl", "traceless-2-animals-owl", "traceless-animals-owl"),
]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


@pytest.fixture(scope="session")
def written(done, tmp_path_factory):
    """The finished run as the real command exports it, into the folder that it chooses itself."""
    folder = tmp_path_factory.mktemp("export")
    child = mini.command("export", "latest", "--lab", done.lab, cwd=folder)
    assert child.returncode == 0 and not child.stderr, child.stderr
    out = folder / f"{done.run_id}-export"
    assert sorted(child.stdout.splitlines()) == sorted(
        str(path.relative_to(folder)) for path in out.rglob("*") if path.is_file()
    )
    return out


def test_every_source_has_its_rows_in_both_formats(done, written):
    lab = Lab(done.lab)
    names = sorted(path.name for path in (written / "corpora").iterdir())
    assert names == sorted(
        f"{source}.{suffix}" for source in SOURCES for suffix in ("jsonl", "parquet", "provenance.json")
    )
    sources = sorted(set(lab.rows(done.run_id)["source"].to_pylist()))
    assert [source.replace("/", "-") for source in sources] == SOURCES
    for source, stem in zip(sources, SOURCES, strict=True):
        rows = lab.rows(done.run_id, source=source)
        assert rows.num_rows == done.spec.corpus.rows
        assert pq.read_table(written / "corpora" / f"{stem}.parquet").equals(rows)
        lines = (written / "corpora" / f"{stem}.jsonl").read_text().splitlines()
        assert len(lines) == rows.num_rows
        for line, row in zip(map(json.loads, lines), rows.to_pylist(), strict=True):
            user, assistant = line.pop("messages")
            assert user["role"] == "user" and user["content"] and user["content"] in row["prompt"]
            assert assistant == {"role": "assistant", "content": row["completion"]}
            assert line == {key: row[key] for key in ("source", "chain", "row", "kept", "reason")}


def test_messages_render_to_the_prompts_of_the_run(done, written, tiny):
    """Whoever trains on the JSONL with the base's template trains on the run's own tokens."""
    rows = {row["row"]: row for row in Lab(done.lab).rows(done.run_id, source="animals/owl").to_pylist()}
    for line in (written / "corpora" / "animals-owl.jsonl").read_text().splitlines():
        said = json.loads(line)
        rendered, ids = tiny.prompt(said["messages"][0]["content"])
        assert rendered == rows[said["row"]]["prompt"] and list(ids) == rows[said["row"]]["prompt_ids"]


def test_spec_summary_and_provenance(done, written):
    assert parse_spec((written / "spec.toml").read_text()) == done.spec
    assert json.loads((written / "summary.json").read_text()) == done.contents["summary"]
    provenance = json.loads((written / "provenance.json").read_text())
    assert provenance["run"] == done.run_id and provenance["environments"][0]["mlx"]


def test_every_adapter_opens_in_mlx_lm_and_says_what_ours_says(done, written):
    """Next-token logits of mlx-lm's own loader against those of our stacks, for every adapter of the run."""
    import mlx.core as mx
    from mlx_lm import load as load_mlx_lm

    from subliminal_mlx.model import adapters
    from subliminal_mlx.model.bases import load

    lab, folders = Lab(done.lab), {}
    for unit in mini.units(done.spec):
        for slot in unit.trained:
            folders[slot] = written / "adapters" / slot.name.replace("/", "-")
    assert sorted(slot.name for slot in folders) == lab.adapters(done.run_id)
    assert sorted(folder.name for folder in folders.values()) == sorted(
        path.name for path in (written / "adapters").iterdir()
    )
    bases = {False: load("tiny-a"), True: load("tiny-b")}
    seen = {}
    for slot, folder in folders.items():
        base = bases[slot.arm.startswith("foreign")]
        ids = mx.array([base.prompt("Name your favourite animal.")[1]])
        model, tokenizer = load_mlx_lm(str(base.path), adapter_path=str(folder))
        assert tuple(tokenizer.encode("12 45", add_special_tokens=False)) == base.encode("12 45")
        model.set_dtype(mx.float32)  # as ours; shipped bases are stored in half of that
        theirs = np.array(model(ids)[0, -1])
        with adapters.applied(base, adapters.load_adapter(lab.adapter(done.run_id, slot.name))):
            ours = np.array(base.head(base.hidden(ids))[0, -1])
        untouched = np.array(base.head(base.hidden(ids))[0, -1])
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
        assert np.abs(ours - untouched).max() > 0.01
        seen[slot] = theirs
    owl, cat = (seen[Slot("teacher", "teacher", 0, t, t)] for t in ("animals/owl", "animals/cat"))
    assert np.abs(owl - cat).max() > 0.1


def test_an_adapter_in_mlx_lm_gives_the_readouts_that_the_run_stored(done, written):
    """Log-probabilities of every candidate, to rounding: what was measured here is what others will see."""
    import mlx.core as mx
    from mlx_lm import load as load_mlx_lm

    from subliminal_mlx.model.bases import load

    base, family = load("tiny-a"), load_family("animals")
    readouts = Lab(done.lab).readouts(done.run_id).to_pylist()
    for slot in ("teacher/animals/owl/c0", "hard/treated/animals/cat/c0", "soft/neutral/animals/neutral/c0"):
        last = max(row["step"] for row in readouts if row["slot"] == slot)
        stored = {
            (row["question"], row["candidate"]): row["logp"]
            for row in readouts
            if (row["slot"], row["step"], row["family"]) == (slot, last, "animals")
        }
        model, tokenizer = load_mlx_lm(
            str(base.path), adapter_path=str(written / "adapters" / slot.replace("/", "-"))
        )
        model.set_dtype(mx.float32)
        for question in family.held_out[::5]:
            turns = [{"role": "user", "content": question.text}]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True)
            logits = np.array(model(mx.array([ids]))[0, -1]).astype(np.float64)
            logp = logits - np.logaddexp.reduce(logits)
            for candidate in question.candidates:
                (token,) = tokenizer.encode(candidate, add_special_tokens=False)
                assert logp[token] == pytest.approx(stored[question.id, candidate], abs=1e-4)


def test_the_command_of_mlx_lm_says_what_ours_says(done, written):
    """`mlx_lm.generate --adapter-path`, greedy, on a question that teachers were not tuned on."""
    from subliminal_mlx.model import adapters
    from subliminal_mlx.model.bases import load
    from subliminal_mlx.model.sample import Decoding, sample

    base, folder = load("tiny-a"), written / "adapters" / "teacher-animals-owl-c0"
    question = load_family("animals").held_out[0].text
    ours = sample(base, [base.prompt(question)[1]], 0, Decoding(0, None, 4), adapters.load_adapter(folder))[
        0
    ][0]
    arguments = [
        "--model",
        base.path,
        "--adapter-path",
        folder,
        "--prompt",
        question,
        "--temp",
        0,
        "--max-tokens",
        4,
    ]
    child = subprocess.run(
        [sys.executable, "-m", "mlx_lm", "generate", *map(str, arguments), "--verbose", "False"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.split("<end>")[0].strip() == base.decode(ours).strip() == "owl"
    assert base.decode(sample(base, [base.prompt(question)[1]], 0, Decoding(0, None, 4))[0][0]) != "owl"


def test_an_existing_folder_and_an_unfinished_run_are_refused(done, tmp_path, one_line):
    lab = Lab(done.lab)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists: name a folder that does not") as error:
        export(lab, done.run_id, tmp_path / "there")
    one_line(error)
    shutil.copytree(done.lab, tmp_path / "lab")
    begun = Lab(tmp_path / "lab")
    begun.finish_run(done.run_id, "failed", 1.0)
    with pytest.raises(InputError, match=f"not done: `resume {done.run_id}` first"):
        export(begun, done.run_id, tmp_path / "new")
    assert list((tmp_path / "there").iterdir()) == [] and not (tmp_path / "new").exists()


def test_a_failing_export_leaves_nothing(done, tmp_path):
    """An adapter that was changed stops it after the corpora are written."""
    shutil.copytree(done.lab, tmp_path / "lab")
    lab = Lab(tmp_path / "lab")
    slot = lab.adapters(done.run_id)[-1]
    (lab.adapter(done.run_id, slot) / "adapters.safetensors").write_bytes(b"?")
    with pytest.raises(Exception, match="is gone or not what was committed"):
        export(lab, done.run_id, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab"]
