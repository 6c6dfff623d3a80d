"""What stands behind models and corpora: from the lab, from the files beside them, and when those were changed."""

import json
import shutil

import pytest
from mini import failure, finished, quick

from subliminal_mlx.lab import Lab, provenance
from subliminal_mlx.lab.lineage import trace
from subliminal_mlx.lab.provenance import BaseNamed, Node, Record
from subliminal_mlx.model.sources import locate
from subliminal_mlx.report import charts
from subliminal_mlx.report.export import export
from subliminal_mlx.system.errors import InputError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A finished run's export: adapters and corpora with what stands behind them."""
    done = finished(tmp_path_factory)
    out = tmp_path_factory.mktemp("export") / "out"
    export(Lab(done.lab), done.run_id, out)
    return out


def _names(record):
    return [(depth, node.what, node.name) for depth, node in record.lineage.walk()]


def test_a_student_comes_from_its_base_its_rows_and_their_teacher(tmp_path_factory, exported):
    done = finished(tmp_path_factory)
    lab = Lab(done.lab)
    record = trace(f"{done.run_id[:6]}/hard/treated/animals/owl/c0", lab)
    assert _names(record) == [
        (0, "student", "hard/treated/animals/owl/c0"),
        (1, "base", "tiny-a"),
        (1, "corpus", "animals/owl"),
        (2, "teacher", "animals/owl"),
        (3, "base", "tiny-a"),
        (3, "family", "animals"),
        (1, "run", done.run_id),
    ]
    corpus = record.lineage.parents[1]
    kept = [r["kept"] for r in lab.rows(done.run_id, source="animals/owl", chain=0).to_pylist()]
    assert corpus.facts["kept"] == sum(kept) and corpus.facts["kept"] + corpus.facts["dropped"] == len(kept)
    assert record.base == BaseNamed(name="tiny-a", sha256=locate("tiny-a").sha256)
    # The same, from the lab's own folder and from the file that export wrote beside the adapter.
    assert trace(str(lab.adapter(done.run_id, "hard/treated/animals/owl/c0")), lab) == record
    beside = trace(str(exported / "adapters" / "hard-treated-animals-owl-c0"), lab)
    assert beside.lineage == record.lineage and set(beside.files) == {
        "adapter_config.json",
        "adapters.safetensors",
    }


