"""The layer over livekit-agents; nothing is here yet."""
