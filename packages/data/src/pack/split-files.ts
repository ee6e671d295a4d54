/**
 * Writes the two parts of a split as files of their own: the rows that training with the same seed and share would
 * see, and those that it would hold out.
 */
import { join } from "node:path";
import { valueBytes } from "../arrow/vector-column.ts";
import type { Corpus } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import { requireFree } from "../output-file.ts";
import { keptRows } from "../split.ts";
import type { HeldOutOptions, Split } from "../split.ts";
import { createRowWriter, rawValues, rowTarget } from "../transform.ts";
import { writeCorpus } from "../writer.ts";
import type { RowsToWrite, WriteResult } from "../writer.ts";
import { writtenLabels } from "./row-source.ts";

/** Options of `splitCorpus`. */
export interface SplitFilesOptions {
  /** Any safe integer: training and evaluation with the same see the same split. */
  readonly seed: number;
  readonly heldOut?: HeldOutOptions | undefined;
  /** Replace existing files. Default: false. */
  readonly overwrite?: boolean | undefined;
  readonly onProgress?: ((rows: number, ofRows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One part, written. */
export interface SplitFile extends WriteResult {
  readonly path: string;
}

/**
 * Writes `train.arrow` and `held-out.arrow`, with the corpus's vector columns and labels, into a folder that exists. No
 * row is in both, no document either.
 * @throws CorpusError empty when a part has no rows; nulls when a label is null; exists; what reading and writing throw.
 */
export async function splitCorpus(
  corpus: Corpus,
  folder: string,
  options: SplitFilesOptions,
): Promise<{ readonly train: SplitFile; readonly heldOut: SplitFile }> {
  const labels = writtenLabels(corpus, undefined, corpus.files[0]?.path ?? "");
  let read = 0;
  const pathOf = (split: Split): string => join(folder, `${split}.arrow`);
  await requireFree([pathOf("held-out"), pathOf("train")], options.overwrite ?? false);
  const write = async (split: Split): Promise<SplitFile> => {
    const path = pathOf(split);
    const { dIn, type, columns } = corpus;
    const { overwrite, signal } = options;
    const progress = (rows: number): void => options.onProgress?.((read += rows), 2 * corpus.rows);
    const rows = rowsOf(corpus, split, Object.keys(labels), options, progress);
    const written = await writeCorpus(path, { dIn, type, columns, labels, overwrite, signal }, rows);
    return { path, ...written };
  };
  const selection = { seed: options.seed, heldOut: options.heldOut };
  for (const split of ["train", "held-out"] as const) {
    if (await hasRows(corpus, { ...selection, split })) continue;
    throw new CorpusError("empty", `no row would be in the part "${split}"; take another share`, {
      option: "heldOut",
    });
  }
  // The small part first: what is wrong with the place shows sooner.
  const heldOut = await write("held-out");
  return { heldOut, train: await write("train") };
}

async function hasRows(corpus: Corpus, options: Parameters<typeof keptRows>[2]): Promise<boolean> {
  for (const block of corpus.blocks) if ((await keptRows(corpus, block, options)).length > 0) return true;
  return false;
}

async function* rowsOf(
  corpus: Corpus,
  split: Split,
  labels: readonly string[],
  { seed, heldOut, signal }: SplitFilesOptions,
  onBlock: (rows: number) => void,
): AsyncIterable<RowsToWrite> {
  const { dIn, type, rowsPerBlock } = corpus;
  const bytes = new Uint8Array(rowsPerBlock * dIn * valueBytes(type));
  const stored = rawValues(type, bytes.buffer, 0, rowsPerBlock * dIn);
  const values = new Float32Array(rowsPerBlock * dIn);
  const target = rowTarget(values);
  const writeRow = createRowWriter(type, dIn);
  for (const block of corpus.blocks) {
    const kept = await keptRows(corpus, block, { seed, heldOut, split }, signal);
    onBlock(block.rows);
    if (kept.length === 0) continue;
    await corpus.readBlock(block, bytes, signal);
    for (const [i, row] of kept.entries()) writeRow(stored, row * dIn, target, i * dIn);
    const columns: Record<string, WrittenLabel[]> = {};
    for (const [name, column] of await corpus.readLabels(block, labels, signal)) {
      columns[name] = Array.from(kept, (row) => {
        const label = column.get(row);
        if (label !== null) return label;
        const what = "a label is null, which is not written; pack the corpus without the column first";
        throw new CorpusError("nulls", what, {
          ...corpus.locate(block.firstRow + row),
          column: name,
          option: "labels",
        });
      });
    }
    yield { values: values.subarray(0, kept.length * dIn), labels: columns };
  }
}
