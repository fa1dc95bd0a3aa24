/** LiveKit's standard token source, read so that a refusal keeps its meaning. */
import { decodeTokenPayload } from "livekit-client";
import { call } from "./http.js";
import { objectIn, textIn } from "./json.js";
import { parseRecord, type SessionRecord } from "./record.js";

export interface TokenRequest {
  readonly identity: string;
  readonly name: string;
  /** The room to come back to; null for a new one. */
  readonly room: string | null;
}

export type TokenAnswer =
  | { readonly is: "granted"; readonly serverUrl: string; readonly token: string; readonly room: string | null }
  | { readonly is: "ended"; readonly record: SessionRecord | null }
  | { readonly is: "refused" }
  | { readonly is: "unreachable" };

export type TokenSource = (request: TokenRequest) => Promise<TokenAnswer>;

/** Milliseconds. */
const TIMEOUT_MS = 10_000;

/**
 * The token source at an address, usually `/api/token` of the page's own server.
 *
 * @param invite - A signed invitation, sent as `Authorization: Bearer …`; the server takes the identity from it.
 */
export function tokenEndpoint(url: string, invite: string | null = null): TokenSource {
  return async ({ identity, name, room }) => {
    const request = {
      participant_identity: identity,
      participant_name: name,
      room_name: room ?? undefined,
    };
    const answer = await call(url, invite, request, TIMEOUT_MS);
    // A page in the place of an answer is that of a network which wants its user to sign in first.
    if (!answer || (answer.status < 300 && !answer.body)) return { is: "unreachable" };
    const body = objectIn(answer.body);
    if (answer.status === 410) {
      // The state object is the answer itself, or stands in a problem document (RFC 9457) under its usual key.
      return { is: "ended", record: parseRecord(body) ?? parseRecord(body.roomkeeper) };
    }
    // LiveKit's clients take both spellings.
    const serverUrl = textIn(body.server_url ?? body.serverUrl);
    const token = textIn(body.participant_token ?? body.participantToken);
    if (answer.status >= 300 || !serverUrl || !token) return { is: "refused" };
    return { is: "granted", serverUrl, token, room: textIn(body.room_name) };
  };
}

export interface Claims {
  readonly room: string | null;
  /** `S_…`, in tokens of Roomkeeper. */
  readonly session: string | null;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What a token says of itself. It is not verified: the page only learns from it where it was sent. */
export function claimsOf(token: string): Claims {
  const { exp, video, attributes } = payloadOf(token);
  return {
    room: textIn(video?.room),
    session: textIn(attributes?.["roomkeeper.session"]),
    expiresAt: Number(exp) * 1000 || Number.POSITIVE_INFINITY,
  };
}

function payloadOf(token: string): Partial<ReturnType<typeof decodeTokenPayload>> {
  try {
    return decodeTokenPayload(token);
  } catch {
    return {};
  }
}
