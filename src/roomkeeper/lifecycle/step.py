"""One transition in the making: the session so far, and the actions it has asked for.

The rules (`agents`, `people`, `ends` and the others) work on a `Step`; it lives no longer than one transition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle.actions import CancelTimer, EmitEvent, Ignored, SetTimer, WriteRoomState
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.values import replace

if TYPE_CHECKING:
    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.state import Epoch, Session
    from roomkeeper.lifecycle.vocabulary import TimerKind


class Step:
    """Collects what one event does.

    Attributes:
        session: The session as far as it has come; rules replace it.
        at: The time of the event.
        actions: What the world is to do, in order.
    """

    def __init__(self, session: Session, at: int) -> None:
        self.session = session
        self.at = at
        self.actions: list[Action] = []

    def act(self, action: Action) -> None:
        """Ask for something; asking twice in one transition is asking once. Of alarms, the last word counts."""
        if action not in self.actions:
            self.actions.append(action)

    def ignore(self, why: str) -> None:
        """Say why the event changed nothing."""
        self.act(Ignored(why=why))

    def set_timer(self, kind: TimerKind, at: int) -> None:
        """Set or move an alarm."""
        if self.session.timers.get(kind) == at:
            return
        self.session = replace(self.session, timers={**self.session.timers, kind: at})
        self.actions.append(SetTimer(kind=kind, at=at))

    def set_timer_once(self, kind: TimerKind, at: int) -> None:
        """Set an alarm unless one of the kind is set."""
        if kind not in self.session.timers:
            self.set_timer(kind, at)

    def cancel(self, *kinds: TimerKind) -> None:
        """Forget alarms; those that are not set are nothing to do."""
        for kind in kinds:
            if kind in self.session.timers:
                left = {other: at for other, at in self.session.timers.items() if other is not kind}
                self.session = replace(self.session, timers=left)
                self.actions.append(CancelTimer(kind=kind))

    def enter(self, state: State, *, until: int | None = None) -> None:
        """Come into a state, or stay in it with another `until`, and let everybody see."""
        session = self.session
        if state is session.state and until == session.until:
            return
        since = session.since if state is session.state else self.at
        self.session = replace(session, state=state, since=since, until=until)
        self.show()

    def show(self) -> None:
        """Let everybody see what has changed."""
        self.session = replace(self.session, seq=self.session.seq + 1)
        self.act(WriteRoomState(seq=self.session.seq))
        self.act(EmitEvent(topic=f"session.{self.session.state}", data={"seq": self.session.seq}))

    def amend(self, epoch: Epoch) -> None:
        """Put back an epoch that was changed by `replace`."""
        epochs = self.session.epochs
        self.session = replace(self.session, epochs=(*epochs[: epoch.number - 1], epoch, *epochs[epoch.number :]))

    @property
    def open(self) -> bool:
        """True while no end is decided."""
        return self.session.state not in {State.ENDING, State.ENDED}
