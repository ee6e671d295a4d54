/** What JSON may hold. Depends on nothing. */

/** Whether a parsed value is an object, neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
