from __future__ import annotations

from roomkeeper.errors import ConfigError, RoomkeeperError


def test_an_error_reads_as_its_advice_and_the_particular() -> None:
    error = ConfigError("Port 1 is taken.")
    assert str(error).startswith("A setting cannot be used")
    assert str(error).endswith("Port 1 is taken.")
    assert isinstance(error, RoomkeeperError)


def test_an_error_without_particular_is_its_advice_alone() -> None:
    assert str(RoomkeeperError()) == "Something in Roomkeeper failed."
