"""Where a setting comes from: flag > environment > roomkeeper.toml > default.

A section of settings is a frozen dataclass; each field is one setting. The field `sfu_port` of the section `dev` is
the flag `--sfu-port`, the variable `ROOMKEEPER_DEV_SFU_PORT` and the key `sfu_port` of the table `[dev]`. A field
that is itself a dataclass is a table within the table. A field that LiveKit's own tools know by a variable
(`LIVEKIT_KEYS`) may name it with `setting(env=…)`; the `ROOMKEEPER_` one goes first.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from roomkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

FILE_NAME = "roomkeeper.toml"
BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def setting(default: Any, *, env: Sequence[str] = ()) -> Any:  # noqa: ANN401 - typed like dataclasses.field
    """Declare a setting that further environment variables set too.

    Args:
        default: The value when nothing sets it.
        env: Names of the variables; the first one that is set wins.
    """
    return dataclasses.field(default=default, metadata={"env": tuple(env)})


@dataclasses.dataclass(frozen=True, slots=True)
class Sources:
    """The environment and the settings file of one process."""

    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    file: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    file_name: str = FILE_NAME

    @classmethod
    def of_process(cls, path: Path | None = None) -> Sources:
        """Read the environment and the settings file.

        Args:
            path: The file; by default `ROOMKEEPER_CONFIG`, else `roomkeeper.toml` in this folder, if there is one.

        Raises:
            ConfigError: The file is named but missing, or is not TOML.
        """
        named = path or (Path(value) if (value := os.environ.get("ROOMKEEPER_CONFIG")) else None)
        chosen = named or Path(FILE_NAME)
        if named is None and not chosen.is_file():
            return cls(os.environ)
        return cls(os.environ, read_toml(chosen), str(chosen))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: It cannot be read, or is not TOML; the message says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def load(kind: type[T], section: str, *, flags: Mapping[str, Any], sources: Sources) -> T:
    """Put a section together: flag, else environment, else file, else the default of its field.

    Args:
        kind: The frozen dataclass of the section.
        section: Its name; dots for a table within a table, `sfu.room`.
        flags: Values from the command line by field name; None means "not given".
        sources: Environment and file.

    Raises:
        ConfigError: A value does not fit, a key is unknown, or a setting without default is missing.
    """
    table = _table(section, sources)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    _refuse_unknown(table, fields, section, sources)
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            values[name] = load(hint, f"{section}.{name}", flags=flags.get(name) or {}, sources=sources)
            continue
        for origin, raw in _candidates(field, section, table, flags, sources):
            try:
                values[name] = _coerced(raw, hint)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{origin}: {error}.") from error
            break
        else:
            if field.default is field.default_factory is dataclasses.MISSING:
                raise ConfigError(f"Set {_variable(section, name)} or `{name}` in [{section}] of {sources.file_name}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"[{section}] {error}.") from error


def _candidates(
    field: dataclasses.Field[Any], section: str, table: Mapping[str, Any], flags: Mapping[str, Any], sources: Sources
) -> Iterator[tuple[str, Any]]:
    """Yield where the field is set, and to what, strongest first."""
    if (flag := flags.get(field.name)) is not None:
        yield f"--{field.name.replace('_', '-')}", flag
    for variable in (_variable(section, field.name), *field.metadata.get("env", ())):
        if value := sources.environ.get(variable):
            yield variable, value
    if field.name in table:
        yield f"`{field.name}` in [{section}] of {sources.file_name}", table[field.name]


def _variable(section: str, name: str) -> str:
    return f"ROOMKEEPER_{section}_{name}".replace(".", "_").upper()


def _table(section: str, sources: Sources) -> Mapping[str, Any]:
    table: Any = sources.file
    for part in section.split("."):
        table = table.get(part, {})
        if not isinstance(table, Mapping):
            raise ConfigError(f"`{part}` in {sources.file_name} must be a table: write [{section}].")
    return typing.cast("Mapping[str, Any]", table)


def _refuse_unknown(
    table: Mapping[str, Any], fields: Mapping[str, dataclasses.Field[Any]], section: str, sources: Sources
) -> None:
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(fields))}."
            raise ConfigError(f"`{key}` in [{section}] of {sources.file_name} is no setting; {hint}")


def _coerced(raw: Any, hint: Any) -> Any:  # noqa: ANN401 - the type is data here
    """Turn a string (environment) or a TOML value into the type of the field.

    Raises:
        ValueError: It cannot be that type; the message says what is wanted.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return _coerced(raw, next(arg for arg in args if arg is not type(None)))
    if origin is typing.Literal:
        return _one_of(raw, args)
    if origin is tuple:
        items = [part.strip() for part in raw.split(",") if part.strip()] if isinstance(raw, str) else raw
        if not isinstance(items, list | tuple):
            raise ValueError(f"wants a list, not {raw!r}")
        return tuple(_coerced(item, args[0]) for item in items)
    if origin is Mapping:
        return _mapping(raw)
    if hint is bool:
        return _boolean(raw)
    if hint in {int, float}:
        return _number(raw, hint)
    if hint in {str, Path} and isinstance(raw, str | Path):
        return hint(raw)
    raise ValueError(f"wants {getattr(hint, '__name__', hint)}, not {raw!r}")


def _one_of(raw: Any, choices: tuple[Any, ...]) -> Any:  # noqa: ANN401
    if raw not in choices:
        raise ValueError(f"wants one of {', '.join(map(str, choices))}, not {raw!r}")
    return raw


def _boolean(raw: Any) -> bool:  # noqa: ANN401
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in BOOLEANS:
        return BOOLEANS[raw.lower()]
    raise ValueError(f"wants true or false, not {raw!r}")


def _number(raw: Any, kind: type[int | float]) -> float:  # noqa: ANN401
    wanted = ValueError(f"wants {'a whole number' if kind is int else 'a number'}, not {raw!r}")
    if isinstance(raw, bool) or (kind is int and isinstance(raw, float)):
        raise wanted
    try:
        number = kind(raw)
    except (TypeError, ValueError, OverflowError):
        raise wanted from None
    if isinstance(number, float) and not math.isfinite(number):
        raise wanted
    return number


def _mapping(raw: Any) -> dict[str, str]:  # noqa: ANN401
    """Read a TOML table, or `name: value` pairs, one a line or between commas, like livekit-server's LIVEKIT_KEYS."""
    if isinstance(raw, Mapping):
        return {str(key): str(value) for key, value in raw.items()}
    if isinstance(raw, str):
        pairs = [part.partition(":") for part in raw.replace("\n", ",").split(",") if part.strip()]
        if all(colon and key.strip() and value.strip() for key, colon, value in pairs):
            return {key.strip(): value.strip() for key, _, value in pairs}
    raise ValueError("wants `name: value` pairs")
