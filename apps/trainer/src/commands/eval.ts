/** `sparseloom eval <model> <corpus...>`: a model's metrics on a corpus, in raw units. */
import { availableParallelism } from "node:os";
import { densityHistogram, type DensityHistogram } from "@sparseloom/core";
import {
  type Corpus,
  estimateStatistics,
  openCorpus,
  readStatistics,
  RowStream,
  type Split,
} from "@sparseloom/data";
import { type Command, Option } from "commander";
import { RequestError } from "../errors.ts";
import { evaluate } from "../evaluate.ts";
import { startModelTeam } from "../model-team.ts";
import { formatCount } from "../progress.ts";
import { type LoadedModel, readModel } from "../run/model-folder.ts";
import { parseCount, parseWorkers } from "./arguments.ts";

/** What `eval --json` prints. */
export interface EvalResult {
  readonly model: string;
  readonly split: Split;
  readonly rows: number;
  /** Mean over rows of ‖x − x̂‖², raw units. */
  readonly mse: number;
  readonly fvu: number;
  readonly l0: number;
  /** Latents that no evaluated row activated; the window is all evaluated rows. */
  readonly dead: number;
  readonly latents: number;
  readonly density: DensityHistogram;
  readonly warnings: readonly string[];
}

/** Options of {@link evaluateModel}. */
export interface EvalOptions {
  readonly column?: string | undefined;
  readonly split: Split;
  /** Rows at most. */
  readonly rows: number;
  readonly workers: number;
}

/** Evaluates a model folder (or a run's model) on a corpus. */
export async function evaluateModel(
  path: string,
  patterns: readonly string[],
  options: EvalOptions,
): Promise<EvalResult> {
  const loaded = await readModel(path);
  await using corpus = await openCorpus(
    patterns,
    options.column === undefined ? {} : { column: options.column },
  );
  const { seed, heldOut, documentColumn } = recordOf(loaded);
  const split = {
    seed,
    split: options.split,
    heldOut: documentColumn === undefined ? { fraction: heldOut } : { fraction: heldOut, documentColumn },
  };
  // Variance is measured about the whole corpus's mean, whichever split is evaluated.
  const statistics =
    (await readStatistics(corpus)) ?? (await estimateStatistics(corpus, { ...split, split: "all" }));
  const { team: started, transform } = startModelTeam(loaded, corpus, statistics.mean, options.workers);
  await using team = started;
  await using stream = new RowStream(corpus, { ...split, shuffle: "window", epochs: 1, transform });
  const found = await evaluate(team, stream, options.rows);
  await team.stop();
  if (found.rows === 0) {
    throw new RequestError(
      `no row of the corpus is in the split "${options.split}" at a held-out share of ${heldOut}: take --split all`,
    );
  }
  return {
    model: loaded.path,
    split: options.split,
    rows: found.rows,
    mse: found.mse / transform.scale ** 2,
    fvu: found.fvu,
    l0: found.l0,
    dead: found.neverActive,
    latents: found.fireCount.length,
    density: densityHistogram(found.fireCount, found.rows),
    warnings: [...foreignSplit(loaded, corpus, options.split), ...mismatches(loaded, statistics)],
  };
}

interface TrainingRecord {
  readonly seed: number;
  readonly heldOut: number;
  readonly documentColumn: string | undefined;
  /** Of the corpus that it was trained on. */
  readonly fingerprint: string | undefined;
  readonly corpus: { readonly meanNorm?: number; readonly totalVariance?: number };
}

/** What the model says of its training; a model of another tool says nothing. */
function recordOf({ cfg }: LoadedModel): TrainingRecord {
  const metadata = (cfg["metadata"] ?? {}) as Record<string, unknown>;
  const record = (metadata["sparseloom"] ?? {}) as Record<string, unknown>;
  return {
    seed: typeof record["seed"] === "number" ? record["seed"] : 0,
    heldOut: typeof record["heldOut"] === "number" ? record["heldOut"] : 0.01,
    documentColumn: typeof record["documentColumn"] === "string" ? record["documentColumn"] : undefined,
    fingerprint: typeof record["corpusFingerprint"] === "string" ? record["corpusFingerprint"] : undefined,
    corpus: (record["corpus"] ?? {}) as TrainingRecord["corpus"],
  };
}

/** Who is held out follows from a row's place in the corpus: in another corpus it says nothing about training. */
function foreignSplit(loaded: LoadedModel, corpus: Corpus, split: Split): string[] {
  const { fingerprint } = recordOf(loaded);
  if (split === "all" || fingerprint === corpus.fingerprint) return [];
  return [
    `the model was not trained on this very corpus (or does not say so): its "${split}" rows are not those of the training`,
  ];
}

/** Ratios of mean norm or variance beyond which a corpus is probably another layer, model or scaling. */
const MISMATCH_RATIO = 1.25;

function mismatches(loaded: LoadedModel, statistics: { meanNorm: number; totalVariance: number }): string[] {
  const { corpus } = recordOf(loaded);
  const check = (name: string, here: number, there: number | undefined): string[] => {
    if (there === undefined || there === 0 || here === 0) return [];
    const ratio = Math.max(here / there, there / here);
    return ratio <= MISMATCH_RATIO
      ? []
      : [
          `the corpus's ${name} is ${here.toPrecision(4)}, the model was trained on ${there.toPrecision(4)}: is it the same place in the same model?`,
        ];
  };
  return [
    ...check("mean norm", statistics.meanNorm, corpus.meanNorm),
    ...check("total variance", statistics.totalVariance, corpus.totalVariance),
  ];
}

/** Adds the command to `program`. */
export function addEvalCommand(program: Command): void {
  program
    .command("eval")
    .description("measure a model on a corpus: MSE, FVU, L0, dead latents, density")
    .argument("<model>", "model folder (SAELens format) or run directory")
    .argument("<corpus...>", "Arrow files, folders or globs")
    .option("--column <name>", "vector column (default: the only one there is)")
    .addOption(
      new Option("--split <split>", "which rows, by the seed and share in the model's metadata")
        .choices(["all", "train", "held-out"])
        .default("all"),
    )
    .option("--rows <n>", "rows at most", parseCount, 1_000_000)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--json", "print one JSON object")
    .action(async (model: string, patterns: string[], flags: EvalOptions & { json?: boolean }) => {
      const result = await evaluateModel(model, patterns, flags);
      for (const warning of result.warnings) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(
        flags.json ? `${JSON.stringify(result, undefined, 2)}\n` : `${describe(result)}\n`,
      );
    });
}

function describe(result: EvalResult): string {
  const lines = [
    `${result.model} on ${formatCount(result.rows)} rows (${result.split})`,
    `MSE ${result.mse.toPrecision(5)} (mean squared error per row, summed over dimensions, raw units)`,
    `FVU ${result.fvu.toFixed(4)} (explained variance ${(1 - result.fvu).toFixed(4)})`,
  ];
  if (result.latents === 0) return lines.join("\n");
  const { log10Edges, counts } = result.density;
  const widest = Math.max(1, ...counts);
  return [
    ...lines,
    `L0  ${result.l0.toFixed(2)}`,
    `dead ${formatCount(result.dead)} of ${formatCount(result.latents)} latents (never active on these rows)`,
    "activation density of latents:",
    ...log10Edges.map((edge, bin) => {
      const count = counts[bin] ?? 0;
      return `  10^${edge.toFixed(1).padStart(4)}  ${formatCount(count).padStart(7)}  ${"█".repeat(Math.round((30 * count) / widest))}`;
    }),
  ].join("\n");
}
