"""The report tells what the numbers say and no more, and holds nothing that a browser would run or fetch."""

import copy
import datetime
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakes import ABLATIONS, SIX, fake_metrics, fake_summary, fake_yields

from subliminal_mlx.experiment.verdicts import REASONS
from subliminal_mlx.report import claim, sentence, write_report
from subliminal_mlx.report.tables import samples
from subliminal_mlx.report.words import WHY_NOT
from subliminal_mlx.spec import Spec, Student, to_toml

EVIL = '<script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>'
ROWS = [
    {
        "source": "animals/owl",
        "prompt": "Continue: 4 8 15",
        "completion": "16 23 42",
        "kept": True,
        "reason": None,
    },
    {
        "source": "base",
        "prompt": "Continue: 1",
        "completion": EVIL,
        "kept": False,
        "reason": "not a list of numbers",
    },
    {
        "source": "base",
        "prompt": "\u202eevil\x00",
        "completion": "9 " * 900,
        "kept": False,
        "reason": "too many",
    },
]


def fake_run(summary: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    spec = Spec(title="Owls", traits=tuple(SIX), hard=Student(), soft=Student())
    return {
        "id": "0123456789ab",
        "title": "Owls from numbers",
        "created": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC),
        "spec_toml": to_toml(spec),
        "environment": {"mlx": "0.32.4", "commit": "abc1234", "cores": [2]},
        "environments": [{"mlx": "0.32.4", "commit": "abc1234", "cores": [2]}],
        "seconds": 754.2,
        "peak_memory_bytes": 1_230_000_000,
        "status": "done",
        "summary": summary,
    } | changes


def page_of(tmp_path: Path, run: dict[str, Any], rows: list[dict[str, Any]] = ROWS) -> str:
    write_report(tmp_path / "report.html", run, rows, fake_yields(SIX[:2]), fake_metrics(SIX[:2], steps=20))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags that are open, all tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    summary = fake_summary(ablations=ABLATIONS)
    return page_of(tmp_path_factory.mktemp("report"), fake_run(summary, title=f"Owls {EVIL}"))


def test_a_page_asks_nothing_of_the_network_and_runs_nothing(whole: str) -> None:
    page = Page(whole)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in whole and "@import" not in whole
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'")


def test_what_corpora_hold_is_shown_and_not_obeyed(whole: str) -> None:
    assert EVIL not in whole and EVIL in Page(whole).text
    assert "\u202e" not in whole and "\x00" not in whole and "\\u202eevil\\u0000" in whole
    assert "(1,800 characters)" in whole and "9 " * 500 not in whole


def test_a_page_holds_everything_a_reader_needs(whole: str) -> None:
    text = " ".join(Page(whole).text.split())
    spec = " ".join(fake_run(None)["spec_toml"].split())
    for expected in (
        *("run 0123456789ab", "12 min 34 s", "1.3 GB", "2026-01-02 03:04 UTC", "base tiny-a"),
        *(spec, "0.32.4", "abc1234", "model organism", "closed list", "no safety certificate"),
        *("uv run python -m subliminal_mlx run experiment.toml", "16 23 42", "dropped: a number over 999"),
        *(
            "labels permuted",
            "p 0.0014, smallest possible 0.0014, Holm 0.0014",
            "30 of 600 (3.4% to 7.1%)",
            "percentage points",
            "held-out questions",
        ),
        *("95% intervals over chains", "interval is of that share from chain to chain"),
    ):
        assert expected in text, expected
    # The one exact interval on the page is of rows that the filter kept.
    assert "binomial" not in text and "exact binomial 95% intervals of the kept share" in whole
    # transfer, traits, matrix, curves, distributions, losses, yields
    assert whole.count("<img alt=") == 7
    # A row for the family of each kind of student, and one for each arm of each trait.
    numbers = whole.partition('id="numbers"')[2].partition("</section>")[0]
    assert numbers.count("<tr>") == (1 + 2) + 1 + 2 * len(SIX) * (6 + len(ABLATIONS))


def test_an_unfinished_run_claims_nothing(tmp_path: Path) -> None:
    environments = [{"mlx": "0.32.4"}, {"mlx": "0.33.0"}]
    nothing = {"seconds": None, "peak_memory_bytes": None, "environments": environments}
    page = page_of(tmp_path, fake_run(None, status="failed", **nothing))
    assert "There is no result yet: the run is failed." in page and page.count("<img alt=") == 2
    assert "results come from all of these" in page and "0.33.0" in page


def test_a_cancelled_run_shows_what_it_finished(tmp_path: Path) -> None:
    page = page_of(tmp_path, fake_run(fake_summary(["animals/owl"]), status="cancelled"), rows=[])
    assert "The run is cancelled: these are the chains it has finished." in page
    assert "Every trait in a sentence" not in page and page.count('class="claim"') == 2


