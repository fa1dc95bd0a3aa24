"""The journal over HTTP: what a successor restores the conversation from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from roomkeeper.control.link import journal
from roomkeeper.lifecycle.events import Noted
from roomkeeper.wire import link
from roomkeeper.wire.tokens import VideoGrants
from tests.unit.control.link.scripted import AGENT, item, line, token

if TYPE_CHECKING:
    from roomkeeper.wire.tokens import Claims
    from tests.unit.control.link.conftest import Replica

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ADMIN = replace(AGENT, video=VideoGrants(room_admin=True))


async def get(one: Replica, path: str, claims: Claims | None = AGENT) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token(claims)}"} if claims is not None else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{one.address}/api/sessions/{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_lines_of_all_epochs_come_in_the_order_in_which_they_were_stored(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(1, "Hällo \U0001f600"), line(2, "end", reason="nonsense")])
    await worker.over(link.Lost(job="AJ_1", exit=-9))
    await worker.attached("AJ_2", epoch=2, session="S_1")
    await worker.ship([item(1, "again")], "AJ_2", epoch=2)
    status, body = await get(one, "S_1/journal")
    assert (status, body["next"]) == (200, None)
    assert [(line["epoch"], line["job"], line["seq"], line["type"]) for line in body["lines"]] == [
        (1, "AJ_1", 1, "item"),
        (1, "AJ_1", 2, "end"),
        (2, "AJ_2", 1, "item"),
    ]
    first = body["lines"][0]
    assert first["data"]["item"]["content"] == ["Hällo \U0001f600"]
    assert first["at"] == 1_700_000_000_001
    assert first["line"] > 1


async def test_pages_follow_each_other_until_there_is_no_next(one: Replica) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(number) for number in range(1, 8)])
    seen: list[int] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        _, body = await get(one, f"AJ_1/journal?after={after}&limit=3")
        seen += [line["seq"] for line in body["lines"]]
        after, pages = body["next"], pages + 1
    assert (seen, pages) == ([1, 2, 3, 4, 5, 6, 7], 3)


@sqlite_only
async def test_a_page_has_so_many_bytes_and_at_least_one_line(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await one.worker()
    await one.live(worker)
    await worker.ship([item(number, "x" * 1000) for number in range(1, 4)])
    monkeypatch.setattr(journal, "MAX_PAGE_BYTES", 2800)
    _, body = await get(one, "tea/journal")
    assert [line["seq"] for line in body["lines"]] == [1, 2]
    monkeypatch.setattr(journal, "MAX_PAGE_BYTES", 1)
    _, body = await get(one, f"tea/journal?after={body['next']}")
    assert ([line["seq"] for line in body["lines"]], body["next"]) == ([3], None)


@sqlite_only
@pytest.mark.parametrize(
    ("path", "claims", "status"),
    [
        ("S_1/journal", ADMIN, 200),
        ("S_1/journal", replace(ADMIN, video=VideoGrants(room_admin=True, room="tea")), 200),
        ("S_1/journal", replace(ADMIN, video=VideoGrants(room_admin=True, room="coffee")), 404),
        ("S_1/journal", replace(AGENT, identity="ann", video=VideoGrants(room_join=True, room="tea")), 403),
        ("S_1/journal", replace(AGENT, identity="a", video=VideoGrants(agent=True, room_join=True, room="tea")), 403),
        ("S_1/journal", None, 401),
        ("S_2/journal", AGENT, 404),
        ("S%00/journal", AGENT, 404),
        ("S_1/journal?after=-1", AGENT, 400),
        ("S_1/journal?after=99999999999", AGENT, 400),
        ("S_1/journal?limit=0", AGENT, 400),
        ("S_1/journal?limit=1001", AGENT, 400),
        ("S_1/journal?limit=%C2%B2", AGENT, 400),
    ],
)
async def test_workers_and_administrators_read_it_and_nobody_else(
    one: Replica, path: str, claims: Claims | None, status: int
) -> None:
    await one.open()
    answered, body = await get(one, path, claims)
    assert answered == status
    assert "eyJ" not in str(body)


async def test_two_thousand_lines_are_two_pages(one: Replica) -> None:
    await one.open()
    for frame in range(4):
        numbers = range(frame * 500 + 1, frame * 500 + 501)
        notes = [Noted(at=0, job="AJ_1", seq=seq, what="item", data=dict(item(seq, "x").data)) for seq in numbers]
        await one.store.tell("S_1", *notes)
    pages, seen = [], []
    after: int | None = 0
    while after is not None:
        _, body = await get(one, f"S_1/journal?after={after}&limit=1000")
        after = body["next"]
        pages.append(len(body["lines"]))
        seen += [line["seq"] for line in body["lines"]]
    assert seen == list(range(1, 2001))
    assert len([page for page in pages if page]) == 2
