/**
 * Which columns beside the vectors can be read as labels, in one file and in all files of a corpus. Knows schemas
 * only; the values are read by `labels.ts`.
 */
import type { Field, Schema } from "apache-arrow";
import { SEQUENCE_LABELS, labelTypeOf } from "./labels.ts";

/** A column beside the vectors that can be read. */
export interface LabelColumn {
  readonly name: string;
  /** Arrow's name of its type, for example `Int32` or `Utf8`. */
  readonly type: string;
}

/** A column that cannot be read, and why. */
export interface IgnoredColumn {
  readonly name: string;
  readonly why: string;
}

/** For messages: why a column that is there is no label, in parentheses; else nothing. */
export function whyIgnored(ignored: readonly IgnoredColumn[], name: string): string {
  const why = ignored.find((column) => column.name === name)?.why;
  return why === undefined ? "" : ` (${why})`;
}

/** The schema of one file, and whether its rows are sequences of vectors. */
interface LabelledFile {
  readonly path: string;
  readonly schema: Schema;
  readonly nested: boolean;
}

/** Sorts a schema's columns, the vector columns aside, into labels and the rest. */
function labelColumns(
  { schema, nested }: LabelledFile,
  vectorColumns: readonly string[],
): { labels: readonly LabelColumn[]; ignored: readonly IgnoredColumn[] } {
  const labels: LabelColumn[] = [];
  const ignored: IgnoredColumn[] = [];
  const seen = new Set<string>();
  for (const field of schema.fields as readonly Field[]) {
    if (vectorColumns.includes(field.name)) continue;
    const type = labelTypeOf(field, nested);
    if (seen.has(field.name)) ignored.push({ name: field.name, why: "another column has its name" });
    else if (type !== undefined) labels.push({ name: field.name, type });
    else ignored.push({ name: field.name, why: `type ${String(field.type)} is not read as a label` });
    seen.add(field.name);
  }
  if (nested) labels.push(...SEQUENCE_LABELS.filter(({ name }) => !seen.has(name)));
  return { labels, ignored };
}

/** Label columns that all files have with one type; the rest is ignored, with the reason. */
export function commonLabels(
  files: readonly LabelledFile[],
  vectorColumns: readonly string[],
): { labels: readonly LabelColumn[]; ignored: readonly IgnoredColumn[] } {
  const perFile = files.map((file) => ({ path: file.path, ...labelColumns(file, vectorColumns) }));
  const ignored = new Map<string, IgnoredColumn>();
  for (const { ignored: columns } of perFile) {
    for (const column of columns) if (!ignored.has(column.name)) ignored.set(column.name, column);
  }
  const candidates = new Map<string, LabelColumn>();
  for (const { labels } of perFile) {
    for (const label of labels) {
      const { name } = label;
      const known = candidates.get(name);
      if (known === undefined) candidates.set(name, label);
      else if (known.type !== label.type && !ignored.has(name)) {
        ignored.set(name, { name, why: `type ${known.type} in one file, ${label.type} in another` });
      }
    }
  }
  for (const name of candidates.keys()) {
    const without = perFile.find(({ labels }) => !labels.some((label) => label.name === name));
    if (without !== undefined && !ignored.has(name)) {
      ignored.set(name, { name, why: `${without.path} does not have it` });
    }
  }
  const labels = [...candidates.values()].filter((label) => !ignored.has(label.name));
  return { labels, ignored: [...ignored.values()] };
}
