"""The certificate that every peer connection of the process shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiortc import RTCCertificate
from OpenSSL import SSL

if TYPE_CHECKING:
    from aiortc.rtcdtlstransport import SRTPProtectionProfile


class Certificate(RTCCertificate):
    """A certificate whose OpenSSL context serves all its connections.

    aiortc makes a context for each: 0.4 ms and 15 kB, freed only by a garbage collection. Nothing in it differs from
    one connection to the next.
    """

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        # Called by aiortc's RTCDtlsTransport, always with the same profiles.
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            # A shared context would remember the sessions of everybody who was ever here, to resume them.
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return self._context


def new_certificate() -> Certificate:
    """Makes a certificate and its key."""
    return Certificate.generateCertificate()
