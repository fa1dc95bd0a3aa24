import { createSession, createStore, parseRecord, replay } from "@roomkeeper/client";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { EndScreen, RoomkeeperRoom } from "../src";

test.each([
  ["operator_ended", "operator", "<p>Over.</p><p>closed for today</p>"],
  ["completed", "agent", "<p>Over.</p></section>"],
])("the end screen has the words that an end as %s came with", (reason, by, expected) => {
  const record = parseRecord({
    v: 1,
    session: "S_1",
    seq: 1,
    state: "ended",
    reason,
    by,
    message: "Over.",
    detail: "closed for today",
  });
  if (!record) throw new Error("no record");
  const store = createStore(replay([{ type: "RecordSeen", at: 1, record, writer: "", fresh: true }]));
  const html = renderToStaticMarkup(
    <RoomkeeperRoom session={createSession({ store, page: () => () => undefined })}>
      <EndScreen />
    </RoomkeeperRoom>,
  );
  expect(html).toContain(expected);
});
