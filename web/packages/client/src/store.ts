/** Holds the model, and tells whoever subscribed when it changes. */
import { type Happened, INITIAL, type Model } from "./model";
import { reduce } from "./reduce";

export class Store {
  #model: Model;
  /** What subscribers see: the model, without the counting of bytes that changes nothing else. */
  #shown: Model;
  readonly #subscribers = new Set<(model: Model, before: Model) => void>();

  constructor(model: Model = INITIAL) {
    this.#model = model;
    this.#shown = model;
  }

  /** The latest model, for those who decide by it. */
  get model(): Model {
    return this.#model;
  }

  readonly snapshot = (): Model => this.#shown;

  /** Be called after every change; call what is returned to stop that. */
  readonly subscribe = (subscriber: (model: Model, before: Model) => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  readonly tell = (happened: Happened): void => {
    const before = this.#model;
    this.#model = reduce(before, happened);
    if (this.#model === before) return;
    const onlyCounted = happened.type === "Received" && this.#model.stalledSince === before.stalledSince;
    if (!onlyCounted) this.#show();
  };

  /** Begin a new life: another session takes place in the same room object. */
  reset(): void {
    this.#model = INITIAL;
    this.#show();
  }

  #show(): void {
    const before = this.#shown;
    this.#shown = this.#model;
    for (const subscriber of [...this.#subscribers]) subscriber(this.#shown, before);
  }
}
