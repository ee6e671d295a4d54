/** `sparseloom doctor`: what this machine offers, and the speed to expect, both measured on the spot. */
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import {
  bestKernelVariant,
  bytesByRole,
  chooseEncoder,
  constantSchedule,
  DEFAULT_ADAM,
  type Encoder,
  initialise,
  integerProductRate,
  multiplyAddLimit,
  type Plan,
  planRun,
  type Setup,
} from "@sparseloom/core";
import { type Command, Option } from "commander";
import { printResult } from "../json.ts";
import type { TrainOptions } from "../options.ts";
import { counted, formatCount } from "../progress.ts";
import { describeOptimizer, updatesOf } from "../run/learning-rate.ts";
import { type HugePages, hugePagesOf } from "../team/huge-pages.ts";
import { Team, type TeamOptions } from "../team/team.ts";
import { parseCount, parseWorkers } from "./arguments.ts";

interface DoctorFlags {
  readonly d: number;
  readonly latents: number;
  readonly k?: number;
  readonly batch: number;
  readonly workers: number;
  readonly optimizer: TrainOptions["optimizer"];
  readonly experimentalWideSimd?: boolean;
  readonly experimentalHugePages?: boolean;
  readonly json?: boolean;
}

/** What `doctor --json` prints. */
interface DoctorReport {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly v8: string;
  readonly memoryGiB: { readonly total: number; readonly free: number };
  /** When the system gives memory pages of 2 MiB; null: not known. */
  readonly hugePages: HugePages | null;
  readonly kernelVariant: string;
  /** GFLOP/s of one core with 128-bit multiply-adds; null without WebAssembly SIMD. */
  readonly multiplyAddLimit: number | null;
  /**
   * 10⁹ operations per second of one core in the screened encoder's integer product, everything in the cache; null
   * where kernels do not screen.
   */
  readonly integerProductRate: number | null;
  readonly step: {
    readonly d: number;
    readonly latents: number;
    readonly k: number;
    readonly batch: number;
    readonly workers: number;
    readonly wideSimd: boolean;
    readonly hugePages: boolean;
    /** The optimiser, with what it costs where that is not little. */
    readonly optimizer: string;
    /** The encoder that `--encoder auto` takes for this model. */
    readonly encoder: Encoder;
    /** Memory of the run, in MB. */
    readonly arenaMb: number;
    readonly activationsPerSecond: number;
    /** 2·d·latents per activation as a multiple of the limit of all cores that the workers can be on. */
    readonly shareOfLimit: number | null;
  };
}

/**
 * Steps of so few rows go before those that are timed, for so many milliseconds, in which V8 compiles and screening
 * chooses how to add up: right after the first, steps at L took a quarter longer than those of a run.
 */
const WARMUP_ROWS = 1024;
const WARMUP_MS = 1500;
/** Steps that are timed: until one more would take the time beyond this, but one at least. */
const TIMED_MS = 2000;
/** The number of all of these steps: in the middle of a run, where screening's factors are made at the first of a process only. */
const STEP = 1025;

/** Adds arguments, options and the action to `command`. */
export function defineDoctor(command: Command): void {
  command
    .option("--d <n>", "dimension of the activations", parseCount, 768)
    .option("--latents <n>", "number of dictionary units", parseCount, 12_288)
    .option("--k <n>", "active latents per row (default 32, or all latents)", parseCount)
    .option("--batch <n>", "rows of a mini-batch", parseCount, 4096)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .addOption(
      new Option("--optimizer <name>", "what turns gradients into updates")
        .choices(["adam", "signum", "signum-schedule-free", "muon"])
        .default("adam"),
    )
    .addOption(new Option("--experimental-wide-simd", "with 256-bit vectors by an experimental flag of V8"))
    .addOption(new Option("--experimental-huge-pages", "with pages of 2 MiB by Node's experimental FFI"))
    .option("--json", "print one JSON object")
    .action(async (flags: DoctorFlags) => {
      const report = await examine(flags);
      printResult(flags.json, report, describe);
    });
}

