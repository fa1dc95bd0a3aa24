"""Measures what becomes of a conversation whose agent is killed, paused or restarted; beside livekit-agents alone."""
