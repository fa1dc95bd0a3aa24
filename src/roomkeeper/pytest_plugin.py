"""Fixtures for applications that test against a room server."""
