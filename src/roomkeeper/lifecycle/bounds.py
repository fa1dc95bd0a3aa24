"""The fixed times of the core, in milliseconds: what no policy needs to change, and why it is as long as it is."""

from __future__ import annotations

SECOND = 1_000

LISTINGS_APART = 5 * SECOND
"""Absence is two listings of the room this far apart: a client that reconnects fully is gone for about a second."""

SPOOL_GRACE = 30 * SECOND
"""After a start of the control plane or a lost link, spools get this long to arrive before an end is inferred."""

SETTLE = 30 * SECOND
"""An agent's last facts get this long to arrive before the report is sent, or sent again."""

GOODBYE_BOUND = 30 * SECOND
"""A decided end waits no longer for the goodbye: a hung TTS must not keep a room."""

AGENT_WORD = 5 * SECOND
"""An agent that left the room has this long to come back (a full reconnect) or to say over its link why it left."""

DISPATCH_AGAIN = 5 * SECOND
"""LiveKit silently drops a dispatch that finds no worker; one that brings no agent is repeated after this."""

HAND_OVER_BOUND = 10 * SECOND
"""The old agent of a hand-over gets this long to find a pause in the talk."""

SWEEP_AFTER = 1 * SECOND
"""A room re-created after the end lives this long: enough for its page to read why, too short for an agent to speak."""

SIDS_KEPT = 64
"""Rooms of an ended session that are remembered: every event writes all of them."""


def millis(seconds: float) -> int:
    """Turn a policy's seconds into the core's milliseconds."""
    return round(seconds * SECOND)
