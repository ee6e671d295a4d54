/**
 * The data path alone: a corpus in the page cache, read in shuffled order, its rows gathered, widened and scaled
 * into mini-batch slots in shared memory, on one thread; and what share of a training step that is.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Corpus,
  openCorpus,
  RowStream,
  type RowStreamOptions,
  type RowsToWrite,
  type ValueType,
  writeCorpus,
} from "@sparseloom/data";
import { median } from "../measure.ts";
import type { Shape } from "../shapes.ts";
import { Trainer } from "../trainer.ts";

/** Passes over a corpus in one way. */
export interface CorpusMeasurement {
  readonly suite: "corpus";
  readonly name: string;
  readonly shape: string;
  /** Rows of a mini-batch. */
  readonly rows: number;
  /** Bytes of the corpus's values, 10⁹. */
  readonly gigabytes: number;
  readonly rounds: number;
  /** Stored bytes by the time of the median, the fastest and the slowest pass, 10⁹ per second. */
  readonly rate: number;
  readonly maxRate: number;
  readonly minRate: number;
  /** Milliseconds per mini-batch in the median pass. */
  readonly batchMs: number;
  /** Milliseconds of a TopK step of the trainer with all cores. */
  readonly stepMs: number;
  /** `batchMs` by `stepMs`. */
  readonly share: number;
}

/** What is read, and how. */
interface Way {
  readonly name: string;
  readonly type: ValueType;
  readonly options: Omit<RowStreamOptions, "seed" | "transform">;
  readonly transformed: boolean;
}

const WAYS: readonly Way[] = [
  {
    name: "float32 as stored, file order",
    type: "float32",
    options: { shuffle: "none" },
    transformed: false,
  },
  { name: "float32 as stored", type: "float32", options: {}, transformed: false },
  { name: "float32, centred and scaled", type: "float32", options: {}, transformed: true },
  { name: "float16, centred and scaled", type: "float16", options: {}, transformed: true },
];

/** As the trainer's defaults. */
const BLOCK_BYTES = 2 ** 20;
const WINDOW_BYTES = 12e6;

const ROUNDS = 5;
const STEPS = 5;
const WARMUP_STEPS = 3;
const WRITE_ROWS = 4096;

/** Measures a corpus of a shape's dimension with `gigabytes` 10⁹ bytes of float32 values, and half of that in float16. */
export async function measureCorpus(
  shape: Shape,
  gigabytes: number,
  progress: (line: string) => void,
): Promise<CorpusMeasurement[]> {
  progress(`corpus: a step at ${shape.name}`);
  const stepMs = await stepTime(shape);
  const folder = await mkdtemp(join(tmpdir(), "sparseloom-bench-"));
  try {
    const measurements: CorpusMeasurement[] = [];
    for (const type of ["float32", "float16"] as const) {
      progress(`corpus: writing ${type} at ${shape.name}`);
      const path = join(folder, "corpus.arrow");
      const rows = Math.ceil((gigabytes * 1e9) / (4 * shape.dIn));
      await writeCorpus(path, { dIn: shape.dIn, type, overwrite: true }, numbers(rows, shape.dIn));
      await using corpus = await openCorpus([path], { blockBytes: BLOCK_BYTES });
      for (const way of WAYS.filter((way) => way.type === type)) {
        progress(`corpus: ${way.name} at ${shape.name}`);
        measurements.push(await measureWay(shape, corpus, way, stepMs));
      }
    }
    return measurements;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measureWay(
  shape: Shape,
  corpus: Corpus,
  way: Way,
  stepMs: number,
): Promise<CorpusMeasurement> {
  const bytes = corpus.rows * corpus.dIn * (way.type === "float32" ? 4 : 2);
  const slots = [0, 1].map(() => new Float32Array(new SharedArrayBuffer(4 * shape.rows * shape.dIn)));
  const rowIds = new Float64Array(shape.rows);
  const transform = { mean: new Float32Array(shape.dIn).fill(0.1), scale: 1.5 };
  const times: number[] = [];
  // The first pass fills the page cache and lets V8 compile.
  for (let round = -1; round < ROUNDS; round++) {
    const began = performance.now();
    await using stream = new RowStream(corpus, {
      seed: round + 1,
      windowBytes: WINDOW_BYTES,
      ...way.options,
      ...(way.transformed ? { transform } : {}),
    });
    let filled: number;
    let slot = 0;
    do {
      filled = await stream.fill(slots[slot]!, shape.rows, rowIds);
      slot = 1 - slot;
    } while (filled > 0);
    if (round >= 0) times.push(performance.now() - began);
  }
  const rate = (ms: number): number => bytes / ms / 1e6;
  const batchMs = (median(times) * shape.rows) / corpus.rows;
  return {
    suite: "corpus",
    name: way.name,
    shape: shape.name,
    rows: shape.rows,
    gigabytes: bytes / 1e9,
    rounds: ROUNDS,
    rate: rate(median(times)),
    maxRate: rate(Math.min(...times)),
    minRate: rate(Math.max(...times)),
    batchMs,
    stepMs,
    share: batchMs / stepMs,
  };
}

/** Milliseconds of the median TopK step with all cores, reading included, as `scaling` measures it. */
async function stepTime(shape: Shape): Promise<number> {
  await using trainer = await Trainer.open();
  const workers = availableParallelism();
  const run = {
    shape,
    model: "topk",
    workers,
    wide: false,
    steps: STEPS,
    warmupSteps: WARMUP_STEPS,
  } as const;
  return median(await trainer.stepTimes(run));
}

/** Numbers in [-1, 1), the same in every batch: what they are makes no difference to their way. */
function* numbers(rows: number, dIn: number): Iterable<RowsToWrite> {
  const values = new Float32Array(Math.min(rows, WRITE_ROWS) * dIn);
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state / 2 ** 31;
  }
  for (let done = 0; done < rows; done += WRITE_ROWS) {
    yield { values: values.subarray(0, Math.min(WRITE_ROWS, rows - done) * dIn) };
  }
}
