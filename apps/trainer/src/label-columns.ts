/** A corpus's label columns as a user asks for them, and what is said of columns that are none. */
import type { Corpus } from "@sparseloom/data";
import { RequestError } from "./errors.ts";

/** @throws RequestError naming the first of the labels that the corpus does not have, and the option that asks for it */
export function requireLabels(
  { labels, ignoredColumns }: Corpus,
  names: readonly string[],
  option: string,
): void {
  const missing = names.find((name) => labels.every((label) => label.name !== name));
  if (missing === undefined) return;
  const why = ignoredColumns.find(({ name }) => name === missing)?.why;
  throw new RequestError(
    `${option}: the corpus has no label column ${missing}${why === undefined ? "" : ` (${why})`}; it has ${labels.map(({ name }) => name).join(", ") || "none"}`,
  );
}

/** One line, where all labels were asked for and some columns cannot be read as such. */
export function notCopied({ ignoredColumns }: Corpus): string[] {
  if (ignoredColumns.length === 0) return [];
  const each = ignoredColumns.map(({ name, why }) => `"${name}" (${why})`);
  return [`columns that are not copied: ${each.join(", ")}`];
}
