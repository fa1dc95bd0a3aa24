import type { Ended, Model } from "@roomkeeper/react";
import { countAnswers } from "@roomkeeper/react/transcript";
import { useEffect, useRef } from "react";
import { duration } from "./format";
import { Mark } from "./icons";
import { Transcript } from "./transcript";
import { reasonOf, useWords } from "./words";

interface Props {
  readonly model: Model;
  readonly ended: Ended;
  /** Null where another interview would be the same one: the room follows from the invitation. */
  readonly onAgain: (() => void) | null;
}

/** That it is over, why, what was kept, and what to do next. */
export function End({ model, ended, onAgain }: Props) {
  const words = useWords();
  const { over } = words;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const { lines, liveAt, endedAt } = model;
  const answers = countAnswers(lines);
  return (
    <main className="over" data-reason={ended.reason ?? ""} data-outcome={ended.outcome ?? ""}>
      <Mark />
      <h1 ref={heading} tabIndex={-1}>
        {over.heading}
      </h1>
      <p className="lead">{reasonOf(ended, words)}</p>
      {/* What anybody else adds is for the application. */}
      {ended.by === "operator" && ended.detail && <p className="detail">{ended.detail}</p>}
      {liveAt !== null && (
        <dl>
          <div>
            <dt>{over.duration}</dt>
            <dd>{duration((endedAt ?? liveAt) - liveAt)}</dd>
          </div>
          <div>
            <dt>{answers === 1 ? over.answer : over.answers}</dt>
            <dd>{answers}</dd>
          </div>
        </dl>
      )}
      {/* A session has a record where it is kept; without one there is nobody who could keep the answers. */}
      {answers > 0 && <p className="kept">{model.session === null ? over.keptHere : over.kept}</p>}
      <p className="next">{over.next[ended.outcome ?? "finished"]}</p>
      {onAgain && (
        <button type="button" className="primary" onClick={onAgain}>
          {over.again}
        </button>
      )}
      {lines.length > 0 && (
        <details>
          <summary>{over.read}</summary>
          <Transcript lines={lines} live={false} />
        </details>
      )}
    </main>
  );
}
