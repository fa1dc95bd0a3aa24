"""Commands need extras; whoever lacks one is told its name instead of a traceback."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roomkeeper.errors import RoomkeeperError

if TYPE_CHECKING:
    from collections.abc import Iterator


class MissingExtra(RoomkeeperError):
    """This command needs packages that are not installed."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Wrap the imports of a command.

    Args:
        extra: What the packages are installed by, such as `sfu`.

    Raises:
        MissingExtra: A third-party package is missing. A missing module of our own is a bug and passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "roomkeeper":
            raise
        raise _missing(extra, package) from error


def require(extra: str, *packages: str) -> None:
    """Look for packages without importing them: other processes will.

    Raises:
        MissingExtra: One is not installed.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise _missing(extra, package)


def _missing(extra: str, package: str) -> MissingExtra:
    return MissingExtra(f"Run: pip install 'roomkeeper[{extra}]' ({package} was not found)")
