/**
 * `pnpm bench:peers`: our training step and those of other systems, in turn, in one run; one table of ratios.
 * Installs the npm peers on first use. Python's are used where they are; what is missing is listed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { listOf } from "../src/command.ts";
import { type Environment, formatEnvironment, readEnvironment } from "../src/environment.ts";
import { LineProcess } from "../src/line-process.ts";
import { median } from "../src/measure.ts";
import { type Shape, SHAPES } from "../src/shapes.ts";
import { digits } from "../src/table.ts";
import { Trainer, type TrainerModel } from "../src/trainer.ts";
import {
  effortFor,
  type PeerCase,
  PEERS,
  peerShape,
  type PeerSystem,
  SYSTEMS,
  TUNED_ENVIRONMENT,
} from "./cases.ts";
import { formatRace, race, type RaceLine } from "./race.ts";
import { formatLines, type Line, linesOf, type Result } from "./results.ts";

const MODELS: readonly TrainerModel[] = ["topk", "relu", "deep"];

interface Options {
  readonly shape: readonly string[];
  readonly model: readonly TrainerModel[];
  readonly wide: boolean;
  readonly hugePages: boolean;
  readonly install: boolean;
  readonly oneThread: boolean;
  readonly race: boolean;
  readonly raceSteps: number;
  readonly json?: string;
}

interface Missing {
  readonly name: string;
  readonly reason: string;
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`);
const python = process.env["SPARSELOOM_PYTHON"] ?? "python3";
/** Until the threads of the contender before have stopped spinning. */
const PAUSE_MS = 200;

/** The script of a system's process, and for npm's the folder of what it needs. */
const SYSTEM_FILES: Readonly<Record<PeerSystem, { readonly script: string; readonly folder?: string }>> = {
  torch: { script: "torch_step.py" },
  onnx: { script: "onnx-step.ts", folder: "node_modules/onnxruntime-node" },
  tfjs: { script: "tfjs-step.ts", folder: "node_modules/@tensorflow" },
};
const INSTALL = [
  "--yes",
  "pnpm@12",
  "install",
  "--ignore-workspace",
  "--frozen-lockfile",
  "--ignore-scripts",
];

/** Why a system cannot be measured, with the command that would change it; undefined when it can. */
function missingSystem(system: PeerSystem, install: boolean): string | undefined {
  const { folder } = SYSTEM_FILES[system];
  if (folder === undefined) {
    const found = spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0;
    return found ? undefined : "python3 -m pip install torch   (or SPARSELOOM_PYTHON=<a Python that has it>)";
  }
  const found = (): boolean => existsSync(join(import.meta.dirname, folder));
  if (!found() && install) {
    progress("installing the npm peers into benchmarks/peers");
    spawnSync("npx", INSTALL, { cwd: import.meta.dirname, stdio: ["ignore", "ignore", "inherit"] });
  }
  return found() ? undefined : `cd benchmarks/peers && npx ${INSTALL.join(" ")}`;
}

function startPeer({ name, system, tuned }: Pick<PeerCase, "name" | "system" | "tuned">): LineProcess {
  return new LineProcess({
    name,
    command: system === "torch" ? python : process.execPath,
    arguments: [join(import.meta.dirname, SYSTEM_FILES[system].script)],
    environment: tuned ? TUNED_ENVIRONMENT : {},
  });
}

/** A peer's uncounted steps with each number of threads: memory is found, graphs are made. */
const WARMUP_STEPS = 2;

/** Everyone takes a turn in every round: ours, ours wide, then each peer. */
async function compare(
  shape: Shape,
  model: TrainerModel,
  peers: readonly PeerCase[],
  options: Options,
  missing: Missing[],
): Promise<Result[]> {
  const { rounds, warmupSteps, ourSteps, peerSteps } = effortFor(shape, model);
  const cores = availableParallelism();
  const threadCounts = options.oneThread && cores > 1 ? [cores, 1] : [cores];
  await using stack = new AsyncDisposableStack();
  const trainer = stack.use(await Trainer.open());
  const results: Result[] = [];
  const turns: { readonly result: Result; readonly turn: () => Promise<number>; readonly rounds: number }[] =
    [];
  const enter = (
    contender: string,
    ours: boolean,
    threads: number,
    turn: () => Promise<number>,
    most = rounds,
  ) => {
    const result: Result = { contender, ours, model, shape: shape.name, threads, rates: [] };
    results.push(result);
    turns.push({ result, turn, rounds: most });
  };

  const more = options.hugePages ? ["--experimental-huge-pages"] : [];
  for (const threads of threadCounts) {
    for (const wide of options.wide ? [false, true] : [false]) {
      const run = { shape, model, workers: threads, wide, steps: ourSteps, warmupSteps, options: more };
      const name = ["Sparseloom", ...(wide ? ["--experimental-wide-simd"] : []), ...more].join(" ");
      enter(name, true, threads, () => trainer.rate(run));
    }
  }
  for (const peer of peers) {
    const process = stack.use(startPeer(peer));
    try {
      await process.ask({ open: { ...peer.open, shape: peerShape(shape) } });
    } catch (error) {
      missing.push({ name: `${peer.name} at ${shape.name}`, reason: (error as Error).message });
      continue;
    }
    // Nothing is warmed up, and one turn is enough, where a step takes most of a minute.
    const slow = peer.system === "tfjs" && shape.name !== "S";
    for (const threads of peer.threads ? threadCounts : [1]) {
      if (!slow) await process.ask({ run: WARMUP_STEPS, threads });
      const turn = async (): Promise<number> => {
        const { ms } = await process.ask<{ ms: number[] }>({ run: slow ? 1 : peerSteps, threads });
        return (1000 * shape.rows) / median(ms);
      };
      enter(peer.name, false, threads, turn, slow ? 1 : rounds);
    }
  }

  for (let round = 0; round < rounds; round++) {
    for (const { result, turn, rounds: most } of turns) {
      if (round >= most) continue;
      await pause(PAUSE_MS);
      const rate = await turn();
      result.rates.push(rate);
      const { contender, threads } = result;
      progress(
        `${shape.name} ${model}, turn ${round + 1} of ${most}: ${contender}, ${threads} threads: ${digits(rate)}/s`,
      );
    }
  }
  return results;
}

