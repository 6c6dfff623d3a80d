"""The shipped digits, IDX files and everything that is wrong with them, and a run of MNIST's shape."""

import gzip
import struct
import time

import mlx.core as mx
import numpy as np
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.demos.digits import data
from subliminal_mlx.demos.digits.data import IMAGES, LABELS, load_images, read_idx, write_digits
from subliminal_mlx.demos.digits.experiment import run_digits
from subliminal_mlx.demos.digits.spec import make
from subliminal_mlx.system.errors import InputError


def idx(array, magic=None):
    magic = magic or 0x800 | array.ndim
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    """Four IDX files, two of them gzipped: 2,048 and 512 images of 28 x 28 whose rows tell the label."""
    rng = np.random.default_rng(0)
    place = tmp_path / "mnist"
    place.mkdir()
    for prefix, number in (("train", 2_048), ("t10k", 512)):
        labels = rng.integers(10, size=number)
        images = rng.integers(0, 60, size=(number, 28, 28))
        images[np.arange(number), 2 * labels + 4] += 180
        (place / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), 1))
        (place / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return place


def test_the_shipped_digits_are_all_there_with_credit():
    found = load_images()
    assert found.train_x.shape == (1_437, 64) and found.test_x.shape == (360, 64)
    assert found.train_x.min() == -1 and found.train_x.max() == 1
    counts = np.bincount(np.concatenate([found.train_y, found.test_y]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    credit = {k.decode(): v.decode() for k, v in pq.read_schema(data.SHIPPED).metadata.items()}
    assert "CC BY 4.0" in credit["licence"] and "Alpaydin" in credit["authors"]
    assert data.SHIPPED.stat().st_size < 100_000


def test_the_shipped_file_is_what_its_maker_makes(tmp_path):
    table = pq.read_table(data.SHIPPED)
    lines = [
        ",".join(f"{v}.0" for v in (*pixels, label))
        for pixels, label in zip(table["pixels"].to_pylist(), table["label"].to_pylist(), strict=True)
    ]
    source = tmp_path / "digits.csv.gz"
    source.write_bytes(gzip.compress("\n".join(lines).encode()))
    write_digits(source, tmp_path / "again.parquet")
    again = pq.read_table(tmp_path / "again.parquet")
    assert again.equals(table) and again.schema.metadata == table.schema.metadata


def test_idx_files_are_read_gzipped_or_not(folder):
    found = load_images(folder)
    assert found.name == "mnist" and found.inputs == 784
    assert len(found.train_x) == len(found.train_y) == 2_048 and len(found.test_x) == 512
    assert found.train_x.min() >= -1 and found.train_x.max() <= 1
    unpacked = folder / "train-images-idx3-ubyte.gz"
    (folder / "train-images.idx3-ubyte").write_bytes(gzip.decompress(unpacked.read_bytes()))
    unpacked.unlink()
    assert load_images(folder).sha256 == found.sha256, "the same images under the other name"


def test_a_run_of_mnists_shape(folder):
    """784-256-256-13 at batch 1,024, one epoch of each: 1.4 s and 0.2 GB of arrays on two cores."""
    images = load_images(folder)
    spec = make("mnist", {"replicas": 2, "teacher_epochs": 1, "epochs": 1, "noise": 4_096})
    mx.reset_peak_memory()
    began = time.perf_counter()
    found = run_digits(spec, images)
    seconds, memory = time.perf_counter() - began, mx.get_peak_memory()
    print(f"MNIST's shape, 2 replicas, 4,096 noise inputs: {seconds:.1f} s, {memory / 1e9:.2f} GB of arrays")
    assert found["data"]["inputs"] == 784
    assert set(found["arms"]) == set(spec.arms)
    assert all(len(record["accuracy"]) == 2 for record in found["arms"].values())
    assert seconds < 60 and memory < 2e9


def corrupt(content):
    middle = len(content) // 2
    return content[:middle] + bytes(64) + content[middle + 64 :]


LABELS_FILE = idx(np.arange(10))
IMAGES_FILE = idx(np.zeros((3, 4, 4)))
BOMB = gzip.compress(struct.pack(">4I", IMAGES, 3, 4, 4) + bytes(40 << 20), 1)
WRONG = {
    "truncated": (IMAGES, IMAGES_FILE[:-1], "truncated: 47 of 48 bytes"),
    "truncated header": (IMAGES, IMAGES_FILE[:9], "truncated in its header"),
    "truncated gzip": (IMAGES, gzip.compress(IMAGES_FILE)[:-12], "cannot be read"),
    "corrupt gzip": (
        IMAGES,
        corrupt(gzip.compress(idx(np.random.default_rng(0).integers(256, size=(9, 9, 9))))),
        "",
    ),
    "empty": (IMAGES, b"", "is empty"),
    "labels as images": (IMAGES, LABELS_FILE, "starts with 0x00000801, so it holds no IDX images"),
    "images as labels": (LABELS, IMAGES_FILE, "so it holds no IDX labels"),
    "other magic": (IMAGES, b"\x00\x00\x0d\x03" + IMAGES_FILE[4:], "starts with 0x00000d03"),
    "little-endian": (LABELS, struct.pack("<2I", LABELS, 10) + bytes(10), "starts with 0x01080000"),
    "binary": (IMAGES, bytes(range(256)) * 4, "starts with 0x00010203"),
    "text": (LABELS, b"label\n3\n4\n", "starts with"),
    "too long": (LABELS, LABELS_FILE + b"\x00", "goes on after"),
    "bomb": (IMAGES, BOMB, "goes on after the 48 bytes"),
    "declared bomb": (
        IMAGES,
        gzip.compress(struct.pack(">4I", IMAGES, 2**31, 256, 256)),
        "must be 1 to 512 MB",
    ),
    "promised, not there": (IMAGES, struct.pack(">4I", IMAGES, 8_000, 256, 256), "truncated: 0 of"),
    "no images": (IMAGES, struct.pack(">4I", IMAGES, 0, 28, 28), "must be 1"),
    "wide": (IMAGES, struct.pack(">4I", IMAGES, 1, 1, 70_000), "at most 256 pixels"),
    "label out of range": (LABELS, idx(np.array([3, 10, 1])), "label 10 at row 1: must be 0 to 9"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_in_one_line(name, tmp_path, one_line):
    magic, content, words = WRONG[name]
    path = tmp_path / "train-some-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_idx(path, magic)
    text = one_line(error)
    assert words in text and path.name in text and len(text) < 250


def test_a_bomb_is_not_unpacked(tmp_path):
    import tracemalloc

    path = tmp_path / "bomb"
    path.write_bytes(BOMB)
    tracemalloc.start()
    with pytest.raises(InputError):
        read_idx(path, IMAGES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20, "of 40 MB that it would be"


def test_what_is_missing_or_does_not_fit_is_named(folder, tmp_path, one_line):
    def told():
        with pytest.raises(InputError) as error:
            load_images(folder)
        return one_line(error)

    labels = folder / "t10k-labels-idx1-ubyte"
    kept = labels.read_bytes()
    labels.write_bytes(idx(np.zeros(511)))
    assert "512 test images, 511 labels" in told()
    labels.unlink()
    assert "no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz" in told()
    labels.mkdir()
    assert "is no file" in told()
    labels.rmdir()
    labels.write_bytes(kept)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(np.zeros((512, 8, 8))))
    assert "(28, 28), test (8, 8)" in told()
    for wrong in (tmp_path / "nothing", labels, tmp_path / "nul\0"):
        with pytest.raises(InputError, match="must hold MNIST") as error:
            load_images(wrong)
        one_line(error)


def test_a_damaged_shipped_file_is_told_in_one_line(tmp_path, monkeypatch, one_line):
    monkeypatch.setattr(data, "SHIPPED", tmp_path / "digits.parquet")
    for content in (None, b"PAR1", b"nothing like it"):
        if content is not None:
            data.SHIPPED.write_bytes(content)
        with pytest.raises(InputError, match=r"digits\.parquet cannot be read") as error:
            load_images()
        one_line(error)
