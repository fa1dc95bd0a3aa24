/** Getting into the room: the token that is held, a new one, and what comes of trying. */
import type { ConnectionError, Room } from "livekit-client";
import { type Credentials, credentialsOf } from "./engine.js";
import { call } from "./http.js";
import type { ConnectFailure } from "./model.js";
import { claimsOf, type TokenAnswer, type TokenSource } from "./token.js";

/** Milliseconds for the signal connection to open; the default of 15 s keeps the user in the dark for too long. */
const SIGNAL_TIMEOUT_MS = 5_000;
/** Each so many times a server is joined again without having been asked. */
const UNASKED_EVERY = 8;
/** Milliseconds before its expiry from which on a token is not used any more. */
const TOO_LATE_MS = 10_000;

export interface Guest {
  readonly tokens: TokenSource;
  /** Stays the same when the page is loaded again. */
  readonly identity: string;
  readonly name: string;
}

export interface Access {
  /** Whether there is a way to get in without anybody else. */
  possible(): boolean;
  /** A token for asking the control plane: the one held, or what the server made of it since. */
  token(): string | null;
  /**
   * Keep what somebody else connected the room with: the first token, since a renewed one is good for minutes only.
   *
   * @param anew - Whether this may be another conversation.
   */
  adopt(anew: boolean): Credentials | null;
  /** Do not use the held token again for joining. */
  drop(): void;
  /** A token to join with: the held one while it is good, else a new one. */
  admission(room: string | null): Promise<TokenAnswer>;
  /**
   * Connect. Resolves to why that failed; null when it did not. Never rejects.
   *
   * @param again - Whether to ask first if the server is there; now and then not, for a page's own policy may forbid it.
   * @param isWanted - Whether to connect still, and to stay, once the server has answered.
   */
  enter(credentials: Credentials, again: boolean, isWanted: () => boolean): Promise<ConnectFailure | null>;
}

/** @param guest - Who asks for tokens; undefined when somebody else connects the room. */
export function accessTo(livekit: Room, guest: Guest | undefined, clock: () => number): Access {
  let held: Credentials | null = null;
  let asked = 0;
  const isGood = ({ token }: Credentials) => claimsOf(token).expiresAt - TOO_LATE_MS > clock();
  const best = () => (held && isGood(held) ? held : (credentialsOf(livekit) ?? held));
  return {
    possible: () => !!(guest ?? held),
    token: () => best()?.token ?? null,
    adopt(anew) {
      if (anew || !held) held = credentialsOf(livekit);
      return held;
    },
    drop() {
      if (guest) held = null;
    },
    async admission(room) {
      const known = guest ? held && isGood(held) && held : best();
      if (known) return { is: "granted", ...known, room };
      if (!guest) return { is: "refused" };
      const { tokens, identity, name } = guest;
      // Whoever wrote the source may have let it fail where there is no network.
      const request = Promise.resolve({ identity, name, room });
      const answer = await request.then(tokens).catch((): TokenAnswer => ({ is: "unreachable" }));
      if (answer.is === "granted") held = answer;
      return answer;
    },
    async enter({ serverUrl, token }, again, isWanted) {
      if (again && ++asked % UNASKED_EVERY && !(await call(serverUrl.replace("ws", "http"), null))) return "server";
      if (!isWanted()) return null;
      try {
        await livekit.connect(serverUrl, token, { websocketTimeout: SIGNAL_TIMEOUT_MS });
        if (!isWanted()) await livekit.disconnect();
        return null;
      } catch (error) {
        // The message is dropped: it may hold the token.
        const { status } = error as Partial<ConnectionError>;
        return status === 404 ? "not_found" : status === 401 || status === 403 ? "token" : "server";
      }
    },
  };
}