def test_other_arms_name_what_they_were_made_from(tmp_path_factory):
    done = finished(tmp_path_factory)
    lab = Lab(done.lab)
    whole = lambda name: [(what, who) for _, what, who in _names(trace(f"latest/{name}", lab))]
    assert ("corpus", "base") in whole("hard/control/c0") and ("teacher", "base") not in whole(
        "hard/control/c0"
    )
    assert ("corpus", "animals/owl") in whole("hard/shuffled/animals/owl/c0")
    foreign = trace("latest/hard/foreign/animals/owl/c0", lab)
    assert foreign.base.name == "tiny-b" and ("base", "tiny-a") in [(w, n) for _, w, n in _names(foreign)]
    assert whole("animals/neutral")[:2] == [("corpus", "animals/neutral"), ("teacher", "animals/neutral")]
    with pytest.raises(InputError, match="has no 'hard/treated/x/c0'"):
        trace("latest/hard/treated/x/c0", lab)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("weights", "not what was exported"),
        ("edited", "edited since it was written"),
        ("gone", "is not there"),
        ("binary", "no provenance file"),
        ("nested", "no provenance file: nested too deeply"),
        ("large", "no provenance file: over 1 MB"),
        ("deep", "levels"),
        ("base", "made from another tiny-a"),
    ],
)
def test_tampering_is_one_line(tmp_path, tmp_path_factory, exported, one_line, change, says):
    folder = tmp_path / "a"
    shutil.copytree(exported / "adapters" / "hard-control-c0", folder)
    path = folder / "provenance.json"
    record = provenance.read_record(path)
    if change == "weights":
        content = bytearray((folder / "adapters.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "adapters.safetensors").write_bytes(content)
    elif change == "edited":
        path.write_text(path.read_text().replace("control", "treated"))
    elif change == "gone":
        (folder / "adapter_config.json").unlink()
    elif change == "binary":
        path.write_bytes(b"\xff\x00\x01")
    elif change == "nested":
        path.write_text("[" * 200_000)
    elif change == "large":
        path.write_text('{"lineage": 1}' + " " * provenance.LARGEST_FILE)
    elif change == "deep":
        node = Node(what="base", name="x")
        for _ in range(15):
            node = Node(what="corpus", name="x", parents=(node,))
        provenance.write_record(path, record.model_copy(update={"lineage": node}), [])
    else:
        changed = record.model_copy(update={"base": BaseNamed(name="tiny-a", sha256="0" * 64)})
        provenance.write_record(path, changed, [folder / "adapters.safetensors"])
    with pytest.raises(InputError) as error:
        trace(str(folder), Lab(tmp_path / "none"))
    assert says in one_line(error)


def test_rows_that_were_changed_are_refused_by_the_command(tmp_path, exported):
    rows = tmp_path / "animals-owl.jsonl"
    for suffix in (".jsonl", ".parquet", ".provenance.json"):
        shutil.copy(exported / "corpora" / f"animals-owl{suffix}", tmp_path)
    child = quick("lineage", rows, "--lab", tmp_path / "none", "-o", tmp_path / "owl.svg")
    assert child.returncode == 0, child.stderr
    assert "teacher animals/owl" in child.stdout and "verified: 2 files" in child.stdout
    assert "animals/owl" in (tmp_path / "owl.svg").read_text()
    rows.write_text(rows.read_text().replace("1", "2", 1))
    assert "not what was exported" in failure(quick("lineage", rows, "--lab", tmp_path / "none"), 2)
    stranger = tmp_path / "other.jsonl"
    stranger.write_text("{}\n")
    assert "nothing is known" in failure(quick("lineage", stranger, "--lab", tmp_path / "none"), 2)


def test_a_record_speaks_of_the_weights_that_it_lies_beside(tmp_path, exported):
    """Else another folder's record, or one of no files, proves any weights."""
    folder = tmp_path / "a"
    shutil.copytree(exported / "adapters" / "hard-control-c0", folder)
    record = provenance.read_record(folder / "provenance.json")
    for files in ([], [folder / "adapter_config.json"]):
        provenance.write_record(folder / "provenance.json", record, files)
        with pytest.raises(InputError, match=r"it does not speak of adapters\.safetensors"):
            trace(str(folder), Lab(tmp_path / "none"))
    provenance.write_record(folder / "provenance.json", record, [folder / "adapters.safetensors"])
    assert trace(str(folder), Lab(tmp_path / "none")).lineage == record.lineage
    shutil.copy(folder / "adapters.safetensors", folder / "model-1.safetensors")
    with pytest.raises(InputError, match=r"it does not speak of model-1\.safetensors"):
        trace(str(folder), Lab(tmp_path / "none"))


def test_text_from_files_is_shown_as_text(tmp_path):
    record = Record(
        base=BaseNamed(name="mine"),
        lineage=Node(what="model", name="[red]\x1b]0;x\x07<script>", facts={"a": "[/]"}),
    )
    folder = tmp_path / "a"
    folder.mkdir()
    provenance.write_record(folder / "provenance.json", record, [])
    child = quick("lineage", folder, "--lab", tmp_path / "none")
    assert child.returncode == 0, child.stderr
    assert "[red]" in child.stdout and "\x1b" not in child.stdout and "\x07" not in child.stdout
    charts.save(charts.lineage(record.lineage), tmp_path / "x.html")
    assert "<script>\\" not in (tmp_path / "x.html").read_text().split("[red]")[1][:40]
    assert json.loads(quick("lineage", folder, "--json").stdout)["lineage"]["facts"] == {"a": "[/]"}


def test_strangers_adapters_and_bases_say_what_they_can(tmp_path, exported):
    folder = tmp_path / "theirs"
    shutil.copytree(exported / "adapters" / "hard-control-c0", folder)
    (folder / "provenance.json").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"model": "some/model"}))
    record = trace(str(folder), Lab(tmp_path / "none"))
    assert _names(record) == [(0, "model", str(folder)), (1, "base", "some/model")]
    assert record.lineage.facts["rows"] == "unknown"
    long = tmp_path.joinpath(*("d" * 200 for _ in range(3)))
    shutil.copytree(folder, long)
    with pytest.raises(InputError, match="at most 500 characters"):
        trace(str(long), Lab(tmp_path / "none"))
    for name in ("a" * 300, "~nobody-of-that-name/x"):
        with pytest.raises(InputError, match="no such base or folder"):
            trace(name, Lab(tmp_path / "none"))
    assert trace("tiny-b", Lab(tmp_path / "none")).lineage.what == "base"
