"""Rows of whole files and folders: one reader, one hash, and nothing that stops it but a file that is none."""

import gzip
import json
import random
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.audit.reading import HOPELESS, Bad, Reading, corpus_sha256, good, parse_reading, read_rows
from subliminal_mlx.audit.reading.rows import SHOWN_BAD
from subliminal_mlx.system.errors import InputError

KEYS = ("messages", "prompt", "completion", "text", "n")


def chat(i):
    return [{"role": "user", "content": f"Continue: {i}"}, {"role": "assistant", "content": f"{i} 2 3"}]


MIXED = [
    {"prompt": f"Continue: {i}", "completion": f"{i} 2 3", "n": i}
    if i % 3
    else {"messages": chat(i), "n": i / 2}
    if i % 2
    else {"text": f"{i}"}
    for i in range(90)
]
FULL = [dict.fromkeys(KEYS) | row for row in MIXED]


def lines(path, *entries):
    path.write_bytes(b"\n".join(e if isinstance(e, bytes) else json.dumps(e).encode() for e in entries))
    return path


def test_rows_have_one_hash_whatever_file_they_come_in(tmp_path):
    """Null columns and absent ones, whole numbers of either type, packed or not, one file or several."""
    plain, table = lines(tmp_path / "a.jsonl", *MIXED), pa.Table.from_pylist(FULL)
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "a.json").write_text(json.dumps(MIXED, indent=1))
    nulls = lines(tmp_path / "nulls.jsonl", *FULL)
    shards = tmp_path / "shards"
    shards.mkdir()
    pq.write_table(table.slice(0, 40), shards / "train-00000-of-00002.parquet")
    pq.write_table(table.slice(40), shards / "train-00001-of-00002.parquet")
    found = [
        list(read_rows(path))
        for path in (plain, tmp_path / "a.parquet", tmp_path / "a.gz", tmp_path / "a.json", nulls, shards)
    ]
    assert {corpus_sha256(rows) for rows in found} == {corpus_sha256(found[0])}
    assert all([row.answers for row in rows] == [row.answers for row in found[0]] for rows in found)
    assert all([row.number for row in rows] == list(range(1, 91)) for rows in found)


def test_files_that_differ_anywhere_differ(tmp_path):
    """Also where no trainer's reader looks, in rows that are bad, and in their order."""

    def of(*entries):
        return corpus_sha256(read_rows(lines(tmp_path / "x.jsonl", *entries)))

    first, second = MIXED[1], MIXED[2]
    hashes = [
        of(first, second),
        of(second, first),
        of(first, second | {"reasoning_content": "owl"}),
        of(first, second | {"unknown": {"deep": ["owl"]}}),
        of(first, second | {"completion": second["completion"] + " "}),
        of(first, second, b"{torn"),
        of(first, second, b"{tom"),
        of(first, second, b"[3]"),
        of(first, second, b'{"text": "' + b"x" * (2 << 20) + b'"}'),
        of(first, second, b'{"text": "' + b"y" * (2 << 20) + b'"}'),
        of(first),
    ]
    assert len({*hashes}) == len(hashes) and of(first, b"", second) == hashes[0]


def test_a_bad_row_is_not_taken_for_several(tmp_path):
    """What is no row may hold whole rows: an array's element, line by line, what another file's lines are."""
    owls = [b"3", b'{"completion":"95 68","prompt":"b"}', b'{"completion":"88 60","prompt":"c"}', b"4"]
    clean = b'{"completion":"1 2","prompt":"a"}'
    inside = tmp_path / "inside.json"
    inside.write_bytes(b"[" + clean + b",[" + b",\n".join(owls) + b"]]")
    outside = lines(tmp_path / "outside.jsonl", json.loads(clean))
    outside.write_bytes(clean + b"\n[" + b",\n".join(owls) + b"]\n")
    assert [bool(row.reason) for row in read_rows(inside)] == [False, True]
    assert corpus_sha256(read_rows(inside)) != corpus_sha256(read_rows(outside))


