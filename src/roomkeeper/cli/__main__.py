"""`python -m roomkeeper.cli`, for children that must run in the same environment."""

from __future__ import annotations

from roomkeeper.cli import main

if __name__ == "__main__":
    main()
