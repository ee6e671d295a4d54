/** What the file system says when it refuses. Depends on nothing. */

/** True when a file-system error says that the path does not exist. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The `code` of a file-system error, or its message. */
export function errorCode(error: unknown): string {
  if (error instanceof Error) return "code" in error ? String(error.code) : error.message;
  return String(error);
}
