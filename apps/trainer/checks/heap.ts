/**
 * Trains a small sparse autoencoder for many steps and holds the threads to their promise that a step leaves nothing
 * behind: after a forced collection, used heap of main thread and workers together grows by less than 1 MB from the
 * first tenth of the steps to the last.
 *
 *   node apps/trainer/checks/heap.ts [--steps 10000]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createSynthetic, type RowsToWrite, writeCorpus } from "@sparseloom/data";
import { checkTrainRequest } from "../src/options.ts";
import type { Team } from "../src/team/team.ts";
import { train } from "../src/train.ts";

const BOUND_MB = 1;
/** Looks at the heaps; the first and the last few are compared by their least. */
const LOOKS = 20;
const COMPARED = 3;
const D_IN = 192;
const LATENTS = 1024;
const ROWS = 50_000;
const BATCH = 64;

const { values: flags } = parseArgs({ options: { steps: { type: "string", default: "10000" } } });
const steps = Number(flags.steps);
const every = Math.ceil(steps / LOOKS);

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Used heap after a forced collection, in MB: of the main thread, and of all workers. */
interface Look {
  readonly step: number;
  readonly main: number;
  readonly workers: number;
}

const folder = mkdtempSync(join(tmpdir(), "sparseloom-heap-"));
try {
  const corpus = join(folder, "corpus.arrow");
  await writeCorpus(corpus, { dIn: D_IN, type: "float32" }, syntheticRows());
  const options = checkTrainRequest({
    latents: LATENTS,
    k: 16,
    batch: BATCH,
    examples: steps * BATCH,
    windowMb: 2,
    logEvery: every,
    checkpointEvery: every,
    workers: 2,
  });
  let team: Team | undefined;
  const looks: Promise<Look>[] = [];
  const { seconds, encoder } = await train([corpus], options, join(folder, "run"), {
    onStart: (_config, _directory, _plan, started) => void (team = started),
    onMetrics: ({ step }) => void looks.push(look(step, team)),
  });
  const seen = await Promise.all(looks);
  for (const { step, main, workers } of seen) {
    process.stdout.write(`step ${step}: main ${main.toFixed(2)} MB, workers ${workers.toFixed(2)} MB\n`);
  }
  const least = (some: readonly Look[], of: "main" | "workers"): number =>
    Math.min(...some.map((one) => one[of]));
  const growth = (of: "main" | "workers"): number =>
    least(seen.slice(-COMPARED), of) - least(seen.slice(1, 1 + COMPARED), of);
  const [main, workers] = [growth("main"), growth("workers")];
  const ok = main + workers < BOUND_MB;
  process.stdout.write(
    `${steps} steps (${encoder}, ${seconds.toFixed(0)} s): growth of main ${main.toFixed(3)} MB, of workers ` +
      `${workers.toFixed(3)} MB, bound ${BOUND_MB} MB: ${ok ? "ok" : "TOO MUCH"}\n`,
  );
  if (!ok) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

async function look(step: number, team: Team | undefined): Promise<Look> {
  collect();
  const main = process.memoryUsage().heapUsed / 1e6;
  const heaps = (await team?.usedHeaps()) ?? [];
  return { step, main, workers: heaps.reduce((sum, bytes) => sum + bytes, 0) / 1e6 };
}

function* syntheticRows(): Iterable<RowsToWrite> {
  const synthetic = createSynthetic({
    dIn: D_IN,
    features: 512,
    seed: 1,
    active: { kind: "exactly", count: 8 },
    magnitude: { kind: "uniform", low: 0.5, high: 1.5 },
  });
  const values = new Float32Array(ROWS * D_IN);
  synthetic.fill(values, 0, ROWS);
  yield { values };
}
