import os
import signal
import subprocess
import sys

import pytest

from subliminal_mlx.system import files


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "new" / "folder" / "note.txt"
    files.write_atomic(path, "grüße")
    assert path.read_text(encoding="utf-8") == "grüße"
    files.write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["note.txt"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "note.txt"
    files.write_atomic(path, "old")

    def write(temporary):
        temporary.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        files.publish(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "adapter"

    def write(names):
        def fill(temporary):
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)

        files.publish(folder, fill)
        return sorted(p.name for p in folder.iterdir())

    assert write(["a", "b"]) == ["a", "b"]
    assert write(["c"]) == ["c"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    folder = tmp_path / "adapter"
    files.publish(folder, lambda temporary: temporary.mkdir())

    def fill(temporary):
        temporary.mkdir()
        (temporary / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.publish(folder, fill)
    assert list(tmp_path.rglob("*")) == [folder]


KILLED = """
import os, signal, sys
from pathlib import Path
from subliminal_mlx.system import files
def write(temporary):
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
files.publish(Path(sys.argv[1]), write)
"""


def test_a_killed_writer_leaves_the_old_file_and_what_sweep_removes(tmp_path):
    path = tmp_path / "deep" / "note.txt"
    files.write_atomic(path, "old")
    before = files.sha256(tmp_path)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 2
    # What a killed writer left is none of the folder's content.
    assert files.sha256(tmp_path) == before
    files.sweep(tmp_path)
    assert list(path.parent.iterdir()) == [path] and path.read_text() == "old"


READER = """
import sys
from pathlib import Path
path, seen = Path(sys.argv[1]), set()
print("ready", flush=True)
while "stop" not in seen:
    text = path.read_text()
    seen.add(text[:4])
    assert text == "stop" or (len(text) == 200_000 and len(set(text)) == 1), (len(text), set(text))
print(len(seen))
"""


def test_a_reader_never_sees_a_part(tmp_path):
    path = tmp_path / "note.txt"
    files.write_atomic(path, "0" * 200_000)
    reader = subprocess.Popen([sys.executable, "-c", READER, str(path)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "ready\n"
    for i in range(100):
        files.write_atomic(path, str(i % 10) * 200_000)
    files.write_atomic(path, "stop")
    out, _ = reader.communicate(timeout=30)
    assert reader.returncode == 0
    # It did see several of the writes, not the first and the last alone.
    assert int(out) > 2


def test_the_hash_of_a_folder_says_what_is_in_it(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    before = files.sha256(folder)
    assert before == files.sha256(folder) and len(before) == 64

    os.utime(folder / "a", (1, 1))
    assert files.sha256(folder) == before, "times are no content"
    (folder / "a").write_text("3")
    changed = files.sha256(folder)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").rename(folder / "sub" / "c")
    renamed = files.sha256(folder)
    (folder / "sub" / "c").rename(folder / "b")
    moved = files.sha256(folder)
    assert len({before, changed, renamed, moved}) == 4


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[]", "no JSON object"),
        (b'{"a": "\xff"}', "utf-8"),
        (b"{" + b" " * 1_000 + b"}", "over 0 MB"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "over 0 MB"),
        (b"{", "Expecting"),
        (None, "over 0 MB"),
    ],
)
def test_json_of_anybodys_is_an_object_or_a_value_error(tmp_path, content, says):
    path = tmp_path / "a.json"
    if content is None:
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        files.read_object(path, 1_000 if says.startswith("over") else files.LARGEST_JSON)
    path.unlink()
    with pytest.raises(OSError):
        files.read_object(path)
    path.write_text('{"a": [1]}')
    assert files.read_object(path) == {"a": [1]}
