"""What LiveKit has and this server has not: the services answer, and say who has it.

Source: livekit-server `pkg/service/errors.go`: without redis the original refuses the same services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from livekit.protocol import connector, egress, ingress, sip

from roomkeeper.sfu.twirp import Service, TwirpError, deny

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message

    from roomkeeper.wire.claims import Claims

NOT_HERE: Final = {
    "livekit.Egress": "egress is not here: roomkeeper.sfu does not record; use livekit-server with redis and "
    "livekit-egress, or LiveKit Cloud",
    "livekit.Ingress": "ingress is not here: roomkeeper.sfu takes no streams; use livekit-server with redis and "
    "livekit-ingress, or LiveKit Cloud",
    "livekit.SIP": "sip is not here: roomkeeper.sfu bridges no calls; use livekit-server with redis and livekit-sip, "
    "or LiveKit Cloud (a client whose token has kind `sip` can play the caller)",
    "livekit.Connector": "connectors are not here: roomkeeper.sfu bridges no calls; use LiveKit Cloud",
}


def absent_services(*, strict: bool = False) -> list[Service]:
    """Return the services that LiveKit has and this server has not; each method says so, and who has it.

    Args:
        strict: answer with the code of the original (`internal`: it lacks redis) and not with `unimplemented`.
    """
    absent = [
        egress.DESCRIPTOR.services_by_name["Egress"],
        ingress.DESCRIPTOR.services_by_name["Ingress"],
        sip.DESCRIPTOR.services_by_name["SIP"],
    ]
    if not strict:
        # The original does not even know the route.
        absent.append(connector.DESCRIPTOR.services_by_name["Connector"])
    return [_absent(descriptor, "internal" if strict else "unimplemented") for descriptor in absent]


def _absent(descriptor: ServiceDescriptor, code: str) -> Service:
    def handler(method: str) -> Callable[[Claims | None, Any], Awaitable[Message]]:
        async def refuse(claims: Claims | None, request: object) -> NoReturn:
            if claims is None or not _may(claims, descriptor.full_name, method):
                deny()
            raise TwirpError(code, NOT_HERE[descriptor.full_name])

        return refuse

    return Service(descriptor, {method.name: handler(method.name) for method in descriptor.methods})


def _may(claims: Claims, service: str, method: str) -> bool:
    match service:
        case "livekit.Egress":
            return claims.video.room_record
        case "livekit.Ingress":
            return claims.video.ingress_admin
        case "livekit.SIP":
            if method == "TransferSIPParticipant":
                return claims.sip.call and claims.video.room_admin
            return claims.sip.call if method == "CreateSIPParticipant" else claims.sip.admin
        case _:
            return True
