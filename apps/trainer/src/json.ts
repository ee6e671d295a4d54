/** The one form of JSON that the command prints and writes: two spaces, a line end. */

/** @returns `value` as text for people and programs */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** {@link jsonText} as the only part of a file, see write-folder.ts. */
export function jsonParts(value: unknown): Uint8Array[] {
  return [new TextEncoder().encode(jsonText(value))];
}

/** Prints a command's result: as JSON, or described for people. */
export function printResult<Result>(
  json: boolean | undefined,
  result: Result,
  describe: (result: Result) => string,
): void {
  process.stdout.write(json === true ? jsonText(result) : `${describe(result)}\n`);
}
