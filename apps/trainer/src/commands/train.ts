/** `sparseloom train`: flags to options, progress to stderr, the result to stdout. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { EXIT, RequestError, shellQuoted } from "../errors.ts";
import { addTrainFlags, gatherRequest } from "../flags.ts";
import { expandGrid, isGrid } from "../group/grid.ts";
import { isGroup } from "../group/group-folder.ts";
import type { GroupResult } from "../group/summary.ts";
import type * as Groups from "../group/train-group.ts";
import { listenForInterrupts } from "../interrupts.ts";
import { checkTrainRequest, RESUME_OPTIONS, type TrainOptions } from "../options.ts";
import { flagOf } from "../options/describe-issue.ts";
import { counted, formatCount, Progress } from "../progress.ts";
import { readRunConfig, type RunConfig } from "../run/config.ts";
import { describeOptimizer, describeRate } from "../run/learning-rate.ts";
import { describeScreening } from "../run/describe-screening.ts";
import { describeWindows } from "../run/describe-windows.ts";
import type { Metrics, ModelSetup } from "@sparseloom/core";
import type { StepMetrics } from "../run/metrics-log.ts";
import type { TrainResult } from "../run/result.ts";
import type { TrainHooks } from "../session.ts";
import { resume, train } from "../train.ts";

/** What a newcomer asks first. */
const WHICH = `
Which architecture for what (more in docs/architectures.md):
  topk          --k latents in every row; the fastest step
  batch-topk    --k on average, more in rows that need more; a good first choice, with --aux-k auto
  matryoshka    batch-topk whose first latents must do alone: against splitting and absorption
  jumprelu      a trained threshold for each latent; --l0-penalty quadratic --target-l0 20 aims at an L0
  gated         which latents are active is decided apart from how much: no shrinkage
  relu          the penalty --l1 decides L0; the oldest recipe
  autoencoder   dense layers --widths; no features to inspect
Several (--arch topk,jumprelu) share one pass over the data, each with the options that it has.
Any but autoencoder: --columns a,b (a crosscoder over several columns), --target y (a transcoder).`;

/** Adds arguments, options and the action to `command`. */
export function defineTrain(command: Command): void {
  command
    .argument("[corpus...]", "Arrow files, folders or globs; not needed with --resume")
    .option(
      "--resume <run directory>",
      "continue a run from its newest checkpoint; bit for bit as if it had not stopped",
    )
    .option(
      "--config <file.json>",
      "options from a file, which may be the config.json of a run; flags override them",
    )
    .option("--json", "print the result as one JSON object");
  addTrainFlags(command);
  command.addHelpText("after", WHICH);
  command.action(async (patterns: string[], flags: { resume?: string; json?: boolean }) => {
    const request = await gatherRequest(command);
    const { resume: from } = flags;
    if (from !== undefined) checkResume(patterns, request);
    const result =
      from === undefined
        ? await startRun(patterns, request)
        : (await isGroup(from))
          ? await watchedGroup(
              async (hooks) => await (await groups()).resumeGroup(from, overridesOf(request), hooks),
            )
          : await watched((hooks) => resume(from, overridesOf(request), hooks));
    const text = flags.json
      ? JSON.stringify(result, undefined, 2)
      : "models" in result
        ? (await import("../group/describe.ts")).describeGroup(result)
        : describeResult(result, (await readRunConfig(result.runDirectory)).setup.model);
    process.stdout.write(`${text}\n`);
  });
}

/** What only several models need, the matching of their latents among it. */
async function groups(): Promise<typeof Groups> {
  return await import("../group/train-group.ts");
}

async function startRun(
  patterns: readonly string[],
  request: Record<string, unknown>,
): Promise<TrainResult | GroupResult> {
  if (patterns.length === 0)
    throw new RequestError(
      "missing corpus: give at least one Arrow file, e.g. sparseloom train activations.arrow",
    );
  if (isGrid(request)) {
    const grid = expandGrid(request);
    const [{ options }] = grid;
    const architectures = new Set(grid.map((member) => member.options.arch));
    const directory = options.out ?? defaultRunDirectory([...architectures].join("-"));
    return await watchedGroup(
      async (hooks) => await (await groups()).trainGroup(patterns, grid, directory, hooks),
    );
  }
  const options = checkTrainRequest(request);
  return await watched((hooks) =>
    train(patterns, options, options.out ?? defaultRunDirectory(options.arch), hooks),
  );
}

function checkResume(patterns: readonly string[], request: Record<string, unknown>): void {
  if (patterns.length > 0)
    throw new RequestError("--resume takes the corpus from the run's config.json: give no corpus");
  const foreign = Object.keys(request).find((key) => !(RESUME_OPTIONS as readonly string[]).includes(key));
  if (foreign !== undefined) {
    throw new RequestError(
      `${flagOf(foreign)} cannot change when a run is resumed; only ${RESUME_OPTIONS.map(flagOf).join(", ")} can`,
    );
  }
}

/** The options of a resumption that were given. */
function overridesOf(request: Record<string, unknown>): Partial<TrainOptions> {
  const checked = checkTrainRequest(request);
  return Object.fromEntries(Object.keys(request).map((key) => [key, checked[key as keyof TrainOptions]]));
}

/** Where a run goes without --out: by architecture and time, so that runs do not meet. */
function defaultRunDirectory(architectures: string): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  const path = join("runs", `${architectures}-${time}`);
  // Two runs may begin in one second.
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? path : `${path}-${number}`;
    if (!existsSync(candidate)) return candidate;
  }
}

