/** What others sent, read without trust. */

/** The object in a value or in JSON text; of anything else no field is defined. */
export function objectIn(raw: unknown): Readonly<Record<string, unknown>> {
  try {
    return Object(typeof raw === "string" ? JSON.parse(raw) : raw);
  } catch {
    return {};
  }
}

/** Null unless it is a text with something in it. */
export function textIn(value: unknown): string | null {
  return typeof value === "string" && value ? value : null;
}
