"""How fast and how frugal a room server is: `python -m bench.sfu --help`."""
