import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { INITIAL } from "../../../packages/client/src";
import { End } from "../src/end";

const shown = (onAgain: (() => void) | null) =>
  renderToStaticMarkup(
    <End
      model={INITIAL}
      ended={{ state: "ended", reason: null, by: null, outcome: null, message: "Nobody said why.", detail: null }}
      onAgain={onAgain}
    />,
  );

test("another interview is offered to those only who can have one", () => {
  expect(shown(() => undefined)).toContain("Start a new interview");
  expect(shown(null)).not.toContain("<button");
});
