/** What a file with a corpus's labels does not have of the corpus. */
import type { Corpus } from "@sparseloom/data";

/** One line, where all labels were asked for and some columns cannot be read as such. */
export function notCopied({ ignoredColumns }: Corpus): string[] {
  if (ignoredColumns.length === 0) return [];
  const each = ignoredColumns.map(({ name, why }) => `"${name}" (${why})`);
  return [`columns that are not copied: ${each.join(", ")}`];
}
