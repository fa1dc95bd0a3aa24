// Signing in: the link of `roomkeeper login` carries a token of a few minutes, which is exchanged for one of hours.

import { Api } from "./api";

const KEPT = "roomkeeper.console";

/** Take the token out of the address, so that it stays in no history, and exchange it; else use the kept one.
 * What is left of `#token=…&session=S_…` is the address of that session.
 * @returns the token, or null if the operator has to sign in.
 * @throws ApiError the link is no longer good.
 */
export async function signIn(): Promise<string | null> {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given === null) return sessionStorage.getItem(KEPT);
  const session = fragment.get("session");
  history.replaceState(null, "", session ? `${location.pathname}#/${encodeURIComponent(session)}` : location.pathname);
  const answer = await new Api(given).request("/api/login", { method: "POST" });
  const { token } = (await answer.json()) as { token: string };
  sessionStorage.setItem(KEPT, token);
  return token;
}

/** Forget the token. */
export function signOut(): void {
  sessionStorage.removeItem(KEPT);
  location.reload();
}
