"""Labelled images: the shipped 8x8 digits, and IDX files such as MNIST's from a folder. No MLX here.

    load_images()                       # data/digits.parquet
    load_images(Path("~/mnist"))        # train-images-idx3-ubyte[.gz] and the other three

A file is read for what it is: magic number, sizes and length are checked, nothing is unpacked beyond
what its header declares, and the header may not declare more than LARGEST. The four files hold the
images in the order of their writers; the shipped digits carry a fixed shuffled split.
"""

import csv
import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...system import files
from ...system.errors import InputError
from .spec import CLASSES

SHIPPED = files.DATA / "digits.parquet"
TEST, SPLIT_SEED = 360, 0
# Of the 16 levels of the shipped digits; IDX bytes go to 255.
LEVELS = 16
LARGEST = 512 << 20
LARGEST_SIDE = 256
IMAGES, LABELS = 0x803, 0x801
# What MNIST and its relatives call them; some copies have a full stop for the last hyphen.
NAMES = {
    (part, kind): (f"{prefix}-{kind}-idx{n}-ubyte", f"{prefix}-{kind}.idx{n}-ubyte")
    for part, prefix in (("train", "train"), ("test", "t10k"))
    for kind, n in (("images", 3), ("labels", 1))
}
CREDIT = {
    "title": "Optical Recognition of Handwritten Digits: the test set of 1,797 images, 8x8, levels 0 to 16",
    "authors": "E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository",
    "doi": "10.24432/C50P49",
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "changes": "the copy in scikit-learn (digits.csv.gz) as Parquet; columns pixels, label, and a shuffled "
    f"split with {TEST} test images (numpy default_rng({SPLIT_SEED}))",
}


@dataclass(frozen=True)
class Images:
    """`train_x [N, P]`, `test_x [M, P]` in -1..1 as float32; labels 0..9 as int32; a sha256 of it all."""

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    sha256: str

    @property
    def inputs(self) -> int:
        """Pixels of an image."""
        return self.train_x.shape[1]

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of its data."""
        return {"name": self.name, "sha256": self.sha256, "inputs": self.inputs, "test": len(self.test_y)}


def load_images(folder: Path | None = None) -> Images:
    """The shipped digits, or the four IDX files of a folder.

    Raises:
        InputError: a file is missing or is not what its name says.
    """
    return _shipped() if folder is None else _idx(Path(folder).expanduser())


def _shipped() -> Images:
    try:
        table = pq.read_table(SHIPPED)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{SHIPPED.name} cannot be read: {str(error).splitlines()[0]:.100}") from None
    pixels = np.array(table["pixels"].to_pylist(), dtype=np.uint8)
    labels, split = table["label"].to_numpy(), np.array(table["split"].to_pylist())
    train, test = split == "train", split == "test"
    return _images("digits", pixels[train], labels[train], pixels[test], labels[test], LEVELS)


def _images(name: str, train_x, train_y, test_x, test_y, levels: int) -> Images:
    digest = hashlib.sha256()
    for array in (train_x, train_y, test_x, test_y):
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array, dtype=np.uint8).tobytes())
    scaled = [x.astype(np.float32) * np.float32(2 / levels) - np.float32(1) for x in (train_x, test_x)]
    labels = [y.astype(np.int32) for y in (train_y, test_y)]
    return Images(name, scaled[0], labels[0], scaled[1], labels[1], digest.hexdigest())


def _idx(folder: Path) -> Images:
    try:
        there = {path.name: path for path in folder.iterdir()}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"data folder {str(folder)!r:.200}: {reason}; must hold MNIST's IDX files") from None
    arrays = {}
    for key, names in NAMES.items():
        found = [there[name + end] for name in names for end in ("", ".gz") if name + end in there]
        if not found:
            raise InputError(f"data folder {str(folder)!r:.200}: no {names[0]} or {names[0]}.gz")
        arrays[key] = read_idx(found[0], IMAGES if key[1] == "images" else LABELS)
    for part in ("train", "test"):
        images, labels = arrays[part, "images"], arrays[part, "labels"]
        if len(images) != len(labels):
            raise InputError(
                f"data folder {str(folder)!r:.200}: {len(images)} {part} images, {len(labels)} labels"
            )
    shapes = [arrays[part, "images"].shape[1:] for part in ("train", "test")]
    if shapes[0] != shapes[1]:
        raise InputError(f"data folder {str(folder)!r:.200}: train images are {shapes[0]}, test {shapes[1]}")
    flat = {key: a.reshape(len(a), -1) if key[1] == "images" else a for key, a in arrays.items()}
    return _images(folder.name or "idx", *flat.values(), levels=255)


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The bytes of one IDX file, gzipped or not: images `[N, H, W]` or labels `[N]`, uint8.

    Raises:
        InputError: another magic number, sizes that are zero or too large, too few or too many bytes,
            labels outside 0..9, or a file that cannot be read.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path.name}: is no file")
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return _read(raw, path.name, magic)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked, path.name, magic)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path.name}: cannot be read: {str(error).splitlines()[0]:.100}") from None


def _read(stream: BinaryIO, name: str, magic: int) -> np.ndarray:
    dimensions = magic & 0xFF
    header = stream.read(4 + 4 * dimensions)
    kind = "images (magic number 0x803)" if magic == IMAGES else "labels (magic number 0x801)"
    if len(header) < 4 or int.from_bytes(header[:4], "big") != magic:
        shown = f"starts with 0x{header[:4].hex()}" if header else "is empty"
        raise InputError(f"{name}: {shown}, so it holds no IDX {kind}")
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{name}: truncated in its header")
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
    size = int(np.prod(shape, dtype=object))
    if not size or size > LARGEST or max(shape[1:], default=1) > LARGEST_SIDE:
        raise InputError(
            f"{name}: declares {' x '.join(map(str, shape))} bytes: must be 1 to {LARGEST >> 20} MB, "
            f"images at most {LARGEST_SIDE} pixels wide"
        )
    # In pieces: a header may promise 512 MB that a small file does not have.
    content = bytearray()
    while len(content) < size and (piece := stream.read(min(1 << 20, size - len(content)))):
        content += piece
    if len(content) < size:
        raise InputError(f"{name}: truncated: {len(content):,} of {size:,} bytes")
    if stream.read(1):
        raise InputError(f"{name}: goes on after the {size:,} bytes that its header declares")
    array = np.frombuffer(bytes(content), dtype=np.uint8).reshape(shape)
    if magic == LABELS and array.max() >= CLASSES:
        raise InputError(f"{name}: label {array.max()} at row {int(array.argmax())}: must be 0 to 9")
    return array


def write_digits(source: Path, target: Path = SHIPPED) -> None:
    """Make the shipped file from scikit-learn's digits.csv.gz: 64 levels and a label a line."""
    with gzip.open(source, "rt", newline="") as file:
        rows = np.array([[int(float(cell)) for cell in row] for row in csv.reader(file)], dtype=np.uint8)
    test = np.random.default_rng(SPLIT_SEED).permutation(len(rows))[:TEST]
    split = np.where(np.isin(np.arange(len(rows)), test), "test", "train")
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(rows[:, :-1].ravel()), rows.shape[1] - 1)
    table = pa.table({"pixels": pixels, "label": pa.array(rows[:, -1]), "split": pa.array(split.tolist())})
    table = table.replace_schema_metadata(CREDIT)
    files.publish(target, lambda path: pq.write_table(table, path, compression="zstd", compression_level=19))