async function examine(flags: DoctorFlags): Promise<DoctorReport> {
  const { d, latents, batch, workers } = flags;
  const k = flags.k ?? Math.min(32, latents);
  const wideSimd = flags.experimentalWideSimd ?? false;
  const hugePages = flags.experimentalHugePages ?? false;
  const cores = availableParallelism();
  const setup = setupOf(flags, k);
  const kernelVariant = bestKernelVariant();
  const encoder = chooseEncoder("auto", setup.model, kernelVariant);
  const plan = planRun({ setup, workers, encoder });
  // Before the flag of 256-bit vectors is set: the limits are those of 128 bits.
  const limit = multiplyAddLimit(kernelVariant) ?? null;
  const integers = integerProductRate(kernelVariant) ?? null;
  const seconds = await timeStep(plan, { wideSimd, hugePages });
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores,
    node: process.version,
    v8: process.versions.v8,
    memoryGiB: { total: totalmem() / 2 ** 30, free: freemem() / 2 ** 30 },
    hugePages: hugePagesOf() ?? null,
    kernelVariant,
    multiplyAddLimit: limit,
    integerProductRate: integers,
    step: {
      d,
      latents,
      k,
      batch,
      workers,
      wideSimd,
      hugePages,
      optimizer: describeOptimizer(setup.training, setup.model),
      encoder,
      arenaMb: bytesByRole(plan).reduce((sum, [, bytes]) => sum + bytes, 0) / 1e6,
      activationsPerSecond: batch / seconds,
      shareOfLimit:
        limit === null
          ? null
          : (2 * d * latents * batch) / seconds / 1e9 / (limit * Math.min(workers, cores)),
    },
  };
}

function setupOf({ d, latents, batch, optimizer }: DoctorFlags, k: number): Setup {
  return {
    model: {
      kind: "sparse",
      architecture: "topk",
      dIn: d,
      latents,
      k,
      decoder: "unit",
      applyBDecToInput: true,
    },
    training: {
      batchRows: batch,
      learningRate: constantSchedule(1e-4, 2 * STEP),
      l1Coefficient: constantSchedule(0, 2 * STEP),
      adam: DEFAULT_ADAM,
      deadWindow: 10 * batch,
      ...updatesOf({ optimizer }),
    },
  };
}

/** Seconds of a training step on random rows: the median of a few, through the real worker team. */
async function timeStep(plan: Plan, options: TeamOptions): Promise<number> {
  await using team = new Team(plan, options);
  const { batchRows } = plan.setup.training;
  initialise(team.arena, { seed: 0 });
  for (const slot of team.arena.slots) for (let i = 0; i < slot.length; i++) slot[i] = Math.random() - 0.5;
  const timeOf = async (rows: number): Promise<number> => {
    await team.freeSlot();
    const began = performance.now();
    team.publish({ step: STEP, rows, examplesBefore: STEP * batchRows, train: true });
    await team.waitFor(team.published);
    return performance.now() - began;
  };
  const warm = performance.now() + WARMUP_MS;
  do await timeOf(Math.min(WARMUP_ROWS, batchRows));
  while (performance.now() < warm);
  const times: number[] = [];
  let spent = 0;
  do {
    const ms = await timeOf(batchRows);
    times.push(ms);
    spent += ms;
  } while (spent + times[0] <= TIMED_MS);
  await team.stop();
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] / 1000;
}

function describe({
  cpu,
  cores,
  node,
  v8,
  memoryGiB,
  hugePages,
  kernelVariant,
  multiplyAddLimit: limit,
  integerProductRate: integers,
  step,
}: DoctorReport): string {
  return [
    `machine  ${cpu}, ${counted(cores, "core")}, ${memoryGiB.total.toFixed(1)} GiB memory (${memoryGiB.free.toFixed(1)} free)${describePages(hugePages)}`,
    `engine   Node ${node}, V8 ${v8}`,
    `kernels  ${kernelVariant}${limit === null ? " (no WebAssembly SIMD here: slow)" : ""}`,
    ...(limit === null
      ? []
      : [
          `limits   per core: ${limit.toFixed(1)} GFLOP/s of 128-bit float32 multiply-adds${describeIntegers(integers)}`,
        ]),
    `step     TopK, d ${step.d}, ${counted(step.latents, "latent")}, k ${step.k}, batch ${formatCount(step.batch)}, ${counted(step.workers, "worker")}, ${step.encoder} encoder${step.optimizer === "adam" ? "" : `, ${step.optimizer}`}${step.wideSimd ? ", 256-bit vectors" : ""}${step.hugePages ? ", huge pages" : ""}:`,
    `         ${formatCount(step.activationsPerSecond)} activations/s, arena ${formatCount(step.arenaMb)} MB`,
    ...(step.shareOfLimit === null
      ? []
      : [
          `         ${step.shareOfLimit.toFixed(2)} times the rate at which these cores could do the encoder's float32 product alone`,
        ]),
  ].join("\n");
}

function describePages(hugePages: HugePages | null): string {
  if (hugePages === "always") return ", huge pages";
  return hugePages === "madvise" ? ", huge pages on request (--experimental-huge-pages)" : "";
}

function describeIntegers(rate: number | null): string {
  return rate === null
    ? ""
    : `; ${rate.toFixed(0)} GOP/s of the screened encoder's integer product, bounds included`;
}
