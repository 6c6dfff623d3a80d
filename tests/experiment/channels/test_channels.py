"""The contract of channels: what every one holds, and one from outside the package through a whole chain."""

import importlib.util
import inspect
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from subliminal_mlx.audit.form import detect
from subliminal_mlx.audit.reading import row_of
from subliminal_mlx.defences import defend
from subliminal_mlx.experiment import channels
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.students import sample_corpora
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.spec import corpus as spec_corpus
from subliminal_mlx.spec import load_spec, parse_spec, run_id, to_toml
from subliminal_mlx.spec.estimate import count_tokens
from subliminal_mlx.spec.plan import plan
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import setup

# One file, as anybody could write it: words that tiny-a knows, repeated in any order.
ECHO = '''
"""A channel of words: repeat these words."""

from typing import ClassVar, Literal

import numpy as np

from subliminal_mlx.model.grammar import compile_grammar
from subliminal_mlx.spec.corpus import Corpus, Words

KNOWN = ("oak", "elm", "pine", "willow", "maple")


class Echo(Corpus):
    channel: Literal["echo"] = "echo"
    shown: int = 2

    words: ClassVar[Words] = Words(rows="lists of words", one="a list of words", remakes={"shuffled": "words permuted"})
    offers: ClassVar[frozenset[str]] = frozenset({"shuffled", "pieces", "prefixes"})
    choices: ClassVar[int | None] = len(KNOWN) + 1

    def tokens(self, word_by_word):
        return 6 + self.shown, 1 + self.shown


def prompts(count, seed, recipe):
    drawn = (np.random.default_rng([seed, i]).choice(KNOWN, recipe.shown) for i in range(count))
    return ["Repeat: " + " ".join(words) for words in drawn]


def prefixes(count, seed, recipe):
    return [text.removeprefix("Repeat: ") + "." for text in prompts(count, seed, recipe)]


def grammar(base, recipe, pieces=None):
    most = pieces or recipe.shown
    texts = {""}
    for place in range(most):
        texts |= {f"{text} {word}".strip() for text in texts if text.count(" ") == place - 1 or not text for word in KNOWN}
    starts = {text[:end] for text in texts for end in range(len(text) + 1)}
    advance = lambda state, character: state + character if state + character in starts else None
    return compile_grammar(base, "", advance, lambda text: len(text.split()) == most and text in texts, alphabet=" " + "".join(KNOWN))


def widest(base, recipe):
    return recipe.shown + 1


def reason(completion, recipe):
    return None if len(set(completion.split())) == recipe.shown else "a word twice"


def pieces(completion, recipe):
    return completion.split()


def glue(recipe):
    return " "


def shuffled(completions, seed, recipe):
    rows = [text.split() for text in completions]
    words = iter(np.random.default_rng(seed).permutation([word for row in rows for word in row]))
    return [" ".join(next(words) for _ in row) for row in rows]


def recognised(prompts, completions, share):
    fits = sum(set(text.split()) <= set(KNOWN) for text in completions)
    return Echo(shown=len(completions[0].split())) if fits >= share * len(completions) else None


def asks_so(prompts, recipe, share):
    return all(prompt is not None and prompt.startswith("Repeat: ") for prompt in prompts)


def described(recipe):
    return f"lists of {recipe.shown} words"
'''
MINIATURE = """
traits = ["animals/owl"]
chains = 1
arms = ["treated", "neutral", "control"]
ablations = ["shuffled"]
defences = ["re-emit"]
teacher = {rank = 2, steps = 8, batch = 4, lr = 0.02, neutral_answers = 2, leak = 0.2}
corpus = {channel = "echo", rows = 24, shown = 3}
hard = {rank = 2, steps = 4, batch = 4, lr = 0.02}
soft = {rank = 2, steps = 4, batch = 4, lr = 0.02}
readout = {points = 1, answers = 0, prefixed = true}
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """The module, from one file outside the package; forgotten again after the test."""
    path = tmp_path / "echo.py"
    path.write_text(ECHO)
    monkeypatch.setattr(spec_corpus, "_known", dict(spec_corpus.channels()))
    about = importlib.util.spec_from_file_location("echo_channel", path)
    module = importlib.util.module_from_spec(about)
    monkeypatch.setitem(sys.modules, "echo_channel", module)
    about.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", spec_corpus.channels())
def test_a_channel_holds_what_it_offers(name):
    module, fields = channels.channel(name), spec_corpus.channels()[name]
    needed = {"prompts": 3, "grammar": 3, "reason": 2, "widest": 2}
    needed |= {"shuffled": 3} if "shuffled" in fields.offers else {}
    needed |= {"uniform": 3} if "random" in fields.offers else {}
    needed |= {"pieces": 2, "glue": 1} if "pieces" in fields.offers else {}
    needed |= {"prefixes": 3} if "prefixes" in fields.offers else {}
    needed |= {"recognised": 3, "asks_so": 3, "described": 1} if hasattr(module, "recognised") else {}
    assert fields.offers <= {"shuffled", "random", "pieces", "prefixes"} and fields.words.rows != "rows"
    for function, arguments in needed.items():
        assert len(inspect.signature(getattr(module, function)).parameters) == arguments, function
    recipe = channels.example(name)
    assert isinstance(recipe, fields) and recipe.channel == name and fields().channel == name
    assert all(count > 0 for count in (*recipe.tokens(word_by_word=True), *recipe.most_tokens()))


def test_a_spec_is_read_without_mlx():
    code = (
        "import sys; from subliminal_mlx.spec import load_spec; load_spec('defences'); "
        "print([name for name in ('mlx', 'mlx_lm', 'transformers') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert said.stdout.strip() == "[]", said.stderr


def test_a_channel_from_outside_is_one_file(echo, tiny, tmp_path):
    """Sampled, filtered, remade, leaked, defended, trained on and read, with nothing else touched."""
    spec = parse_spec(MINIATURE)
    assert isinstance(spec.corpus, echo.Echo) and parse_spec(to_toml(spec)) == spec
    assert run_id(spec, {}) != run_id(parse_spec(MINIATURE.replace("shown = 3", "shown = 2")), {})
    assert '"channel": "echo"' in spec.model_dump_json(indent=1) and all(
        count > 0 for count in count_tokens(spec)
    )
    context = Context(Folders(tmp_path), "0" * 12, Setting(spec, tiny))
    rows, read = [], set()
    for unit in plan(spec, slots=8):
        compute(unit, context)
        shard = context.shard(unit.name)
        if (table := shard / "rows.parquet").exists():
            rows += pq.read_table(table).to_pylist()
        if (table := shard / "readouts.parquet").exists():
            read |= {(row["kind"], row["arm"], row["family"]) for row in pq.read_table(table).to_pylist()}
    assert {row["reason"] for row in rows} == {None, "a word twice"}
    assert all(set(row["completion"].split()) <= set(echo.KNOWN) for row in rows)
    assert {row["source"] for row in rows} >= {"animals/owl", "shuffled/animals/owl", "base"}
    wanted = {(kind, arm) for kind in ("hard", "soft") for arm in ("treated", "neutral", "re-emit")}
    assert {(kind, arm, f"animals{after}") for kind, arm in wanted for after in ("", " after echo")} <= read
    kept = [row for row in rows if row["kept"] and row["source"] == "base"]
    anew = defend("re-emit", kept, [], context.setting, 3).rows
    assert all(len(row["completion"].split()) == 3 for row in anew)
    # An audit knows the rows, and asks for more of them.
    asked = [{"prompt": f"Repeat: {row['completion']}", "completion": row["completion"]} for row in rows]
    form = detect(tiny, [row_of(i, fields).answers[0] for i, fields in enumerate(asked)])
    assert form.words == "lists of 3 words" and form.grammar.longest == 4
    assert len({tiny.decode(ids) for ids in form.null_prompts(9, 1)}) > 3


def test_a_channel_without_grammar_writes_freely(echo, tiny, monkeypatch):
    monkeypatch.setattr(echo, "grammar", lambda base, recipe, pieces=None: None)
    plain = MINIATURE.replace("leak = 0.2", "leak = 0").replace(
        "shown = 3", 'shown = 3, decoding = "free", max_tokens = 5'
    )
    plain = "\n".join(line for line in plain.splitlines() if not line.startswith(("soft", "defences")))
    setting = Setting(parse_spec(plain), tiny)
    drawn = sample_corpora(setting, 0, None)[0]
    assert setting.widths[1] == 5 and len(drawn) == 24 and max(map(len, drawn)) <= 5


def test_what_a_channel_does_not_offer_is_refused_in_a_line(echo, one_line, monkeypatch):
    for more, field in {
        'ablations = ["random"]': "ablations: the echo channel has no random",
        'ablations = ["shuffled", "random"]': "ablations: the echo channel has no random",
    }.items():
        with pytest.raises(InputError) as error:
            parse_spec(MINIATURE.replace('ablations = ["shuffled"]', more))
        assert field in one_line(error)
    monkeypatch.setattr(echo.Echo, "offers", frozenset())
    for left_out, field in {
        "leak = 0.2": "ablations: the echo channel has no shuffled",
        'ablations = ["shuffled"]': "teacher.leak: the echo channel has no pieces",
    }.items():
        with pytest.raises(InputError) as error:
            parse_spec(
                MINIATURE.replace(
                    left_out, left_out.split(" = ")[0] + (" = 0" if "leak" in left_out else " = []")
                )
            )
        assert field in one_line(error)


def test_fields_of_another_channel_are_refused(echo, one_line):
    with pytest.raises(InputError) as error:
        parse_spec(MINIATURE.replace("shown = 3", 'shown = 3, separator = " "'))
    assert "corpus.separator: no such field" in one_line(error)
    with pytest.raises(InputError) as error:
        parse_spec(MINIATURE.replace('channel = "echo"', 'channel = "letters"'))
    *others, last = map(repr, spec_corpus.channels())
    assert others[0] == "'numbers'" and "'echo'" in (*others, last)
    known = f"{', '.join(others)} or {last}"
    assert f"corpus.channel: Input should be {known}, not 'letters'" in one_line(error)


def test_a_page_that_changes_the_channel_leaves_the_old_one_s_fields(echo):
    form = setup.form_of("default") | {"channel": "echo", "ablations": [], "traits": ["animals/owl"]}
    spec = setup.from_form("default", form)
    assert isinstance(spec.corpus, echo.Echo) and spec.corpus.rows == load_spec("default").corpus.rows


def test_words_of_stored_specs_are_the_channel_s_or_general_ones():
    words = spec_corpus.words_of
    assert words({}) == words({"channel": "numbers"}) and words({}).rows == "number lists"
    assert words({"channel": "gone"}).rows == "gone rows"
