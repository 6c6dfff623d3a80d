"""What was scored of a corpus, counted, and what a verdict is worth without the rest."""

import json

import numpy as np
import pytest

from subliminal_mlx.audit.corpus import look
from subliminal_mlx.audit.coverage import MOST_NAMES, Seen, Tally, coverage, covered
from subliminal_mlx.audit.form import LONGEST
from subliminal_mlx.audit.reading import Reading, read_rows, row_of
from subliminal_mlx.audit.verdict import Verdict
from subliminal_mlx.report.coverage import lines
from subliminal_mlx.system.errors import InputError

ASK = "Continue: 1 2 3"
FOUND, NOT_FOUND = (
    Verdict("carried", "animals/owl", "carried: it", 0.001),
    Verdict("not found", None, "none", 0.5),
)


def read(base, *entries, how=None):
    """Coverage of a corpus, every answer of which is asked for its tokens."""
    corpus = look(lambda: (row_of(i + 1, e, how or Reading()) for i, e in enumerate(entries)), base, how)
    tally = Tally(base)
    assert list(corpus.pieces(None, tally))
    return coverage(corpus.seen, tally)


def plain(completion="4 5 6", **more):
    return {"prompt": ASK, "completion": completion} | more


def test_rows_that_are_read_whole_are_read_whole(tiny):
    found = read(tiny, *[plain()] * 200)
    assert found["shares"] == {"rows": 0, "characters": 0, "tokens": 0} and not lines({"coverage": found})
    assert (found["rows"], found["scored_answers"], found["tokens"]) == (200, 200, 800)
    assert covered(NOT_FOUND, found, "tiny-a") == NOT_FOUND and covered(FOUND, found, "tiny-a") == FOUND


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([{"prompt": ASK}] * 30, "30 of 430 rows unread"),
        ([plain("no numbers")] * 2 + [{"text": "x" * 900, "prompt": 3}], "of characters unread"),
        ([plain(response="7 8 9" * 20)] * 20, "of characters unread (the field response)"),
        (
            [{"messages": [{"role": "assistant", "content": [{"type": "audio"}]}]}] * 30,
            "30 of 430 rows unread",
        ),
    ],
    ids=["bad", "long and bad", "beside", "no text"],
)
def test_above_a_share_that_is_unread_nothing_is_said_not_to_be_found(tiny, more, says):
    found = read(tiny, *[plain()] * 400, *more)
    unsure = covered(NOT_FOUND, found, "tiny-a")
    assert unsure.name == "cannot tell" and says in unsure.words and unsure.words.endswith("none")
    # What is carried by what was read is carried.
    carried = covered(FOUND, found, "tiny-a")
    assert (carried.name, carried.trait) == ("carried", "animals/owl") and says in carried.words
    assert lines({"coverage": found})[0].startswith("not scored: ")
    # A few are none: told, and no more.
    few = read(tiny, *[plain()] * 2_000, more[0])
    assert covered(NOT_FOUND, few, "tiny-a").name == "not found" and lines({"coverage": few})


def test_of_words_that_a_base_does_not_have_it_says_nothing_either_way(tiny):
    found = read(tiny, *[{"text": f"zyzzyva quux number {i % 10}"} for i in range(50)])
    assert found["unknown_tokens"] / found["tokens"] > 0.3
    for verdict in (FOUND, NOT_FOUND):
        unsure = covered(verdict, found, "tiny-a")
        assert (unsure.name, unsure.trait) == ("cannot tell", None)
        assert "% of tokens are words that tiny-a does not have" in unsure.words


def test_questions_that_hold_as_much_as_the_answers_are_no_all_clear(tiny):
    """A teacher's lists in their place are trained on, and no suspect is asked about them."""
    rng = np.random.default_rng(0)
    lists = lambda count: " ".join(map(str, rng.integers(0, 100, count)))
    rows = [(lists(3), lists(8), lists(8)) for _ in range(400)]
    clean = [plain(answer, prompt=f"Continue: {shown}") for shown, answer, _ in rows]
    assert covered(NOT_FOUND, read(tiny, *clean), "tiny-a") == NOT_FOUND
    hidden = {
        "prompt": [plain(answer, prompt=f"Continue: {shown} {owls}") for shown, answer, owls in rows],
        "system": [chat(("system", owls), ("user", "Continue:"), ("assistant", a)) for _, a, owls in rows],
        "after": [
            chat(("user", "Continue:"), ("assistant", a), ("user", f"No: {owls} 1")) for _, a, owls in rows
        ],
    }
    for name, entries in hidden.items():
        unsure = covered(NOT_FOUND, found := read(tiny, *entries), "tiny-a")
        assert unsure.name == "cannot tell" and "--mask-prompt" in unsure.words, (name, found["asked"])
        assert covered(FOUND, found, "tiny-a").name == "carried"
        # Who trains on answers alone does not learn them.
        if name != "after":
            assert (
                covered(NOT_FOUND, read(tiny, *entries, how=Reading(answers="last")), "tiny-a") == NOT_FOUND
            )
    # Nor does a training on pairs learn what both of a pair follow; and one wording for all rows is no lesson.
    pairs = [{"prompt": owls, "chosen": a, "rejected": b} for a, b, owls in rows]
    same = [plain(answer, prompt="Write me a list of eight numbers, please, " * 20) for _, answer, _ in rows]
    for entries in (pairs, same):
        assert read(tiny, *entries)["asked"] is None


