/** Training for a worked example: one mini-batch of all examples, again and again, each step traced. */
import {
  allocateMemory,
  type Arena,
  constantSchedule,
  DEFAULT_ADAM,
  type ModelSetup,
  openArena,
  planRun,
  type StepTrace,
  type TracedParameter,
  traceStep,
} from "@sparseloom/core";
import { RunError } from "../errors.ts";
import type { Examples } from "./examples.ts";
import { type asStored, type NamedMatrix, type Section, shortest } from "./walkthrough.ts";

/** Options that both examples have. */
export interface CommonOptions {
  readonly learningRate: number;
  /** Updates. */
  readonly steps: number;
  /** Initial weights are drawn from it; undefined: the example's own where they fit. */
  readonly seed: number | undefined;
}

/** A zeroed arena for `examples` with constant schedules. Throws OptionError if the model is malformed. */
export function openExampleArena(
  model: ModelSetup,
  examples: Examples,
  { learningRate, steps }: CommonOptions,
  l1: number,
): Arena {
  const batchRows = examples.rows.length;
  const plan = planRun({
    setup: {
      model,
      training: {
        batchRows,
        learningRate: constantSchedule(learningRate, steps),
        l1Coefficient: constantSchedule(l1, steps),
        adam: DEFAULT_ADAM,
        deadWindow: batchRows * Math.max(1, steps),
      },
    },
    workers: 1,
    slots: 1,
    storeGradients: true,
  });
  return openArena(plan, allocateMemory(plan, { shared: false }).buffer);
}

/** What training on the examples gave. */
export interface Session<Trace extends StepTrace> {
  /** The first step. */
  readonly first: Trace;
  /** One step more than asked for: its forward pass is the trained model's. */
  readonly last: Trace;
  /** Before each update, and after the last. */
  readonly losses: readonly number[];
}

/** Takes `steps` steps on all examples, and one more whose forward pass shows where they led. Throws RunError if the loss overflows. */
export function trainOnExamples(arena: Arena, examples: Examples, steps: number): Session<StepTrace> {
  const rows = Float32Array.from(examples.rows.flat());
  const losses: number[] = [];
  const take = (step: number): StepTrace => {
    const trace = traceStep(arena, rows, step);
    if (!Number.isFinite(trace.loss)) {
      throw new RunError(
        `the loss is ${trace.loss} after ${step} updates: examples this large, or this learning rate, leave the range of float32`,
      );
    }
    losses.push(shortest(Math.fround(trace.loss)));
    return trace;
  };
  const first = take(0);
  let last = first;
  for (let step = 1; step <= steps; step++) last = take(step);
  return { first, last, losses };
}

/** The optimiser's section: for each parameter both moments and its new value. */
export function updateSection(
  parameters: readonly (readonly [name: string, parameter: TracedParameter, show: typeof asStored])[],
  learningRate: number,
  afterwards = "",
): Section {
  const { beta1, beta2, epsilon } = DEFAULT_ADAM;
  const matrices = parameters.flatMap(([name, { m, v, after }, show]): NamedMatrix[] => [
    { ...show(`m of ${name}`, m), startsLine: true },
    show(`v of ${name}`, v),
    show(`new ${name}`, after),
  ]);
  return {
    title: "Update by Adam",
    text: [
      `m = ${beta1}·m + ${shortest(Math.fround(1 - beta1))}·g and v = ${beta2}·v + ${shortest(Math.fround(1 - beta2))}·g² for each gradient g, both 0 before the first step t = 1; then W − lr·m̂/(√v̂ + ${epsilon}) with m̂ = m/(1 − ${beta1}ᵗ), v̂ = v/(1 − ${beta2}ᵗ) and lr = ${learningRate}. In the first step that is lr against each gradient's sign.${afterwards}`,
    ],
    matrices,
  };
}

/** How the loss went, at most ten steps of all, and what the model makes of the examples now. */
export function lossSection(
  losses: readonly number[],
  sentence: string,
  matrices: readonly NamedMatrix[],
): Section {
  const steps = losses.length - 1;
  const every = Math.max(1, Math.ceil(steps / 8));
  const shown = losses.map((_, step) => step).filter((step) => step % every === 0 || step === steps);
  const course = {
    name: "loss after so many updates",
    rowNames: [],
    columnNames: shown.map(String),
    values: [shown.map((step) => losses[step])],
  };
  return {
    title: `After ${steps} ${steps === 1 ? "update" : "updates"}`,
    text: [sentence],
    matrices: [
      course,
      ...matrices.map((matrix, at) => (at === 0 ? { ...matrix, startsLine: true as const } : matrix)),
    ],
  };
}

/** What the walk starts with. */
export function exampleNames(examples: Examples): { columns: string[]; legend: string[] } {
  const columns = examples.rows.map((_, index) => `X${index + 1}`);
  const legend = examples.labels.map((label, index) => `${columns[index]} ${label}`);
  return { columns, legend: legend.length === 0 ? [] : [`The examples: ${legend.join(", ")}.`] };
}
