"""The operator's console in front of many sessions: `python -m bench.console --help`."""
