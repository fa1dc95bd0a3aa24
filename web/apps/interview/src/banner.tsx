import type { Model, View } from "@roomkeeper/react";
import { useNow } from "./elapsed";
import { clock } from "./format";
import { PauseIcon, PlugIcon } from "./icons";
import { statusOf, useWords, type Words } from "./words";

type Trouble = Extract<View, { state: "reconnecting" | "recovering" | "holding" }>;

/** Whether the conversation stands still although nothing has ended. */
export function isTrouble(view: View): view is Trouble {
  return view.state === "reconnecting" || view.state === "recovering" || view.state === "holding";
}

/** Whose connection it is, since when, and that nothing is lost. The status line below says the first of it aloud. */
export function Banner({ view, model }: { view: Trouble; model: Model }) {
  const words = useWords();
  const span = spanOf(view, useNow() + model.clockAhead, model.clockAhead, words);
  return (
    <section className="banner" data-state={view.state} aria-label={statusOf(view, words)}>
      {view.state === "holding" ? <PauseIcon /> : <PlugIcon />}
      <p>
        <strong>{statusOf(view, words)}</strong> {span !== null && <span className="span">({span})</span>}{" "}
        {model.lines.length > 0 && words.trouble.saved}
      </p>
    </section>
  );
}

/** @param now - By the control plane's clock, which is `ahead` of the browser's. */
function spanOf(view: Trouble, now: number, ahead: number, { trouble }: Words): string | null {
  switch (view.state) {
    case "reconnecting":
      return trouble.since(clock(now - ahead - view.since));
    case "recovering":
      return view.since === null ? null : trouble.since(clock(now - Date.parse(view.since)));
    case "holding":
      return view.until === null ? null : trouble.left(clock(Date.parse(view.until) - now));
  }
}
