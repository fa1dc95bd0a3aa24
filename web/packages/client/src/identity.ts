/** Who this tab is. */

const IDENTITY = "roomkeeper.identity";

/**
 * The identity of this tab for as long as it is open, so that a reload is the same participant coming back.
 *
 * @param memory - `sessionStorage`; undefined where a server renders the page, which joins nothing.
 */
export function tabIdentity(memory: Pick<Storage, "getItem" | "setItem"> | undefined): string {
  const identity = memory?.getItem(IDENTITY) ?? `user-${crypto.randomUUID().slice(0, 8)}`;
  memory?.setItem(IDENTITY, identity);
  return identity;
}
