/** The browser around the session: network, visibility, coming and going. */

/** `pagehide`: the page goes away, perhaps to come back by the browser's back button (`pageshow`). */
export type PageEvent = "online" | "offline" | "hidden" | "visible" | "pagehide" | "pageshow";

/** Tell these events from now on. Returns how to stop. */
export type Page = (tell: (event: PageEvent) => void) => () => void;

export const browserPage: Page = (tell) => {
  const away = new AbortController();
  const { signal } = away;
  for (const type of ["online", "offline", "pagehide", "pageshow"] as const) {
    addEventListener(type, () => tell(type), { signal });
  }
  document.addEventListener("visibilitychange", () => tell(document.hidden ? "hidden" : "visible"), { signal });
  if (!navigator.onLine) tell("offline");
  return () => away.abort();
};
