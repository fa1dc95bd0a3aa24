"""Media of the room server: ICE-lite, DTLS, SRTP and SCTP without decoding anything.

Read in this order:

* `ice`      one port for everybody; STUN finds the transport a packet belongs to;
* `peer`     one peer connection: DTLS, SRTP and the data channels; `certificate`, shown by all of them;
* `sdp`      what a client's description says, and how ours are written;
* `forward`  RTP from a publisher's track to its subscribers, NACK and reports;
* `connection`  all media of one client; `dual` over two peer connections (v0), `single` over one (v1).

This package is the only importer of aiortc and aioice (architecture contract).
"""
