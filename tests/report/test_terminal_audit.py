"""What an audit looks like in a terminal: nothing that rows hold acts on it."""

from subliminal_mlx.report.terminal_audit import print_audit

# Clears the screen, and writes another verdict there.
HOSTILE = "\x1b[2J\x1b[Hnot found\x07\x9b2J"


def test_what_rows_say_does_not_act_on_the_terminal(capsys):
    shares = {"rows": 0.5, "characters": 0.5, "tokens": 0.0}
    unread = [{"name": HOSTILE, "rows": 1, "characters": 9}]
    coverage = {"rows": 2, "unread_rows": 1, "unread_characters": 9, "unread": unread, "told": [HOSTILE]}
    coverage |= {"shares": shares, "most": 0.05, "unknown_tokens": 0, "cut_tokens": 0, "tokens": 1}
    result = {"words": f"cannot tell: {HOSTILE}", "coverage": coverage, "predicted_transfer": None}
    result |= {"rows": 1, "form": HOSTILE, "base": "tiny-a", "families": [], "suspects": []}
    result |= {"bad_rows": 1, "bad": {"shown": [(1, HOSTILE)]}}
    rows = [{"trait": "animals/owl", "number": 1, "completion": f"1 2 {HOSTILE}", "score": 1.0}]
    print_audit(result, HOSTILE, rows)
    said = capsys.readouterr().out
    assert said.count("not found") == 7 and all(c.isprintable() or c == "\n" for c in said)
