import type { Said } from "./transcript";
import { clock } from "./words";

/** What was said, by whom and when. */
export function Transcript({ said, began }: { readonly said: readonly Said[]; readonly began: number }) {
  return (
    <section className="talk" aria-label="Transcript">
      <h3>Transcript</h3>
      {said.length === 0 && (
        <p className="soft">Nothing was journaled: the agent does not know Roomkeeper, or said nothing.</p>
      )}
      <ol>
        {said.map((line) => (
          <li key={line.key} data-role={line.role}>
            <time>{clock(line.at - began)}</time>
            <p>
              {line.text}
              {line.interrupted && <em> (interrupted)</em>}
            </p>
          </li>
        ))}
      </ol>
    </section>
  );
}