/** Runs with progress on stderr; an interrupt sets the process's exit status. */
export async function watched(run: (hooks: TrainHooks) => Promise<TrainResult>): Promise<TrainResult> {
  const progress = new Progress();
  using interrupts = listenForInterrupts((line) => progress.line(line));
  try {
    const result = await run({
      signal: interrupts.signal,
      onStart: (config, runDirectory) =>
        progress.line(`${describeRun(config)}; run directory ${runDirectory}`),
      onMetrics: (metrics, config) => progress.update(metrics, config),
      onNotice: (line) => progress.line(line),
    });
    if (!result.complete) process.exitCode = interrupts.status() ?? EXIT.done;
    return result;
  } finally {
    progress.end();
  }
}

/** The same for several runs: one bar for all of them, and a status of failure when one diverged. */
async function watchedGroup(run: (hooks: TrainHooks) => Promise<GroupResult>): Promise<GroupResult> {
  const progress = new Progress();
  using interrupts = listenForInterrupts((line) => progress.line(line));
  const configs = new Set<RunConfig>();
  const latest = new Map<RunConfig, StepMetrics>();
  try {
    const result = await run({
      signal: interrupts.signal,
      onStart(config) {
        if (configs.size === 0) progress.line(`the first: ${describeRun(config)}`);
        configs.add(config);
      },
      onMetrics(metrics, config) {
        latest.set(config, metrics);
        const now = [...latest.values()].filter(({ step }) => step === metrics.step);
        if (now.length === configs.size || now.length === latest.size) progress.updateAll(now, config);
      },
      onNotice: (line) => progress.line(line),
    });
    if (result.diverged.length > 0) process.exitCode = EXIT.failed;
    else if (!result.complete) process.exitCode = interrupts.status() ?? EXIT.done;
    return result;
  } finally {
    progress.end();
  }
}

function describeRun({ setup, corpus, totalExamples, totalSteps, options }: RunConfig): string {
  const { model, training } = setup;
  const shape =
    model.kind === "deep"
      ? `autoencoder ${model.widths.join("-")}`
      : `${model.architecture}, ${counted(model.latents, "latent")}${model.k > 0 ? `, k ${model.k}` : ""}`;
  const width =
    model.kind === "sparse" && model.dOut !== undefined ? `(${model.dIn} → ${model.dOut})` : `${corpus.dIn}`;
  const rate = describeRate(options, model, training.learningRate);
  const optimizer = training.optimizer === undefined ? "" : `${describeOptimizer(training, model)}, `;
  return (
    `${shape} on ${formatCount(corpus.rows)} × ${width} activations: ${counted(totalExamples, "example")}, ` +
    `${counted(totalSteps, "step")} of ${formatCount(training.batchRows)}, ${optimizer}learning rate ${rate}, seed ${options.seed}; shuffle: ` +
    describeWindows(corpus.windows)
  );
}

function describeDead({ dead, deadWindow, examples }: TrainResult, latents: number): string {
  const last = deadWindow === 1 ? "example" : `${formatCount(deadWindow)} examples`;
  return examples < deadWindow
    ? `dead latents: not known yet (dead is who had no activation in the last ${last}, and there were fewer)`
    : `dead latents: ${formatCount(dead)} of ${formatCount(latents)} (no activation in the last ${last})`;
}

/** Held-out rows as the result was measured on them; of a run that stopped, as they were last measured while it trained. */
function heldOutLines(
  { heldOut, lastEvaluation: last }: TrainResult,
  set: (name: string, metrics: Pick<Metrics, "fvu" | "l0">) => string,
): string[] {
  if (heldOut !== undefined) return [`${set("held-out rows", heldOut)} (${counted(heldOut.rows, "row")})`];
  if (last === undefined) return [];
  return [`${set(`held-out rows at step ${last.step}`, last)} (${counted(last.rows, "row")})`];
}

/** The result for people. */
export function describeResult(result: TrainResult, model: ModelSetup): string {
  const sparse = model.kind === "sparse";
  const set = (name: string, { fvu, l0 }: Pick<Metrics, "fvu" | "l0">): string =>
    `${name}: FVU ${fvu.toFixed(3)}${sparse ? `, L0 ${l0.toFixed(1)}` : ""}`;
  return [
    `${result.complete ? "trained" : "stopped after"} ${counted(result.steps, "step")}, ${counted(result.examples, "example")} in ` +
      `${result.seconds.toFixed(1)} s (${formatCount(result.activationsPerSecond)} activations/s, ${counted(result.workers, "worker")}${result.wideSimd ? ", 256-bit vectors" : ""}${result.hugePages ? ", huge pages" : ""})`,
    ...(result.filteredRows > 0
      ? [`row filters left out ${counted(result.filteredRows, "training row")} of each epoch`]
      : []),
    set("training rows", result),
    ...heldOutLines(result, set),
    ...(result.complete && result.fvu > 1
      ? [
          `an FVU above 1 is worse than giving the mean for every row: the run had ${counted(result.steps, "step")}; try more --epochs, a smaller --batch, another --lr`,
        ]
      : []),
    ...(sparse
      ? [
          ...describeScreening(result.screening === undefined ? [] : [result.screening]),
          describeDead(result, model.latents),
        ]
      : []),
    result.complete
      ? `run directory: ${result.runDirectory}`
      : `continue with: sparseloom train --resume ${shellQuoted(result.runDirectory)}`,
  ].join("\n");
}
