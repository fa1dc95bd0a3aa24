"""The control plane's end of the agent link: what workers say becomes events, what sessions ask for becomes frames.

`endpoint` lets workers in, `socket` reads and writes one connection within bounds, `desk` serves the jobs of a worker,
`lines` and `answers` translate (pure), `finding` says which session a job belongs to, `watch` looks who fell silent and
tells jobs what their sessions ask for, whichever replica holds the link, `journal` gives a successor the conversation.
`docs/agent-link.md` is the protocol; docs/decisions/0150 and those after it say why it is built so.
"""
