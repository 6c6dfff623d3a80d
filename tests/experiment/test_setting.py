"""What a base cannot take of a spec is said before anything is computed, and what hides in rows is dropped."""

import pytest

from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.model.rows import pack
from subliminal_mlx.pipeline.corpora import retokenised, row_of
from subliminal_mlx.spec import validate
from subliminal_mlx.spec.plan import Slot
from subliminal_mlx.system.errors import InputError


def setting(base, trait="animals/owl", corpus=None, **fields):
    of = {"traits": [trait], "hard": {}, "corpus": {"rows": 4} | (corpus or {})} | fields
    return Setting(validate(of, "test"), base)


@pytest.mark.parametrize("trait", ["brand/velquin", "sycophancy/agrees"])
def test_a_family_whose_answers_the_base_cannot_tell_apart_is_refused(tiny, trait, one_line):
    """Every model would read alike, and a run would end in a null that says nothing."""
    with pytest.raises(InputError) as error:
        _ = setting(tiny, trait).families
    assert "tiny-a cannot be asked about" in one_line(error) and "bases check tiny-a" in one_line(error)


def test_families_of_the_small_world_are_taken(tiny):
    for trait in ("animals/owl", "trees/oak", "pronouns/she-everywhere"):
        assert setting(tiny, trait).families and setting(tiny, trait).prompts(0)


def test_prompts_and_lists_that_the_base_cannot_write_are_refused(tiny, one_line):
    with pytest.raises(InputError) as error:
        setting(tiny, corpus={"style": "full"}).prompts(0)
    assert "corpus.style: tiny-a lacks words of its prompts" in one_line(error)
    # Its grammar would let single numbers through, and nothing else.
    with pytest.raises(InputError) as error:
        _ = setting(tiny, corpus={"separator": ", ", "numbers": [1, 8]}).grammar
    assert "'tiny-a': its tokenizer cannot write a text of that form" in one_line(error)


def test_lists_that_are_written_anew_have_room(tiny):
    free = {"decoding": "free", "max_tokens": 8}
    longest = numbers.widest(tiny, setting(tiny).spec.corpus)
    assert longest > 8 == setting(tiny, corpus=free).widths[1]
    wide = setting(tiny, corpus=free, ablations=["shuffled"])
    assert wide.widths[1] == longest
    # A kept row of eight numbers that was cut before its end is one token longer with it.
    rows = [{"row": 0, "completion": "1 2 3 4 5 6 7 8"}]
    assert len(pack(*retokenised(wide, 0, rows), *wide.widths))
    with pytest.raises(InputError, match=r"a row takes 9 tokens of tiny-a, over corpus\.max_tokens = 8"):
        retokenised(setting(tiny, corpus=free), 0, rows)


def test_a_row_with_tokens_that_its_text_does_not_show_is_dropped(tiny):
    slot, of = Slot("teacher", "teacher", 0, "animals/owl", "animals/owl"), setting(tiny)
    plain = (*tiny.encode("12 7"), tiny.eos)
    for token in tiny.tokenizer.all_special_ids:
        ids = (plain[0], token, *plain[1:])
        row = row_of(of, slot, 0, "", (1,), tiny.decode(ids).strip(), ids)
        assert (row["kept"], row["reason"]) == (False, "special tokens"), token
    for ids in (plain, plain[:-1]):
        assert row_of(of, slot, 0, "", (1,), tiny.decode(ids).strip(), ids)["reason"] is None
