import { memo } from "react";
import type { Said } from "./transcript";
import { clock } from "./words";

interface TranscriptProps {
  readonly said: readonly Said[];
  readonly began: number;
}

/** What was said, by whom and when. */
export const Transcript = memo(function Transcript({ said, began }: TranscriptProps) {
  return (
    <section className="talk" aria-label="Transcript">
      <h3>Transcript</h3>
      {said.length === 0 && (
        <p className="soft">Nothing was journaled: the agent does not know Roomkeeper, or said nothing.</p>
      )}
      <ol>
        {said.map(({ key, at, ...line }) => (
          <Entry key={key} at={at - began} {...line} />
        ))}
      </ol>
    </section>
  );
});

const Entry = memo(function Entry({ at, role, text, interrupted }: Omit<Said, "key">) {
  return (
    <li data-role={role}>
      <time>{clock(at)}</time>
      <p>
        {text}
        {interrupted && <em> (interrupted)</em>}
      </p>
    </li>
  );
});
