import type { Details } from "./api";

/** Whether something is still to come of an ended session: its report, or word of how a delivery went. */
export function isSettling({ state, report, purged_at, deliveries, deeds }: Details): boolean {
  return (
    state === "ended" &&
    purged_at === null &&
    (report === 0 ||
      deeds.some((deed) => deed.parked_at === null) ||
      deliveries.some((delivery) => delivery.delivered_at === null && delivery.parked_at === null))
  );
}
