"""The pure core: what a session is, and what every event does to it. Begin with `machine`."""
