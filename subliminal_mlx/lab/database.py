"""The lab's database: one short confined connection at a time, and its failures in one line.

    with connection(path, write=True, wait_seconds=60, on_wait=print) as con:    # one transaction
        con.execute("INSERT INTO ...", {"run": run_id})

Whoever connects holds `lab.lock` beside the database: several processes take turns by it, while
DuckDB's own lock, which other programs respect too, fails at once and is waited for here.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from ..system import files, locks
from ..system.errors import InputError, MachineError
from . import schema

# Wrong SQL, or values that a table refuses: bugs, whose traceback is wanted.
_OUR_MISTAKES = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.NotSupportedError,
    duckdb.PermissionException,
)
_FULL_DISK = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}


@contextmanager
def connection(
    path: Path,
    *,
    write: bool,
    wait_seconds: float,
    on_wait: Callable[[str], object],
    run_id: str | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """One transaction on the database at `path`, committed at the end of the block or not at all.

    Without `write` it cannot change anything; with it, a missing database is made first. Raises
    InputError, MachineError and BusyError as `Lab` says.
    """
    with one_line_errors(path, run_id):
        lock, con = locks.wait_for(partial(_open, path, write), f"the lab {path}", wait_seconds, on_wait)
        try:
            con.begin()
            yield con
            con.commit()
        finally:
            try:
                con.close()  # rolls back what did not commit
            finally:
                locks.release(lock)


@contextmanager
def one_line_errors(path: Path, run_id: str | None = None) -> Iterator[None]:
    """Turn failures of disk, memory and database below `path` into one line that names the remedy."""
    again = f"`resume {run_id}`" if run_id else "try again"
    try:
        yield
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(
            f"{error.filename or path}: {error.strerror}: name a folder you can write to"
        ) from error
    except RuntimeError as error:
        # DuckDB's word for Ctrl-C during a query.
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise
    except _OUR_MISTAKES:
        raise
    except (OSError, duckdb.Error) as error:
        first = str(error).partition("\n")[0]
        if getattr(error, "errno", None) in _FULL_DISK or any(text in first for text in _FULL_DISK.values()):
            raise MachineError(f"disk is full ({path}): free space and {again}") from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise MachineError(f"memory is full ({first}): free memory and {again}") from error
        if any(sign in first for sign in ("Corrupt", "Could not read enough bytes")):
            raise MachineError(f"{path} is damaged ({first}): restore it from a copy") from error
        raise MachineError(f"{path}: {first}: put that right and {again}") from error


def _open(path: Path, write: bool) -> tuple[int, duckdb.DuckDBPyConnection]:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise InputError(f"no lab at {path.parent}: start one with `run`")
    lock = locks.acquire(path.parent / "lab.lock")
    try:
        if write and not path.exists():
            _create(path)
        return lock, _connect(path, write)
    except BaseException:
        # Given back between two tries, too: who waits behind us should read the real holder's pid.
        locks.release(lock)
        raise


def _create(path: Path) -> None:
    """Publish an empty lab: DuckDB cannot open what a kill leaves of a file it was just making."""

    def make(temporary: Path) -> None:
        with duckdb.connect(temporary) as con:
            con.execute(schema.CREATION)
            con.execute("INSERT INTO meta VALUES ('schema', $version)", {"version": schema.VERSION})
            con.execute("CHECKPOINT")

    if path.with_name(path.name + ".wal").exists():
        raise InputError(f"{path}.wal is there without {path.name}: bring that back, or move the other away")
    for left in path.parent.glob(f".part-*/{path.name}"):
        shutil.rmtree(left.parent, ignore_errors=True)
    files.publish(path, make)


def _connect(path: Path, write: bool) -> duckdb.DuckDBPyConnection:
    con = _confined(path, write)
    try:
        version = _version(con, path)
        if version == schema.VERSION and not _lacking(con):
            return con
        con.close()
        _migrate(path, version)
        return _confined(path, write)
    except BaseException:
        con.close()
        raise


def _confined(path: Path, write: bool) -> duckdb.DuckDBPyConnection:
    """A connection whose SQL reaches no file outside the lab's folder, and cannot undo that."""
    try:
        # A setting of our own keeps DuckDB from sharing a connection that this process already has.
        con = duckdb.connect(path, read_only=not write, config={"autoinstall_known_extensions": False})
    except duckdb.OperationalError as error:
        if "Could not set lock" in str(error):
            found = re.search(r"PID (\d+)", str(error))
            raise locks.HeldError(int(found[1]) if found else None) from error
        if "different configuration" in str(error):
            raise locks.HeldError(os.getpid()) from error
        if "not a valid DuckDB database" in str(error):
            raise InputError(f"{path} is no DuckDB database: move it away or name another lab") from error
        raise
    con.execute("SET allowed_directories = $folders", {"folders": [str(path.parent)]})
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def _version(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    found = []
    with suppress(duckdb.CatalogException, duckdb.BinderException):
        # All, though there is one: a result that is not read to its end keeps the connection busy.
        found = con.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
    if not found:
        raise InputError(f"{path} is a DuckDB database but no lab: move it away or name another lab")
    version = found[0][0]
    if version > schema.VERSION:
        raise InputError(f"{path} has schema {version}, newer than {schema.VERSION}: upgrade subliminal-mlx")
    return version


def _lacking(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Tables of readouts that came later than the lab."""
    there = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    return {name: columns for name, columns in schema.TABLES.items() if name not in there}


def _migrate(path: Path, version: int) -> None:
    with _confined(path, write=True) as con:
        con.begin()
        for old in range(version, schema.VERSION):
            con.execute(schema.MIGRATIONS[old])
        if lacking := _lacking(con):
            con.execute(schema.created(lacking, "run"))
        con.execute("UPDATE meta SET value = $version WHERE key = 'schema'", {"version": schema.VERSION})
        con.commit()


def insert(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table, owner: dict[str, str]) -> None:
    """Add the rows of `table` to the table `name`; `owner` is the column, and its value, that they all have."""
    [(column, value)] = owner.items()
    con.register("incoming", table)
    con.execute(
        f'INSERT INTO "{name}" BY NAME SELECT $owner AS {column}, {listed(table.column_names)} FROM incoming',
        {"owner": value},
    )
    con.unregister("incoming")


def check_columns(name: str, table: pa.Table, columns: Collection[str]) -> pa.Table:
    """The table; ValueError where it has others than these columns."""
    if unknown := set(table.column_names) - set(columns):
        raise ValueError(f"{name} has no column {sorted(unknown)}: only {', '.join(columns)}")
    return table


def listed(columns: Iterable[str]) -> str:
    """Names of columns as SQL has them."""
    return ", ".join(f'"{column}"' for column in columns)
