import { expect, test } from "vitest";
import type { Deed, Delivery, Details } from "../src/api";
import { isSettling } from "../src/settling";

const delivery = { delivered_at: null, parked_at: null } as Delivery;
const deed = { parked_at: null } as Deed;
const details = (more: Partial<Details>) =>
  ({ state: "ended", report: 1, purged_at: null, deliveries: [], deeds: [], ...more }) as unknown as Details;

test.each<[boolean, string, Partial<Details>]>([
  [false, "a session that goes on", { state: "live", report: 0 }],
  [true, "a session whose report waits for its agent", { report: 0 }],
  [false, "a report that nobody is to have", {}],
  [false, "one that was purged before its report", { report: 0, purged_at: "now" }],
  [true, "a delivery on its way", { deliveries: [delivery] }],
  [false, "a delivery that is parked", { deliveries: [{ ...delivery, parked_at: "now" }] }],
  [false, "a delivered one", { deliveries: [{ ...delivery, delivered_at: "now" }] }],
  [true, "one of two", { deliveries: [{ ...delivery, delivered_at: "now" }, delivery] }],
  [true, "an alarm that will bring another revision", { deeds: [deed] }],
  [false, "a deed that was given up", { deeds: [{ ...deed, parked_at: "now" }] }],
])("%s: %s", (settling, _, more) => expect(isSettling(details(more))).toBe(settling));
