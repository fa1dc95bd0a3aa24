import { useState } from "react";
import type { Deed, Delivery } from "./api";
import { moment } from "./words";

interface DeliveriesProps {
  /** The session has ended. */
  readonly finished: boolean;
  readonly deliveries: readonly Delivery[];
  readonly deeds: readonly Deed[];
  redeliver(): Promise<void>;
}

/** The reports' deliveries, each with its tries, and what else was given up. */
export function Deliveries({ finished, deliveries, deeds, redeliver }: DeliveriesProps) {
  const [problem, setProblem] = useState<string | null>(null);
  const now = new Date();
  const parked = deeds.filter((deed) => deed.parked_at !== null);
  return (
    <section className="deliveries" aria-label="Report">
      <h3>
        Report
        {(finished || [...deliveries, ...parked].some((each) => each.parked_at !== null)) && (
          <button
            type="button"
            onClick={() =>
              redeliver().then(
                () => setProblem(null),
                (error: Error) => setProblem(error.message),
              )
            }
          >
            Send again
          </button>
        )}
      </h3>
      {problem && <p role="alert">{problem}</p>}
      {deliveries.length === 0 ? (
        <p className="soft">Nothing was sent yet, or no receiver is configured.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">webhook-id</th>
              <th scope="col">to</th>
              <th scope="col">what</th>
              <th scope="col">tries</th>
              <th scope="col">how it went</th>
            </tr>
          </thead>
          <tbody>
            {deliveries.map((delivery) => (
              <tr key={`${delivery.id}/${delivery.receiver}`}>
                <td>
                  <code>{delivery.id}</code>
                </td>
                <td>{delivery.receiver}</td>
                <td>{delivery.type}</td>
                <td>{delivery.tries}</td>
                <td>{how(delivery, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {parked.length > 0 && (
        <table>
          <caption>Given up</caption>
          <thead>
            <tr>
              <th scope="col">what</th>
              <th scope="col">tries</th>
              <th scope="col">how it went</th>
            </tr>
          </thead>
          <tbody>
            {parked.map((deed) => (
              <tr key={deed.key}>
                <td>{deed.kind}</td>
                <td>{deed.tries}</td>
                <td>{how(deed, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function how(done: Pick<Delivery, "error" | "parked_at"> & Partial<Delivery>, now: Date): string {
  if (done.delivered_at) return `delivered ${moment(done.delivered_at, now)}`;
  if (done.parked_at) return `parked ${moment(done.parked_at, now)}: ${done.error ?? ""}`;
  const next = done.due_at ? `next try ${moment(done.due_at, now)}` : "on its way";
  return done.error ? `${done.error}; ${next}` : next;
}
