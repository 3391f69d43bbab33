"""Records as lines on disk, each decoded when it is asked for: in memory are 8 bytes a record, whatever its size.

A task set of a million rows or a run of a million trials is walked through, never held.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, overload

import msgspec

from harness.errors import DataError, Problem

T = TypeVar("T")


class Lines(Sequence[T], Generic[T]):
    """A sequence of records in a file of JSON lines. Slices are tuples; equal to any sequence of the same records."""

    def __init__(self, file: BinaryIO, type: type[T], where: str) -> None:
        self._file = file
        self._decoder = msgspec.json.Decoder(type)
        self._type = type
        self._where = where
        self._starts = array("q")
        self._lock = threading.Lock()
        weakref.finalize(self, closed, file)

    @staticmethod
    def opened(path: Path, type: type[T], *, scan: bool = True) -> Lines[T]:
        """The records of a file; a torn last line is passed over. Without `scan` only `at` finds them.

        Raises:
            DataError: it cannot be opened.
        """
        try:
            made = Lines(path.open("rb"), type, str(path))
        except OSError as error:
            raise DataError(Problem(f"cannot be read: {error.strerror or error}", where=str(path))) from error
        if scan:
            made._starts.extend(start for start, _ in whole(path))
        return made

    @staticmethod
    def spooled(type: type[T]) -> Lines[T]:
        """An empty sequence in a file without a name, to `append` to."""
        return Lines(tempfile.TemporaryFile(), type, "a temporary file")

    def append(self, record: T) -> None:
        """Add a record to a spooled sequence.

        Raises:
            DataError: the disk of temporary files is full.
        """
        with self._lock:
            try:
                self._starts.append(self._file.seek(0, os.SEEK_END))
                self._file.write(msgspec.json.encode(record) + b"\n")
            except OSError as error:
                raise no_room(error) from error

    def cut(self, length: int | None) -> Lines[T]:
        """Forget all records after so many."""
        if length is not None:
            del self._starts[length:]
        return self

    def at(self, start: int) -> T:
        """The record whose line starts at a byte of the file.

        Raises:
            DataError: the line is no such record.
        """
        with self._lock:
            try:
                self._file.seek(start)
            except OSError as error:  # a spooled file: what was still to be written
                raise no_room(error) from error
            line = self._file.readline()
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise not_a_record(self._type, error, f"{self._where}, byte {start}") from None

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self.at(start) for start in self._starts[index])
        return self.at(self._starts[index])

    def __iter__(self) -> Iterator[T]:
        return map(self.at, self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        there: Sequence[Any] = other
        return len(self) == len(there) and all(a == b for a, b in zip(self, there, strict=True))

    __hash__ = None  # type: ignore[assignment]


def no_room(error: OSError) -> DataError:
    """What is said when a temporary file cannot be written."""
    what = f"cannot write a temporary file: {error.strerror or error}"
    fix = "free some space there, or name another folder in the variable TMPDIR"
    return DataError(Problem(what, where=tempfile.gettempdir(), fix=fix))


def closed(file: BinaryIO) -> None:
    """Close a temporary file, whatever could not be written any more: that was said when it happened."""
    with contextlib.suppress(OSError):
        file.close()


class Joined(Sequence[T], Generic[T]):
    """Two sequences, one after the other."""

    def __init__(self, one: Sequence[T], two: Sequence[T]) -> None:
        self._one = one
        self._two = two

    def __len__(self) -> int:
        return len(self._one) + len(self._two)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(len(self))[index])
        first = len(self._one)
        return self._one[index] if index < first else self._two[index - first]

    def __iter__(self) -> Iterator[T]:
        yield from self._one
        yield from self._two


def whole(path: Path) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a file, each with the byte that it starts at; a torn last one is passed over."""
    at = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield at, line
            at += len(line)


def read_lines(path: Path, type: type[T]) -> Iterator[T]:
    """The records of a JSON-lines file, one at a time; a torn last line is passed over, no file has none.

    Raises:
        DataError: a line before the last is not such a record.
    """
    return (record for _, record in numbered(path, type))


def numbered(path: Path, type: type[T]) -> Iterator[tuple[int, T]]:
    """The same, each with the byte that its line starts at."""
    if not path.exists():
        return
    decode = msgspec.json.Decoder(type).decode
    for number, (at, line) in enumerate(whole(path), 1):
        try:
            yield at, decode(line)
        except msgspec.DecodeError as error:
            raise not_a_record(type, error, f"{path}:{number}") from None


def cut_torn_line(path: Path) -> None:
    """Cut a last line that has no end off a JSON-lines file."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found != -1:
                position = start + found + 1
                break
            position = start
        if position != end:
            file.truncate(position)


def not_a_record(type: type[Any], error: msgspec.DecodeError, where: str) -> DataError:
    """What is said of a line that cannot be read."""
    return DataError(
        Problem(
            f"no {type.__name__.lower().strip('_')} can be read from it: {error}",
            where=where,
            fix="it was changed by hand or by another version: move the run directory away and run again",
        )
    )
