"""Participants that cost little: signal, ICE, DTLS and SRTP for real, but no codec and no jitter buffer.

Read in this order:

* `ice`          the client's side of ICE towards one server address;
* `peer`         one peer connection: DTLS and data channels of aiortc, SRTP;
* `sdp`          the offer we make, and what we need of the answer;
* `participant`  a participant over `/rtc/v1` that publishes one track and subscribes to all;
* `speech`       Opus frames encoded beforehand, and the clock that sends them.
"""
