/** `sparseloom doctor`: what this machine offers, and the speed to expect, both measured on the spot. */
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import {
  bestKernelVariant,
  bytesByRole,
  initialise,
  multiplyAddLimit,
  type Plan,
  planRun,
  type Setup,
} from "@sparseloom/core";
import { type Command, Option } from "commander";
import { formatCount } from "../progress.ts";
import { Team } from "../team/team.ts";
import { parseCount } from "./arguments.ts";

interface DoctorFlags {
  readonly d: number;
  readonly latents: number;
  readonly k: number;
  readonly batch: number;
  readonly workers: number;
  readonly experimentalWideSimd?: boolean;
  readonly json?: boolean;
}

/** What `doctor --json` prints. */
interface DoctorReport {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly v8: string;
  readonly memoryGiB: { readonly total: number; readonly free: number };
  readonly kernelVariant: string;
  /** GFLOP/s of one core with 128-bit multiply-adds; null without WebAssembly SIMD. */
  readonly multiplyAddLimit: number | null;
  readonly step: {
    readonly d: number;
    readonly latents: number;
    readonly k: number;
    readonly batch: number;
    readonly workers: number;
    readonly wideSimd: boolean;
    /** Memory of the run, in MB. */
    readonly arenaMb: number;
    readonly activationsPerSecond: number;
    /** 2·d·latents per activation as a multiple of one core's limit times the workers. */
    readonly shareOfLimit: number | null;
  };
}

/** Steps that are timed after the first, in which the engine compiles. */
const TIMED_STEPS = 3;

/** Adds the command to `program`. */
export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description("what this machine offers: cores, kernels, memory, and the speed of a TopK training step")
    .option("--d <n>", "dimension of the activations", parseCount, 768)
    .option("--latents <n>", "number of dictionary units", parseCount, 12_288)
    .option("--k <n>", "active latents per row", parseCount, 32)
    .option("--batch <n>", "rows of a mini-batch", parseCount, 4096)
    .option("--workers <n>", "worker threads", parseCount, availableParallelism())
    .addOption(new Option("--experimental-wide-simd", "with 256-bit vectors by an experimental flag of V8"))
    .option("--json", "print one JSON object")
    .action(async (flags: DoctorFlags) => {
      const report = await examine(flags);
      process.stdout.write(
        flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${describe(report)}\n`,
      );
    });
}

async function examine(flags: DoctorFlags): Promise<DoctorReport> {
  const { d, latents, k, batch, workers } = flags;
  const wideSimd = flags.experimentalWideSimd ?? false;
  const plan = planRun({ setup: setupOf(flags), workers });
  const kernelVariant = bestKernelVariant();
  const limit = multiplyAddLimit(kernelVariant) ?? null;
  const seconds = await timeStep(plan, wideSimd);
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
    v8: process.versions.v8,
    memoryGiB: { total: totalmem() / 2 ** 30, free: freemem() / 2 ** 30 },
    kernelVariant,
    multiplyAddLimit: limit,
    step: {
      d,
      latents,
      k,
      batch,
      workers,
      wideSimd,
      arenaMb: bytesByRole(plan).reduce((sum, [, bytes]) => sum + bytes, 0) / 1e6,
      activationsPerSecond: batch / seconds,
      shareOfLimit: limit === null ? null : (2 * d * latents * batch) / seconds / 1e9 / (limit * workers),
    },
  };
}

function setupOf({ d, latents, k, batch }: DoctorFlags): Setup {
  const schedule = (peak: number) => ({ peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1 + TIMED_STEPS });
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
      learningRate: schedule(1e-4),
      l1Coefficient: schedule(0),
      adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
      deadWindow: 10 * batch,
    },
  };
}

/** Seconds of a training step on random rows: the median of a few, through the real worker team. */
async function timeStep(plan: Plan, wideSimd: boolean): Promise<number> {
  await using team = new Team(plan, { wideSimd });
  const { batchRows } = plan.setup.training;
  initialise(team.arena, { seed: 0 });
  for (const slot of team.arena.slots) for (let i = 0; i < slot.length; i++) slot[i] = Math.random() - 0.5;
  const seconds: number[] = [];
  for (let step = 0; step <= TIMED_STEPS; step++) {
    await team.freeSlot();
    const began = performance.now();
    team.publish({ step, rows: batchRows, examplesBefore: step * batchRows, train: true });
    await team.waitFor(step + 1);
    if (step > 0) seconds.push((performance.now() - began) / 1000);
  }
  await team.stop();
  return seconds.sort((a, b) => a - b)[Math.floor(seconds.length / 2)];
}

function describe({
  cpu,
  cores,
  node,
  v8,
  memoryGiB,
  kernelVariant,
  multiplyAddLimit: limit,
  step,
}: DoctorReport): string {
  return [
    `machine  ${cpu}, ${cores} cores, ${memoryGiB.total.toFixed(1)} GiB memory (${memoryGiB.free.toFixed(1)} free)`,
    `engine   Node ${node}, V8 ${v8}`,
    `kernels  ${kernelVariant}${limit === null ? " (no WebAssembly SIMD here: slow)" : `, limit ${limit.toFixed(1)} GFLOP/s per core (128-bit multiply-adds)`}`,
    `step     TopK, d ${step.d}, ${formatCount(step.latents)} latents, k ${step.k}, batch ${formatCount(step.batch)}, ${step.workers} workers${step.wideSimd ? ", 256-bit vectors" : ""}:`,
    `         ${formatCount(step.activationsPerSecond)} activations/s, arena ${formatCount(step.arenaMb)} MB`,
    ...(step.shareOfLimit === null
      ? []
      : [
          `         the encoder's products alone at the limit would take ${(100 * step.shareOfLimit).toFixed(0)} % of that time`,
        ]),
  ].join("\n");
}
