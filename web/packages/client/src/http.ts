/** A call to one of our own endpoints. */

export interface Answer {
  readonly status: number;
  /** Null if it was no JSON. */
  readonly body: unknown;
}

/**
 * Ask, or with a body tell; that also arrives when the page goes away meanwhile. Never rejects.
 *
 * @param token - Sent in a header: sendBeacon takes none, and an address is no place for a token, since it ends in logs.
 * @param timeout - Milliseconds.
 * @returns Null when nobody could say: offline, timed out, a broken or a busy server. The error is dropped; its words are
 *   the browser's, not the user's.
 */
export async function call(
  url: string,
  token: string | null,
  body?: object,
  timeout: number = 4_000,
): Promise<Answer | null> {
  try {
    const response = await fetch(url, {
      headers: {
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(body && { "Content-Type": "application/json" }),
      },
      ...(body && { method: "POST", body: JSON.stringify(body), keepalive: true }),
      cache: "no-store",
      signal: AbortSignal.timeout(timeout),
    });
    const { status } = response;
    return status >= 500 || status === 429 ? null : { status, body: await response.json().catch(() => null) };
  } catch {
    return null;
  }
}
