from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - load evaluates the annotations
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from roomkeeper.errors import ConfigError
from roomkeeper.settings import Sources, load, setting


@dataclass(frozen=True)
class Kettle:
    name: str = "plain"
    degrees: float = 100.0
    cups: int = 4
    on: bool = False
    limit: int | None = None
    log: Path | None = None
    teas: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    colour: Literal["red", "blue"] = "red"
    url: str = setting("ws://here", env=["LIVEKIT_URL"])


def kettle(
    flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None, table: object = None
) -> Kettle:
    file = {} if table is None else {"kettle": table}
    return load(Kettle, "kettle", flags=flags or {}, sources=Sources(env or {}, file))


def test_nothing_set_gives_the_defaults() -> None:
    assert kettle() == Kettle()


def test_a_flag_beats_the_environment_which_beats_the_file() -> None:
    env = {"ROOMKEEPER_KETTLE_CUPS": "2"}
    table = {"cups": 3, "name": "file"}
    assert kettle({"cups": 1}, env, table).cups == 1
    assert kettle({}, env, table).cups == 2
    assert kettle({"cups": None}, {}, table) == Kettle(cups=3, name="file")


def test_our_own_variable_beats_the_one_of_livekit() -> None:
    livekit = {"LIVEKIT_URL": "ws://livekit"}
    assert kettle(env=livekit).url == "ws://livekit"
    assert kettle(env=livekit | {"ROOMKEEPER_KETTLE_URL": "ws://ours"}).url == "ws://ours"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("degrees", "99.5", 99.5),
        ("cups", "7", 7),
        ("on", "yes", True),
        ("on", "0", False),
        ("limit", "5", 5),
        ("log", "/var/log/tea", Path("/var/log/tea")),
        ("teas", "mint, sage", ("mint", "sage")),
        ("keys", "a: b, c:d", {"a": "b", "c": "d"}),
        ("keys", "a: b\nc: d\n", {"a": "b", "c": "d"}),
        ("colour", "blue", "blue"),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(name: str, text: str, value: object) -> None:
    assert getattr(kettle(env={f"ROOMKEEPER_KETTLE_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("cups", "many", "a whole number"),
        ("cups", "1.5", "a whole number"),
        ("degrees", "nan", "a number"),
        ("degrees", "hot", "a number"),
        ("on", "perhaps", "true or false"),
        ("keys", "devkey", "`name: value` pairs"),
        ("colour", "green", "one of red, blue"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_wanted(name: str, text: str, wanted: str) -> None:
    variable = f"ROOMKEEPER_KETTLE_{name.upper()}"
    with pytest.raises(ConfigError, match=f"{variable}: wants {wanted}"):
        kettle(env={variable: text})


@pytest.mark.parametrize("value", [True, "4 cups", [4], 3.7, float("inf")])
def test_a_wrong_type_in_the_file_is_refused_with_key_and_table(value: object) -> None:
    with pytest.raises(ConfigError, match=r"`cups` in \[kettle\] of roomkeeper\.toml: wants a"):
        kettle(table={"cups": value})


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 10**400])
def test_a_number_that_cannot_be_counted_with_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"`degrees` in \[kettle\] of roomkeeper\.toml: wants a number"):
        kettle(table={"degrees": value})


def test_one_text_where_the_file_has_to_have_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`teas` in \[kettle\] of roomkeeper\.toml: wants a list, not 5"):
        kettle(table={"teas": 5})


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `degrees`"):
        kettle(table={"degress": 90})


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"write \[kettle\]"):
        kettle(table=3)


def test_a_setting_without_default_must_be_set() -> None:
    @dataclass(frozen=True)
    class Door:
        key: str

    with pytest.raises(ConfigError, match="ROOMKEEPER_DOOR_KEY or `key` in"):
        load(Door, "door", flags={}, sources=Sources())


def test_a_value_that_the_section_itself_refuses_names_the_section() -> None:
    @dataclass(frozen=True)
    class Door:
        width: int = 0

        def __post_init__(self) -> None:
            if self.width < 0:
                raise ValueError("width cannot be negative")

    with pytest.raises(ConfigError, match=r"\[door\] width cannot be negative"):
        load(Door, "door", flags={"width": -1}, sources=Sources())


def test_a_section_within_a_section_is_a_table_within_the_table() -> None:
    inner = Sources({"ROOMKEEPER_HOUSE_KETTLE_CUPS": "9"}, {"house": {"kettle": {"name": "inner"}}})
    assert load(House, "house", flags={}, sources=inner).kettle == Kettle(name="inner", cups=9)


@dataclass(frozen=True)
class House:
    kettle: Kettle


def test_the_file_in_this_folder_is_read_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROOMKEEPER_CONFIG", raising=False)
    assert Sources.of_process().file == {}
    (tmp_path / "roomkeeper.toml").write_text("[kettle]\ncups = 1\n")
    (tmp_path / "other.toml").write_text("[kettle]\ncups = 2\n")
    assert Sources.of_process().file == {"kettle": {"cups": 1}}
    assert Sources.of_process(Path("other.toml")).file == {"kettle": {"cups": 2}}
    monkeypatch.setenv("ROOMKEEPER_CONFIG", "other.toml")
    assert Sources.of_process().file == {"kettle": {"cups": 2}}


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"[kettle", "not valid TOML"), (b"\xff", "not")])
def test_a_named_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "some.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        Sources.of_process(path)
