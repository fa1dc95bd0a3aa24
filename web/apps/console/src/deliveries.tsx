import { useState } from "react";
import type { Delivery } from "./api";
import { moment } from "./words";

interface DeliveriesProps {
  readonly deliveries: readonly Delivery[];
  redeliver(): Promise<void>;
}

/** The reports' deliveries, each with its tries. */
export function Deliveries({ deliveries, redeliver }: DeliveriesProps) {
  const [problem, setProblem] = useState<string | null>(null);
  const now = new Date();
  return (
    <section className="deliveries" aria-label="Report">
      <h3>
        Report
        {deliveries.length > 0 && (
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
    </section>
  );
}

function how(delivery: Delivery, now: Date): string {
  if (delivery.delivered_at) return `delivered ${moment(delivery.delivered_at, now)}`;
  if (delivery.parked_at) return `parked ${moment(delivery.parked_at, now)}: ${delivery.error ?? ""}`;
  const next = delivery.due_at ? `next try ${moment(delivery.due_at, now)}` : "on its way";
  return delivery.error ? `${delivery.error}; ${next}` : next;
}
