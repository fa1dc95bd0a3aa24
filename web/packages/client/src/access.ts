/** Getting into the room: the token that is held, a new one, and what comes of trying. */
import { ConnectionError, type Room } from "livekit-client";
import { type Credentials, credentialsOf } from "./engine";
import type { ConnectFailure } from "./model";
import type { SessionRecord } from "./record";
import { claimsOf, type TokenSource } from "./token";

/** Milliseconds for the signal connection to open; the default of 15 s keeps the user in the dark for too long. */
const SIGNAL_TIMEOUT_MS = 5_000;
/** Milliseconds before its expiry from which on a token is not used any more. */
const TOO_LATE_MS = 10_000;

export interface Guest {
  readonly tokens: TokenSource;
  /** Stays the same when the page is loaded again. */
  readonly identity: string;
  readonly name: string;
}

export type Admission =
  | { readonly is: "admitted"; readonly credentials: Credentials; readonly room: string | null }
  | { readonly is: "ended"; readonly record: SessionRecord | null }
  | { readonly is: "failed"; readonly failure: ConnectFailure };

export class Access {
  readonly #room: Room;
  readonly #guest: Guest | null;
  readonly #clock: () => number;
  #held: Credentials | null = null;

  /** @param guest - Who asks for tokens; null when somebody else connects the room. */
  constructor(room: Room, guest: Guest | null, clock: () => number) {
    this.#room = room;
    this.#guest = guest;
    this.#clock = clock;
  }

  /** Whether there is a way to get in without anybody else. */
  get possible(): boolean {
    return this.#guest !== null || this.#held !== null;
  }

  /** A token for asking the control plane: the one held, or what the server made of it since. */
  get token(): string | null {
    if (this.#held !== null && this.#isGood(this.#held)) return this.#held.token;
    return credentialsOf(this.#room)?.token ?? this.#held?.token ?? null;
  }

  /** Keep what somebody else connected the room with. */
  adopt(): Credentials | null {
    this.#held ??= credentialsOf(this.#room);
    return this.#held;
  }

  /** Do not use the held token again for joining. */
  drop(): void {
    if (this.#guest !== null) this.#held = null;
  }

  /** A token to join with: the held one while it is good, else a new one. */
  async admission(room: string | null): Promise<Admission> {
    const held = this.#held;
    if (held !== null && (this.#isGood(held) || this.#guest === null)) {
      return { is: "admitted", credentials: held, room };
    }
    if (this.#guest === null) return { is: "failed", failure: "token" };
    const { tokens, identity, name } = this.#guest;
    const answer = await tokens({ identity, name, room });
    switch (answer.is) {
      case "ended":
        return answer;
      case "refused":
        return { is: "failed", failure: "token" };
      case "unreachable":
        return { is: "failed", failure: "server" };
      case "granted":
        this.#held = { url: answer.serverUrl, token: answer.token };
        return { is: "admitted", credentials: this.#held, room: answer.room };
    }
  }

  /** Connect. Resolves to why that failed; null when it did not. Never rejects. */
  async enter({ url, token }: Credentials): Promise<ConnectFailure | null> {
    try {
      await this.#room.connect(url, token, { websocketTimeout: SIGNAL_TIMEOUT_MS });
      return null;
    } catch (error) {
      // The message is dropped: it may hold the token.
      const status = error instanceof ConnectionError ? error.status : undefined;
      if (status === 404) return "not_found";
      return status === 401 || status === 403 ? "token" : "server";
    }
  }

  #isGood({ token }: Credentials): boolean {
    return claimsOf(token).expiresAt - TOO_LATE_MS > this.#clock();
  }
}
