import type { Api } from "../api";

/** What `roomkeeper dev` says about itself; it gives whoever sits at this machine the console, too. */
export interface Dev {
  /** Lives for ten minutes. */
  readonly sign_in: string;
  readonly stock: boolean;
}

/** Ask it.
 * @throws ApiError this is no `roomkeeper dev`.
 */
export async function describe(api: Api): Promise<Dev> {
  return (await (await api.request("/api/dev")).json()) as Dev;
}
