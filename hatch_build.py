"""What a wheel holds beyond the package: the built pages and the example that `roomkeeper dev` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "src/roomkeeper/control/pages/interview/index.html"
EXAMPLE = "examples/interviewer"


class WheelContents(BuildHookInterface):  # type: ignore[type-arg] # hatchling leaves the builder's configuration open
    """Add what lives outside of src/; an editable install finds it in the checkout instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the extra files, or refuse to build a wheel whose pages are missing."""
        if version == "editable":
            return
        if not (Path(self.root) / PAGE).is_file():
            raise FileNotFoundError(f"{PAGE} is missing: run `make pages`, or `make wheel`, which does")
        build_data["force_include"][str(Path(self.root) / EXAMPLE)] = f"roomkeeper/{EXAMPLE}"
