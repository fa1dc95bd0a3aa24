/** The browser around the session: network, visibility, coming and going. */

const WINDOW = ["online", "offline", "beforeunload", "freeze", "pagehide", "pageshow"] as const;

/**
 * `pagehide`: the page goes away, perhaps to come back by the browser's back button (`pageshow`); `beforeunload`: it may be
 * about to; `freeze`: it stops for a while.
 */
export type PageEvent = (typeof WINDOW)[number] | "hidden" | "visible";

/** Tell these events from now on. Returns how to stop. */
export type Page = (tell: (event: PageEvent) => void) => () => void;

export const browserPage: Page = (tell) => {
  const away = new AbortController();
  const { signal } = away;
  for (const type of WINDOW) addEventListener(type, () => tell(type), { signal });
  addEventListener("visibilitychange", () => tell(document.hidden ? "hidden" : "visible"), { signal });
  if (!navigator.onLine) tell("offline");
  return () => away.abort();
};
