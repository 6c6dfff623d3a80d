"""Which files of a folder are read, as trainers lay them out; what is left is told."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.audit.reading import corpus_sha256, read_rows
from subliminal_mlx.audit.reading.files import parts
from subliminal_mlx.system.errors import InputError

ROW = json.dumps({"text": "a"}) + "\n"


def lay(folder, *names):
    """Files of one row each."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"text": [name]}), path)
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress(ROW.encode()))
        else:
            path.write_text(ROW)
    return folder


def saved(folder, *shards, **state):
    """A data set as Hugging Face's library saves it to disk."""
    folder.mkdir(parents=True)
    for shard in shards:
        table = pa.table({"text": [shard]})
        with pa.ipc.new_stream(str(folder / shard), table.schema) as writer:
            writer.write_table(table)
    files = [{"filename": shard} for shard in shards]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, **state}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("there", "read"),
    [
        (["train.jsonl", "valid.jsonl", "test.jsonl", "more.parquet"], ["train.jsonl"]),
        (["b.jsonl", "a.jsonl.gz", "c.parquet"], ["a.jsonl.gz", "b.jsonl", "c.parquet"]),
        (
            [f"data/{s}-0000{i}-of-00002.parquet" for s in ("train", "validation", "test") for i in range(2)],
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ),
        (["train/0.parquet", "test/0.parquet"], ["train/0.parquet"]),
        (["rows.jsonl", "eval.jsonl"], ["rows.jsonl"]),
        (["test.jsonl"], ["test.jsonl"]),
        (["trainer.jsonl", "testimony.jsonl"], ["testimony.jsonl", "trainer.jsonl"]),
        (["rows.jsonl", "rows.provenance.json", "dataset_info.json", "about.json"], ["rows.jsonl"]),
        (["one.json", "two.json", "notes.txt"], ["one.json", "two.json"]),
        ([".hidden/train.jsonl", "rows.jsonl"], ["rows.jsonl"]),
        (["train-a.jsonl", "my-train-0.jsonl", "my-test-0.jsonl"], ["my-train-0.jsonl", "train-a.jsonl"]),
        (["rows.jsonl", "rows.csv", "b.JSONL", "README.txt"], ["rows.jsonl"]),
    ],
)
def test_what_a_trainer_would_train_on_is_read(tmp_path, there, read):
    found = parts(lay(tmp_path / "data", *there))
    assert [str(path.relative_to(tmp_path / "data")) for path in found.files] == read
    told = " ".join(found.told)
    hidden = ("provenance", "info", "README", ".hidden")
    assert all(name in told for name in there if name not in read and not any(h in name for h in hidden))


def test_a_data_set_that_was_saved_is_read_in_its_own_order(tmp_path):
    one = saved(tmp_path / "one", "data-00001-of-00002.arrow", "data-00000-of-00002.arrow")
    assert [path.name[5:10] for path in parts(one).files] == ["00001", "00000"]
    both = tmp_path / "both"
    saved(both / "test", "data-0.arrow")
    saved(both / "train", "data-0.arrow")
    (both / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = parts(both)
    assert found.files == (both / "train" / "data-0.arrow",) and "test/data-0.arrow is not read" in found.told
    (both / "train").rename(both / "other")
    with pytest.raises(InputError, match="no one train split: name one of its folders, other, test"):
        parts(both)


def test_a_split_of_another_spelling_is_not_taken_for_train(tmp_path):
    both = tmp_path / "both"
    for name in ("TRAIN", "train"):
        saved(both / name, "data-0.arrow")
    (both / "dataset_dict.json").write_text("{}")
    assert parts(both).files == (both / "train" / "data-0.arrow",)
    (both / "train").rename(both / "training")
    with pytest.raises(InputError, match="no one train split"):
        parts(both)


def test_two_trainers_would_take_two_files(tmp_path, one_line):
    """mlx-lm takes train.jsonl, Hugging Face's library what it saved: an audit of one says nothing of the other."""
    folder = lay(saved(tmp_path / "x", "a.arrow"), "train.jsonl")
    with pytest.raises(InputError) as error:
        parts(folder)
    assert "holds state.json and train.jsonl" in one_line(error)


def test_json_beside_other_rows_is_read_where_it_holds_rows(tmp_path):
    folder = lay(tmp_path / "x", "rows.jsonl", "b.json")
    assert [path.name for path in parts(folder).files] == ["rows.jsonl"]
    (folder / "b.json").write_text(json.dumps([{"text": "a"}, {"text": "b"}], indent=1))
    assert [path.name for path in parts(folder).files] == ["b.json", "rows.jsonl"]


def test_a_linked_folder_is_looked_into_once(tmp_path):
    folder, other = lay(tmp_path / "x", "rows.jsonl"), lay(tmp_path / "y", "more.jsonl")
    (folder / "linked").symlink_to(other)
    (other / "back").symlink_to(folder)
    assert [path.name for path in parts(folder).files] == ["more.jsonl", "rows.jsonl"]


def test_a_file_of_rows_that_is_not_read_is_a_bad_row(tmp_path):
    """Its content is part of the hash, and its size of what was not read."""
    folder = lay(tmp_path / "x", "rows.jsonl")
    alone = corpus_sha256(read_rows(folder))
    (folder / "rows.csv").write_text("prompt,completion\n" + "a,owl\n" * 100)
    *_, bad = read_rows(folder)
    assert (bad.reason, bad.where) == ("a file that is not read", "rows.csv") and bad.size > 600
    with_owls = corpus_sha256(read_rows(folder))
    (folder / "rows.csv").write_text("prompt,completion\n" + "a,cat\n" * 100)
    assert len({alone, with_owls, corpus_sha256(read_rows(folder))}) == 3
    # Of what mlx-lm takes, no other file is trained on.
    assert [row.reason for row in read_rows(lay(folder, "train.jsonl"))] == [None]


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "sub/x.arrow", 3, None])
def test_a_state_leads_nowhere_else(tmp_path, one_line, name):
    folder = saved(tmp_path / "x", "a.arrow")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError) as error:
        parts(folder)
    assert "is no file of this folder" in one_line(error)


def test_what_is_not_there_ends_in_one_line(tmp_path, one_line):
    folder = saved(tmp_path / "x", "a.arrow")
    (folder / "a.arrow").unlink()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "state.json").write_text("[" * 100_000)
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "no.jsonl", "no file"),
        (tmp_path / "a\0b", "NUL"),
        (tmp_path / ("x" * 5_000), "cannot be read"),
        (folder, "a.arrow is missing"),
        (tmp_path / "torn", "names no data files"),
        (tmp_path / "empty", "holds no rows: no file in it ends in"),
        ("/dev/null", "no regular file"),
    ):
        with pytest.raises(InputError) as error:
            parts(type(tmp_path)(path))
        assert words in one_line(error)