interface Report {
  readonly environment: Environment;
  readonly lines: readonly Line[];
  readonly races: readonly RaceLine[];
  readonly missing: readonly Missing[];
}

/** Where the race is over the first steps of training, and where over some from stored states. */
const RACE_FROM_START = "M";
const RACE_FROM_STATES = "L";

async function runRaces({ shape, raceSteps }: Options): Promise<RaceLine[]> {
  const lines: RaceLine[] = [];
  for (const name of [RACE_FROM_START, RACE_FROM_STATES].filter((name) => shape.includes(name))) {
    const steps = name === RACE_FROM_START ? raceSteps : undefined;
    const startPyTorch = (): LineProcess =>
      startPeer({ name: "PyTorch, dense ReLU + L1", system: "torch", tuned: false });
    lines.push(
      ...(await race({ shape: SHAPES.find((one) => one.name === name)!, steps, startPyTorch, progress })),
    );
  }
  return lines;
}

async function run(options: Options): Promise<Report> {
  const missing: Missing[] = [];
  const systems = new Map<PeerSystem, boolean>();
  for (const system of SYSTEMS) {
    const reason = missingSystem(system, options.install);
    systems.set(system, reason === undefined);
    if (reason !== undefined) missing.push({ name: system, reason: `not installed: ${reason}` });
  }
  const results: Result[] = [];
  for (const shape of SHAPES.filter(({ name }) => !options.race && options.shape.includes(name))) {
    for (const model of MODELS.filter((name) => options.model.includes(name))) {
      const comparable = PEERS.filter((peer) => peer.model === model && peer.shapes.includes(shape.name));
      const peers = comparable.filter(({ system }) => systems.get(system));
      if (comparable.length > 0) results.push(...(await compare(shape, model, peers, options, missing)));
    }
  }
  const races = options.race && systems.get("torch") ? await runRaces(options) : [];
  return { environment: readEnvironment(), lines: linesOf(results), races, missing };
}

function wholeSteps(text: string): number {
  const steps = Number(text);
  if (!Number.isInteger(steps) || steps < 8)
    throw new InvalidArgumentError("It must be a whole number from 8 on.");
  return steps;
}

const shapeNames = SHAPES.map(({ name }) => name);
await new Command("bench:peers")
  .description("Times our training step and other systems' in turn, and prints the ratios.")
  .option("--shape <names>", "shapes to run at, comma-separated", listOf(shapeNames), shapeNames)
  .option("--model <names>", "models to compare, comma-separated", listOf<TrainerModel>(MODELS), [...MODELS])
  .option("--no-wide", "leave out our opt-in mode with 256-bit vectors")
  .option("--huge-pages", "ours with --experimental-huge-pages", false)
  .option("--no-one-thread", "measure with all cores only")
  .option(
    "--race",
    "instead: ReLU + L1 against PyTorch from one state on, the first steps at M, and 20 steps from several densities at L; an hour or so",
    false,
  )
  .option("--race-steps <n>", "steps of the race at M", wholeSteps, 2000)
  .option("--no-install", "do not install missing npm packages")
  .option("--json <file>", "also write environment and results to this file")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (options: Options) => {
    const report = await run(options);
    const table = options.race ? formatRace(report.races) : formatLines(report.lines);
    process.stdout.write(`${formatEnvironment(report.environment)}\n\n${table}\n`);
    for (const { name, reason } of report.missing) process.stdout.write(`\n${name}: ${reason}\n`);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  })
  .parseAsync();
