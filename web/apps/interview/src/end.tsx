import { countAnswers, type Ended, type Model } from "@roomkeeper/client";
import { useEffect, useRef } from "react";
import { Mark } from "./icons";
import { Transcript } from "./transcript";
import { duration } from "./words";

interface Props {
  readonly model: Model;
  readonly ended: Ended;
  readonly onAgain: () => void;
}

/** That it is over, why, what was kept, and what to do next. */
export function End({ model, ended, onAgain }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const { lines, liveAt, endedAt } = model;
  const answers = countAnswers(lines);
  return (
    <main className="over" data-reason={ended.reason ?? ""} data-outcome={ended.outcome ?? ""}>
      <Mark />
      <h1 ref={heading} tabIndex={-1}>
        The interview is over
      </h1>
      <p className="lead">{ended.reason === "user_ended" ? "You ended the interview." : ended.message}</p>
      {liveAt !== null && (
        <dl>
          <div>
            <dt>Duration</dt>
            <dd>{duration((endedAt ?? liveAt) - liveAt)}</dd>
          </div>
          <div>
            <dt>{answers === 1 ? "Answer" : "Answers"}</dt>
            <dd>{answers}</dd>
          </div>
        </dl>
      )}
      <button type="button" className="primary" onClick={onAgain}>
        Start a new interview
      </button>
      <p className="hint">Or simply close this page.</p>
      {lines.length > 0 && (
        <details>
          <summary>Read the transcript</summary>
          <Transcript lines={lines} live={false} />
        </details>
      )}
    </main>
  );
}
