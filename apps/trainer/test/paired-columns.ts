/** A corpus of two vector columns that show the same features, as two layers of a model do; of other scales and means. */
import { writeFile } from "node:fs/promises";
import { createSynthetic } from "@sparseloom/data";
import {
  Data,
  Field,
  FixedSizeList,
  Float32,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
} from "apache-arrow";

/** Dimensions of the columns `before` and `after`, unless others are asked for. */
export const WIDTHS = { before: 12, after: 9 } as const;
const BATCH_ROWS = 700;

/** Writes `rows` rows, under the columns' names or others, in as many dimensions as `widths` says. */
export async function writePairedColumns(
  path: string,
  rows: number,
  names: Readonly<Record<keyof typeof WIDTHS, string>> = { before: "before", after: "after" },
  widths: Readonly<Record<keyof typeof WIDTHS, number>> = WIDTHS,
): Promise<void> {
  // A synthetic row is its active features in one space: the first part is `before`, the second `after`.
  const dIn = widths.before + widths.after;
  const values = new Float32Array(rows * dIn);
  createSynthetic({
    dIn,
    features: 2 * widths.before,
    seed: 5,
    active: { kind: "bernoulli", probability: 0.12 },
    magnitude: { kind: "normal", mean: 1, sd: 0.3 },
    noise: 0.02,
  }).fill(values, 0, rows);
  const column = (from: number, width: number, change: (value: number) => number) =>
    Float32Array.from({ length: rows * width }, (_, i) =>
      change(values[Math.floor(i / width) * dIn + from + (i % width)] as number),
    );
  const before = column(0, widths.before, (value) => value + 0.5);
  const after = column(widths.before, widths.after, (value) => 20 * value - 3);
  await writeFile(
    path,
    arrowFile(
      [
        { name: names.before, width: widths.before, values: before },
        { name: names.after, width: widths.after, values: after },
      ],
      rows,
    ),
  );
}

interface Column {
  readonly name: string;
  readonly width: number;
  readonly values: Float32Array;
}

function arrowFile(columns: readonly Column[], rows: number): Uint8Array {
  const item = new Field("item", new Float32(), false);
  const parts = columns.map((column) => ({ ...column, type: new FixedSizeList(column.width, item) }));
  const fields = parts.map(({ name, type }) => new Field(name, type, false));
  const schema = new Schema(fields);
  const batches: RecordBatch[] = [];
  for (let first = 0; first < rows; first += BATCH_ROWS) {
    const length = Math.min(BATCH_ROWS, rows - first);
    const children = parts.map(({ width, type, values }) => {
      const data = values.slice(first * width, (first + length) * width);
      const child = makeData({ type: new Float32(), length: data.length, nullCount: 0, data });
      return new Data(type, 0, length, 0, {}, [child]);
    });
    batches.push(
      new RecordBatch(schema, makeData({ type: new Struct(fields), length, nullCount: 0, children })),
    );
  }
  return tableToIPC(new Table(schema, batches), "file");
}
