/** Holds the model, and tells whoever subscribed when it changes. */
import { type Happened, INITIAL, type Model } from "./model.js";
import { reduce } from "./reduce.js";

export interface Store {
  /** The latest model, for those who decide by it. */
  readonly latest: () => Model;
  /** What subscribers see: the model, without the counting of bytes that changes nothing else. */
  readonly snapshot: () => Model;
  /** Be called after every change; call what is returned to stop that. */
  readonly subscribe: (subscriber: (model: Model, before: Model) => void) => () => void;
  readonly tell: (happened: Happened) => void;
  /** Begin a new life: another session takes place in the same room object. */
  readonly reset: () => void;
}

export function createStore(latest: Model = INITIAL): Store {
  let shown = latest;
  const subscribers = new Set<(model: Model, before: Model) => void>();

  const show = () => {
    const before = shown;
    shown = latest;
    for (const each of [...subscribers]) each(shown, before);
  };

  return {
    latest: () => latest,
    snapshot: () => shown,
    subscribe(subscriber) {
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
    tell(happened) {
      const before = latest;
      latest = reduce(before, happened);
      const onlyCounted = happened.type === "Received" && latest.stalledSince === before.stalledSince;
      if (latest !== before && !onlyCounted) show();
    },
    reset() {
      latest = INITIAL;
      show();
    },
  };
}