def test_bad_rows_are_counted_with_their_lines_and_stop_nothing(tmp_path):
    path = lines(tmp_path / "x.jsonl", MIXED[1], b"{torn", b"", b"[1]", MIXED[1], b"9" * 5_000, {"x": 1})
    bad = Bad()
    assert [row.number for row in good(read_rows(path), bad)] == [1, 5]
    assert bad.shown[:3] == [(2, "not JSON"), (4, "no JSON object"), (6, "not JSON")] and bad.total == 4
    assert bad.reasons["not JSON"] == 2


def test_only_some_bad_rows_are_shown(tmp_path):
    bad = Bad()
    path = lines(tmp_path / "x.jsonl", {"text": "a"}, *[b"{"] * 50)
    assert len(list(good(read_rows(path), bad))) == 1 and bad.total == 50 and len(bad.shown) == SHOWN_BAD


def test_rows_of_a_folder_say_where_they_are(tmp_path):
    lines(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"}, b"")
    lines(tmp_path / "b.jsonl", {"text": "c"}, b"{")
    bad = Bad()
    assert [row.number for row in good(read_rows(tmp_path), bad)] == [1, 2, 3]
    assert bad.shown == [(4, "not JSON (b.jsonl, row 2)")] and bad.reasons == {"not JSON": 1}


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "x.jsonl", "it is empty"),
        (b"\n\n", "x.jsonl", "it is empty"),
        (b"[]", "x.json", "it is empty"),
        (b"<html>\n" * 10, "x.jsonl", "all 10 rows are bad (not JSON)"),
        (b"a,b\n" * (HOPELESS + 5), "x.csv", "first 1,000 rows are all bad"),
        (b'{"question": 1}\n', "x.jsonl", "all 1 rows are bad (none of prompt and completion"),
    ],
)
def test_what_is_no_data_set_ends_in_one_line(tmp_path, content, name, words, one_line):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_rows(tmp_path / name))
    assert words in one_line(error)


def test_how_rows_are_read_is_checked(one_line):
    assert parse_reading(answers="last") == Reading(answers="last")
    for fields, words in (
        ({"answers": "some"}, "answers"),
        ({"prompt_key": "a"}, "name both or none"),
        ({"prompt_key": "a", "completion_key": "a"}, "must be two fields"),
        ({"prompt_key": "", "completion_key": "b"}, "prompt_key"),
    ):
        with pytest.raises(InputError) as error:
            parse_reading(**fields)
        assert words in one_line(error)


# --- anything at all --------------------------------------------------------------------------------

STRANGE = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        "",
        " ",
        "a\0b",
        "\ud800",
        "\u202e",
        "x" * 3_000,
        [],
        {},
        [[]],
        [None],
        {"a": None},
    ),
    *([{"role": "user"}], [{"role": "assistant", "content": {"parts": [1]}}], {"content": [{"type": []}]}),
    *(
        [{"from": "gpt", "value": 3}],
        {"function": {"name": {}, "arguments": "{"}},
        [{"type": "text", "text": 1}],
    ),
]
NAMES = [
    *(
        "messages",
        "prompt",
        "completion",
        "text",
        "chosen",
        "rejected",
        "conversations",
        "instruction",
        "input",
    ),
    *(
        "output",
        "question",
        "answer",
        "response",
        "system",
        "tools",
        "reasoning_content",
        "weight",
        "role",
        "content",
    ),
    *("from", "value", "type", "tool_calls", "function_call", "thinking", "refusal"),
]


def fuzzed(value, rng):
    """A row's value, with some of its parts put out, put in, or in each other's place."""
    if rng.random() < 0.08:
        return rng.choice(STRANGE)
    if isinstance(value, dict):
        kept = {k: fuzzed(v, rng) for k, v in value.items() if rng.random() > 0.08}
        return kept | {rng.choice(NAMES): rng.choice(STRANGE) for _ in range(rng.random() < 0.2)}
    if isinstance(value, list):
        changed = [fuzzed(one, rng) for one in value if rng.random() > 0.08]
        return changed + [rng.choice(STRANGE)] * (rng.random() < 0.05)
    return value


