/** `pnpm bench:science`: trains on data whose features are known, beside PyTorch, and says which claims hold. */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { listOf } from "../src/command.ts";
import { type Environment, formatEnvironment, readEnvironment } from "../src/environment.ts";
import { FULL_SIZE, formatPredictions, fullRuns, predict, QUICK_SIZE, runFull } from "./full.ts";
import { hasPyTorch, WITHOUT_PYTORCH } from "./pytorch.ts";
import { runScience } from "./science.ts";
import { QUICK_STUDIES, STUDIES } from "./studies.ts";
import { formatClaims, formatLines } from "./table.ts";
import { Workbench } from "./workbench.ts";

interface Options {
  readonly quick: boolean;
  readonly pytorch: boolean;
  readonly seeds?: readonly number[];
  readonly workers: number;
  readonly study: readonly string[];
  readonly full: boolean;
  readonly run: boolean;
  readonly out: string;
  readonly json?: string;
}

/** Trainings of a λ at most. */
const MOST_TRIES = 6;

const progress = (line: string): void => void process.stderr.write(`${line}\n`);

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return value;
}

function seedList(text: string): number[] {
  const seeds = text.split(",").map(Number);
  if (!seeds.every((seed) => Number.isInteger(seed) && seed >= 0) || new Set(seeds).size < seeds.length)
    throw new InvalidArgumentError("It must be different whole numbers, comma-separated.");
  return seeds;
}

/** What is printed and written. */
interface Outcome {
  readonly environment: Environment;
  readonly text: readonly string[];
  readonly report: object;
}

async function runStudies({ quick, pytorch, seeds, workers, study }: Options): Promise<Outcome> {
  const studies = (quick ? QUICK_STUDIES : STUDIES).filter(({ preset }) => study.includes(preset));
  const withPyTorch = pytorch && hasPyTorch();
  await using bench = await Workbench.open({
    workers,
    seeds: seeds ?? (quick ? [0, 1] : [0, 1, 2]),
    progress,
  });
  const tries = quick ? 1 : MOST_TRIES;
  const report = await runScience(bench, { studies, workers, pytorch: withPyTorch, tries, progress });
  const notes = pytorch && !withPyTorch ? [WITHOUT_PYTORCH] : [];
  const text = [formatLines(report.lines), ...notes, formatClaims(report.claims)];
  return { environment: readEnvironment(), text, report: { studies, ...report } };
}

async function runPublished({ quick, workers, run, out }: Options): Promise<Outcome> {
  const size = quick ? QUICK_SIZE : FULL_SIZE;
  const runs = fullRuns(size, out);
  const predictions = await predict(size, runs, workers, progress);
  const text = [formatPredictions(size, predictions)];
  if (!run) return { environment: readEnvironment(), text, report: { size, predictions } };
  progress(text[0]);
  const lines = await runFull(size, runs, workers);
  text.push(formatLines(lines));
  return { environment: readEnvironment(), text, report: { size, predictions, lines } };
}

const presets = STUDIES.map(({ preset }) => preset);
await new Command("bench:science")
  .description(
    "Trains on data whose features are known, beside PyTorch, and says which claims hold: about fifteen minutes.",
  )
  .option(
    "--quick",
    "sizes that take seconds, to see that everything runs; claims do not hold at them",
    false,
  )
  .option("--seeds <n,n,…>", "seeds of the first parameters (default 0,1,2; with --quick 0,1)", seedList)
  .option("--study <names>", "presets of data, comma-separated", listOf(presets), presets)
  .option("--no-pytorch", "leave out PyTorch's training")
  .option("--workers <n>", "threads of ours and of PyTorch's", wholeNumber, availableParallelism())
  .option("--full", "instead: the published run's commands, and the time that each would take here", false)
  .option("--run", "with --full: run them, or go on with them", false)
  .option("--out <folder>", "with --full: where the runs are", "runs/science")
  .option("--json <file>", "also write everything to this file")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (options: Options) => {
    const { environment, text, report } = options.full
      ? await runPublished(options)
      : await runStudies(options);
    process.stdout.write(`${[formatEnvironment(environment), ...text].join("\n\n")}\n`);
    if (options.json !== undefined)
      writeFileSync(options.json, `${JSON.stringify({ environment, ...report }, undefined, 2)}\n`);
  })
  .parseAsync();
