import type { Ended } from "@roomkeeper/react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { INITIAL } from "../../../packages/client/src";
import { End } from "../src/end";

const ENDED: Ended = {
  state: "ended",
  reason: null,
  by: null,
  outcome: null,
  message: "Nobody said why.",
  detail: null,
};

const shown = (onAgain: (() => void) | null, ended = ENDED) =>
  renderToStaticMarkup(<End model={INITIAL} ended={ended} onAgain={onAgain} />);

test("another interview is offered to those only who can have one", () => {
  expect(shown(() => undefined)).toContain("Start a new interview");
  expect(shown(null)).not.toContain("<button");
});

test.each([
  ["operator_ended", "operator", true],
  ["completed", "agent", false],
  ["room_deleted", "app", false],
] as const)("what was added to %s by the %s is shown: %s", (reason, by, told) => {
  const html = shown(null, { ...ENDED, reason, by, detail: "closed for today" });
  expect(html.includes("closed for today")).toBe(told);
});
