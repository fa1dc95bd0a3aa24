/** The browser around the session: network, visibility, coming and going. */

export interface PageEvents {
  online(): void;
  offline(): void;
  hidden(): void;
  visible(): void;
  /** The page goes away, perhaps to come back by the browser's back button. */
  leaving(): void;
  returned(): void;
}

export interface Page {
  /** Tell these events from now on. Returns how to stop. */
  watch(events: PageEvents): () => void;
}

export const browserPage: Page = {
  watch(events) {
    const away = new AbortController();
    const on = (target: EventTarget, type: string, tell: (event: Event) => void) =>
      target.addEventListener(type, tell, { signal: away.signal });
    on(window, "online", () => events.online());
    on(window, "offline", () => events.offline());
    on(document, "visibilitychange", () => (document.hidden ? events.hidden() : events.visible()));
    on(window, "pagehide", () => events.leaving());
    on(window, "pageshow", (event) => {
      if ((event as PageTransitionEvent).persisted) events.returned();
    });
    if (!navigator.onLine) events.offline();
    return () => away.abort();
  },
};
