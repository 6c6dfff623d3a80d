"""How a number is written wherever people read one: on a terminal, on a page, in a sentence.

    percent(0.413), signed(0.4127), interval(0.2, 0.62)    # "41.3%", "+0.41", "+0.20 to +0.62"
    p_value(0.0099), gigabytes(2_310_000_000)              # "0.0099", "2.4 GB"
    about_duration(720), pace(12, 100, 31_000, "tokens")  # "about 12 minutes", "12 s, 31,000 tokens/s, 1:40 left"

Log-odds and margins have two decimals, percentages and points one, nats a token three. What is not known is a dash.
Minus signs are ASCII, which every terminal has; `report.words` typesets them for pages and sentences.
"""

import math

NOT_KNOWN = "-"
NATS_DIGITS = 3  # of losses and their changes, in nats a token


def _is_known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage: "41.3%"."""
    return f"{100 * share:z.{digits}f}%" if _is_known(share) else NOT_KNOWN


def percent_interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """The ends of a share's interval: "20.1% to 61.9%"."""
    if low is None or high is None:
        return NOT_KNOWN
    return f"{percent(low, digits)} to {percent(high, digits)}"


def signed(value: float | None, digits: int = 2) -> str:
    """A change or a log-odds: "+0.41"."""
    return f"{value:+z.{digits}f}" if _is_known(value) else NOT_KNOWN


def points(value: float | None) -> str:
    """A change in percentage points: "+4.1"."""
    return signed(value, digits=1)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """The ends of an interval: "+0.20 to +0.62"."""
    return NOT_KNOWN if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def p_value(p: float | None) -> str:
    """A p to two figures: "0.0099", or "<0.001"."""
    if not _is_known(p):
        return NOT_KNOWN
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def gigabytes(size: float) -> str:
    """Bytes of memory: "0.6 GB", rounded up, and from ten on "31 GB", rounded."""
    billions = size / 1e9
    return f"{billions:.0f} GB" if billions >= 10 else f"{math.ceil(billions * 10) / 10:.1f} GB"


def megabytes(size: float) -> str:
    """Bytes of files: "0.7 MB"."""
    return f"{size / 1e6:,.1f} MB"


def about_duration(seconds: float) -> str:
    """An estimated time: "about 40 s", "about 12 minutes", "about 3.0 hours"."""
    if seconds < 90:
        return f"about {max(1, round(seconds)):d} s"
    if seconds < 5_400:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"


def duration(seconds: float) -> str:
    """A measured time: "34 s", "12 min 34 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s" if minutes else f"{rest} s"


def took(seconds: float, memory: float | None) -> str:
    """What something took: "12 s, 0.5 GB at most"; memory is bytes of one process, None where not measured."""
    return duration(seconds) + (f", {gigabytes(memory)} at most" if memory else "")


def clock(seconds: float) -> str:
    """Seconds as a clock has them: "1:05", "2:00:05"."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def pace(seconds: float, left: float | None, rate: float | None, unit: str = "") -> str:
    """Time taken, units a second and time left of work under way: "12 s, 31,000 tokens/s, 1:40 left"."""
    words = [f"{seconds:.0f} s"]
    if rate:
        words.append(f"{rate:,.{0 if rate >= 10 else 1}f} {unit}".rstrip() + "/s")
    if left:
        words.append(f"{clock(left)} left")
    return ", ".join(words)