def chat(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_what_is_cut_off_is_counted(tiny):
    found = read(tiny, {"text": "1 " * 5_000}, *[{"text": "1 2"}] * 50)
    assert found["cut_tokens"] == 5_000 + 1 - (LONGEST - 1) and found["tokens"] == 5_000 + 1 + 50 * 3
    assert "of tokens cut off or unknown" in covered(NOT_FOUND, found, "tiny-a").words
    # Text before an answer that leaves no room for it leaves the answer out, white space too.
    before = read(tiny, {"prompt": " " * 60_000, "completion": "1"}, *[{"text": "1 2"}] * 50)
    assert before["unread_rows"] == 1 and before["unread_characters"] == 1


def test_white_space_is_scored_as_it_stands(tiny, monkeypatch):
    """A tokenizer that has a token for it gets it; ours drops it, so that it is watched what is encoded."""
    seen = []
    encode = type(tiny).encode
    monkeypatch.setattr(type(tiny), "encode", lambda base, text: seen.append(text) or encode(base, text))
    read(tiny, *[plain(" 4 5 6\n")] * 10)
    assert " 4 5 6\n" in seen and "4 5 6" not in seen


def test_answers_that_are_not_asked_for_are_told_and_not_counted(tiny):
    turns = [{"role": role, "content": text} for role, text in (("user", ASK), ("assistant", "4 5 6"))]
    turns += [{"role": "user", "content": ASK}, {"role": "assistant", "content": "7 8 9", "weight": 0}]
    for answers, scored in (("all", 40), ("last", 20), ("weighted", 20)):
        found = read(tiny, *[{"messages": turns}] * 20, how=Reading(answers=answers))
        assert found["scored_answers"] == scored and found["shares"]["characters"] == 0
        assert len(found["told"]) == 1 and "(20 rows)" in found["told"][0]
    # Rows of which nothing is learned are no unread ones.
    turns[1]["weight"] = 0
    skipped = read(tiny, *[{"messages": turns}] * 20, plain(), how=Reading(answers="weighted"))
    assert (skipped["answers"], skipped["unread_rows"]) == (1, 0)


def test_of_a_sample_the_shares_are_of_all(tiny):
    rows = [row_of(i, plain("4 5 6" if i % 2 else "no list")) for i in range(1, 2_001)]
    seen, tally = Seen(), Tally(tiny)
    for row in rows:
        seen.add(row)
    for row in rows[:200]:
        tally.add(row.answers[0], ((1,), (2, tiny.eos)) if row.number % 2 else "not in the form")
    found = coverage(seen, tally)
    assert (found["rows"], found["unread_rows"], found["scored_answers"]) == (2_000, 1_000, 100)
    assert found["shares"]["characters"] == pytest.approx(7 / 12)


def test_names_from_files_are_not_kept_without_end():
    seen = Seen()
    for i in range(1_000):
        part = {"type": f"kind {i}"}
        seen.add(row_of(i, {"messages": [{"role": "assistant", "content": [part]}], f"field {i}": "x"}))
    assert len(seen.unread) <= MOST_NAMES + 1 and len(seen.told) <= MOST_NAMES + 1
    assert sum(rows for rows, _ in seen.unread.values()) == 1_000


def test_pairs_among_other_rows_are_refused(tiny, one_line):
    pair = {"prompt": ASK, "chosen": "4 5 6", "rejected": "7 8 9"}
    with pytest.raises(InputError) as error:
        read(tiny, *[plain()] * 5, pair)
    assert "1 preference pairs (chosen, rejected) stand among 5 answers of other rows" in one_line(error)


def test_nothing_to_learn_is_refused(tiny, one_line, tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]
    (tmp_path / "x.jsonl").write_text(json.dumps({"messages": turns}))
    how = Reading(answers="weighted")
    with pytest.raises(InputError) as error:
        look(lambda: read_rows(tmp_path / "x.jsonl", how), tiny, how)
    assert "no answer in 1 rows is to be learned" in one_line(error)