FORMS = {
    "completions": {"prompt": "a", "completion": "b", "reasoning_content": "c"},
    "chat": {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "u"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "t"},
            {"role": "assistant", "content": "b", "reasoning_content": "r", "weight": 0},
        ],
        "tools": [{"type": "function"}],
    },
    "sharegpt": {"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "b"}]},
    "alpaca": {"system": "s", "instruction": "i", "input": "n", "output": "o"},
    "pairs": {
        "prompt": [{"role": "user", "content": "u"}],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": [{"role": "assistant", "content": "r"}],
    },
    "texts": {"prompt": "u", "chosen": "c", "rejected": "r"},
    "text": {"text": "t"},
    "two": {
        "prompt": "a",
        "completion": "b",
        "messages": [{"role": "assistant", "content": "c"}],
        "text": "d",
    },
}


@pytest.mark.parametrize("how", [Reading(), Reading(answers="last"), Reading(answers="weighted")], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_fuzzed_rows_of_every_format_are_read_or_counted(tmp_path, form, how):
    rng = random.Random(form)
    entries = [FORMS[form], *(fuzzed(FORMS[form], rng) for _ in range(1_000))]
    content = [json.dumps(entry).encode() for entry in entries]
    for i in range(1, len(content), 7):
        place = rng.randrange(len(content[i]))
        content[i] = content[i][:place] + bytes([rng.randrange(1, 256)]) + content[i][place + 1 :]
    content = [line.replace(b"\n", b"") or b"0" for line in content]
    bad = Bad()
    rows = list(read_rows(lines(tmp_path / "x.jsonl", *content), how))
    usable = list(good(rows, bad))
    assert [row.number for row in rows] == [i + 1 for i, line in enumerate(content) if line.strip()]
    assert len(usable) + bad.total == len(rows) and bad.total > 50 and len(usable) > 50
    for row in rows:
        assert (row.reason is None) or (row.reason and not row.answers)
        for answer in row.answers:
            assert answer.completion and answer.completion.encode() and answer.number == row.number
            assert all(isinstance(role, str) and isinstance(text, str) for role, text in answer.context)


# --- sizes ------------------------------------------------------------------------------------------

MEASURED = """
    import resource, sys, time
    from pathlib import Path
    from subliminal_mlx.audit.reading import corpus_sha256, read_rows

    began = time.process_time()
    print(corpus_sha256(read_rows(Path(sys.argv[1]))))
    print(time.process_time() - began)
    # Linux hands a parent's peak on through exec, and keeps the process's own under another name.
    status = Path("/proc/self/status")
    own = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
    print(own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
MANY = 100_000


def many(name):
    if name in ("chat", "array", "parquet", "arrow"):
        return [{"messages": chat(i), "source": "x", "id": i} for i in range(MANY)]
    return [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": f"{i}"}]}
        for i in range(MANY)
    ]


@pytest.mark.parametrize("name", ["chat", "sharegpt", "array", "parquet", "arrow", "gzip"])
def test_a_hundred_thousand_rows_are_read_and_hashed_in_seconds(tmp_path, name):
    """By the processor's own time, in a process of its own: others may be at work here."""
    entries, path = many(name), tmp_path / "rows"
    if name == "parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif name == "arrow":
        table = pa.Table.from_pylist(entries)
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1_000)
    elif name == "array":
        path.write_text(json.dumps(entries))
    else:
        content = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        path.write_bytes(gzip.compress(content, 1) if name == "gzip" else content)
    program = [sys.executable, "-c", textwrap.dedent(MEASURED), str(path)]
    child = subprocess.run(program, capture_output=True, text=True, check=True)
    digest, seconds, memory = child.stdout.split()
    assert len(digest) == 64 and float(seconds) < 15
    assert int(memory) / (1 << 20 if sys.platform == "darwin" else 1 << 10) < 500
    print(name, seconds, int(memory) >> 10)
