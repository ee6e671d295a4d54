/**
 * What measuring a mini-batch of held-out rows costs while a run trains (`--eval-every`), against a training step on as
 * many rows: medians of turns in one process, for models that select by row and over mini-batches.
 *
 *   node apps/trainer/checks/evaluation-cost.ts [--d 768] [--latents 12288] [--batch 4096] [--k 32] [--turns 15]
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import {
  bestKernelVariant,
  chooseEncoder,
  constantSchedule,
  DEFAULT_ADAM,
  initialise,
  type ModelSetup,
  planRun,
} from "@sparseloom/core";
import { createSynthetic } from "@sparseloom/data";
import { measureHeldOut } from "../src/held-out-sample.ts";
import { Team } from "../src/team/team.ts";

const { values: flags } = parseArgs({
  options: {
    d: { type: "string", default: "768" },
    latents: { type: "string", default: "12288" },
    batch: { type: "string", default: "4096" },
    k: { type: "string", default: "32" },
    turns: { type: "string", default: "15" },
  },
});
const [dIn, latents, batchRows, k, turns] = (["d", "latents", "batch", "k", "turns"] as const).map((key) =>
  Number(flags[key]),
);

/** Steps before those that are timed: V8 compiles, and screening finds its way. */
const WARMUP = 12;

const rowsOf = createSynthetic({
  dIn,
  features: 2 * dIn,
  seed: 0,
  active: { kind: "bernoulli", probability: k / (2 * dIn) },
  magnitude: { kind: "normal", mean: 1, sd: 0.3 },
  noise: 0.05,
});
/** Mini-batch `index` [batchRows, dIn]. */
function rowsAt(index: number): Float32Array {
  const values = new Float32Array(batchRows * dIn);
  rowsOf.fill(values, index * batchRows, batchRows);
  return values;
}

const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1] as number;

for (const architecture of ["topk", "batch-topk"] as const) {
  const model: ModelSetup = {
    kind: "sparse",
    architecture,
    dIn,
    latents,
    k,
    decoder: "unit",
    applyBDecToInput: true,
  };
  const steps = WARMUP + turns;
  const training = {
    batchRows,
    learningRate: constantSchedule(1e-3, steps),
    l1Coefficient: constantSchedule(0, steps),
    adam: DEFAULT_ADAM,
    deadWindow: steps * batchRows,
  };
  const encoder = chooseEncoder("auto", model, bestKernelVariant());
  const plan = planRun({ setup: { model, training }, workers: availableParallelism(), encoder });
  await using team = new Team(plan);
  initialise(team.arena, { seed: 0 });
  const sample = { rows: batchRows, values: rowsAt(steps) };
  const [trained, measured]: [number[], number[]] = [[], []];
  for (let step = 0; step < steps; step++) {
    const slot = await team.freeSlot();
    (team.arena.slots[slot] as Float32Array).set(rowsAt(step));
    const began = performance.now();
    team.publish({ step, rows: batchRows, examplesBefore: step * batchRows, train: true });
    await team.waitFor(team.published);
    const then = performance.now();
    await measureHeldOut(team, sample, { step: step + 1, examples: (step + 1) * batchRows }, undefined);
    if (step < WARMUP) continue;
    trained.push(then - began);
    measured.push(performance.now() - then);
  }
  await team.stop();
  const [step, measurement] = [median(trained), median(measured)];
  process.stdout.write(
    `${architecture}: step ${step.toFixed(0)} ms, held-out rows as many ${measurement.toFixed(0)} ms: ${(measurement / step).toFixed(2)} of a step\n`,
  );
}
