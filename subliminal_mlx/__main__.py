"""The command line: `python -m subliminal_mlx --help`.

Commands that only read the lab import neither MLX nor Altair before they need them.
"""

import re
import sys
import traceback
from typing import NoReturn

import typer

from .cli import app, audit, defend, digits, doctor, gate, lineage, listing, measure, null, results, run
from .system.errors import SubliminalError

PROGRAM, INTERRUPTED = "python -m subliminal_mlx", 130

program = typer.Typer(
    help="See, catch and stop the traits that travel through distillation data. --debug, anywhere, shows tracebacks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for module in (
    run,
    results,
    listing,
    audit,
    doctor,
    digits,
    app,
    measure,
    null,
    lineage,
    defend,
    gate,
):
    module.add_commands(program)


def main() -> None:
    """Run the command line; every failure is one line and the right exit code."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        # Typer's own main would print usage errors in several lines, and nothing at Ctrl-C.
        code = program(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:  # a verdict that was asked to end in a code of its own
            sys.exit(code)
    except KeyboardInterrupt:
        _fail("interrupted: what is done is kept; the same command, or `resume latest`, goes on", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, SubliminalError):
            _fail(f"error: {error}", error.code)
        if hasattr(error, "format_message"):
            _fail(f"error: {error.format_message()} (--help shows what there is)", 2)
        _fail(f"error: {type(error).__name__}: {error} (--debug shows where)", 1)


def _fail(message: str, code: int) -> NoReturn:
    # What users name, and libraries say, may hold line breaks and worse.
    print(re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", message), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
