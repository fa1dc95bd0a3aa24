import type { Line } from "@roomkeeper/react";
import { useLayoutEffect, useRef } from "react";
import { useWords } from "./words";

/** Pixels from the bottom within which the reader is taken to follow along. */
const FOLLOWING = 80;

/** What was said. Only finished lines are in the log, so that a screen reader reads each once; growing ones follow. */
export function Transcript({ lines, live }: { lines: readonly Line[]; live: boolean }) {
  const { transcript } = useWords();
  const scroller = useRef<HTMLElement>(null);
  const following = useRef(true);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && lines.length > 0 && following.current) element.scrollTop = element.scrollHeight;
  }, [lines]);

  const finished = lines.filter(({ final }) => final);
  const growing = lines.filter(({ final }) => !final);
  return (
    <section
      className="transcript"
      aria-label={transcript.title}
      ref={scroller}
      // Scrolls, so it must be reachable by keyboard (WCAG 2.1.1).
      // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        following.current = scrollHeight - scrollTop - clientHeight < FOLLOWING;
      }}
    >
      {lines.length === 0 && <p className="empty">{transcript.empty}</p>}
      <div role="log" aria-label={transcript.log} aria-live={live ? "polite" : "off"}>
        {finished.map((line, index) => (
          <Said key={line.id} line={line} before={finished[index - 1]} />
        ))}
      </div>
      <div aria-hidden="true">
        {growing.map((line, index) => (
          <Said key={line.id} line={line} before={growing[index - 1] ?? finished.at(-1)} />
        ))}
      </div>
    </section>
  );
}

function Said({ line, before }: { line: Line; before: Line | undefined }) {
  const { you, interviewer } = useWords();
  const goesOn = before?.speaker === line.speaker;
  const place = before === undefined ? "" : goesOn ? " goes-on" : " follows";
  return (
    <p className={`said ${line.speaker}${line.final ? "" : " growing"}${place}`}>
      <span className={goesOn ? "who visually-hidden" : "who"}>{line.speaker === "user" ? you : interviewer}</span>
      <span className="words">{line.text}</span>
    </p>
  );
}