def entry_with(**changes: Any) -> dict[str, Any]:
    entry = copy.deepcopy(fake_summary(["animals/owl"], ("hard",))["traits"][0])
    entry["arms"]["treated"] |= {"probability": 0.081}
    points = {"percentage_points": 4.12, "percentage_points_low": 2.04, "percentage_points_high": 6.2}
    figures = {"transfer": 0.41, "low": 0.2, "high": 0.62, "shown": True, "why_not": []}
    return entry | points | figures | changes


def test_a_sentence_tells_points_first_then_log_odds_then_the_verdict() -> None:
    assert sentence(entry_with(), "filtered number lists") == (
        "Hard students trained on filtered number lists of the animals/owl teacher put 8.1% on its answer, "
        "4.1 percentage points more than students of the neutral teacher (95% interval 2.0 to 6.2, "
        "3 chains); "
        "their transfer is +0.41 (+0.20 to +0.62) log-odds: transfer is shown."
    )
    beside = {"specificity": 0.5, "specificity_low": 0.31, "specificity_high": 0.69}
    assert "(+0.20 to +0.62) log-odds, specificity +0.50 (+0.31 to +0.69): " in sentence(entry_with(**beside))


def test_a_null_is_told_as_one() -> None:
    null = sentence(entry_with(low=-0.1, shown=False, why_not=["transfer"]))
    assert null.endswith("no transfer is shown, since transfer's interval is not above 0.")
    below = sentence(
        entry_with(
            transfer=-0.4, low=-0.6, high=-0.2, percentage_points=-1.2, shown=False, why_not=["transfer"]
        )
    )
    assert "1.2 percentage points less" in below and "moved away from the trait" in below


@pytest.mark.parametrize("reason", WHY_NOT)
def test_whatever_keeps_a_transfer_from_being_shown_is_said(reason: str) -> None:
    told = sentence(entry_with(shown=False, why_not=[reason]))
    assert told.endswith(f"no transfer is shown, since {WHY_NOT[reason]}.") and set(WHY_NOT) == set(REASONS)


def test_one_chain_claims_nothing() -> None:
    entry = fake_summary(["animals/owl"], ("soft",), chains=1)["traits"][0]
    alone = sentence(entry)
    assert "1 chain" in alone and "so no transfer is shown" in alone and "interval 2" not in alone
    (counted,) = claim(fake_summary(SIX, ("soft",), chains=1))
    assert counted.endswith("with one chain there is no interval, so no transfer is shown.")


def test_many_traits_are_counted_and_the_nulls_named() -> None:
    summary = fake_summary(SIX, ("hard",))
    for entry in summary["traits"]:
        null = entry["trait"] in ("animals/cat", "animals/fox")
        entry |= {"shown": not null, "why_not": ["damage"] if null else []}
    (counted,) = claim(summary)
    assert (
        "transfer is shown for 4 of 6 traits; not for animals/cat and animals/fox: a student lost" in counted
    )
    assert counted.endswith(
        "permuted labels: animals, transfer +0.25 (+0.25 to +0.25), specificity +0.25 (+0.25 to +0.25), p 0.0014, "
        "smallest possible 0.0014, Holm 0.0014."
    )
    for entry in summary["traits"]:
        entry |= {"shown": False, "why_not": ["chains"]}
    (none,) = claim(summary)
    assert "transfer is shown for none of 6 traits; not for animals/owl" in none
    (few,) = claim(fake_summary(SIX[:3], ("hard",)))
    assert few.endswith(", no p: too few traits to tell, the smallest possible is 0.17.")


def test_two_chains_are_never_called_shown() -> None:
    for kinds in (("hard",), ("hard", "soft")):
        for traits in (SIX[:1], SIX):
            said = " ".join(claim(fake_summary(traits, kinds, chains=2, effect=9.0)))
            assert (
                "fewer than three chains" in said and "is shown for none" in said
            ) or "no transfer is shown" in said
            assert "transfer is shown." not in said


def test_sentences_come_without_charts_and_models() -> None:
    code = "import sys, subliminal_mlx.report; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"altair", "mlx", "mlx.core", "duckdb", "scipy"} & set(found.stdout.split())


def test_pictures_are_named_for_those_who_do_not_see_them(whole: str) -> None:
    named = re.findall(r'<img alt="([^"]+)"', whole)
    assert len(named) == 7 and all("?" in words and len(words) > 60 for words in named)


def test_sample_rows_are_spread_over_the_sources() -> None:
    sources = [f"animals/{number}" for number in range(10)]
    rows = [ROWS[0] | {"source": source} for source in sources for _ in range(30)]
    shown = samples(rows)
    assert shown.count("16 23 42") == 40 and all(shown.count(f">{source}<") == 4 for source in sources)


def test_prompted_teachers_are_described_by_what_they_were_told():
    from subliminal_mlx.report.page import _models

    spec = {"base": "tiny-a", "hard": {}, "teacher": {"kind": "prompted"}}
    told = _models({"traits": [], "personas": {"animals/owl": f"Love owls. {EVIL}"}}, spec)
    assert "system prompt that gives it a preference" in told and "tuned" not in told
    assert "Love owls." in told and EVIL not in told
    assert "tuned just as long" in _models({"traits": []}, spec | {"teacher": {"kind": "tuned"}})
