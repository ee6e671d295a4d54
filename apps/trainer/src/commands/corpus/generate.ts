/** `sparseloom corpus generate`: a synthetic corpus of known features. */
import { encodeSafetensors } from "@sparseloom/core";
import { createSynthetic, type RowsToWrite, type SyntheticOptions, writeCorpus } from "@sparseloom/data";
import { type Command, Option } from "commander";
import { RequestError } from "../../errors.ts";
import { formatCount } from "../../progress.ts";
import { writeFileWhole } from "../../run/write-folder.ts";
import { parseAmount, parseCount, parseSeed } from "../arguments.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusGenerate(corpus: Command): void {
  corpus
    .command("generate")
    .description("make a synthetic corpus of known features; they are written beside it as safetensors")
    .argument("<file>", "Arrow IPC file to write")
    .requiredOption("--d <n>", "dimension of the activations", parseCount)
    .requiredOption("--features <n>", "number of true features", parseCount)
    .requiredOption("--rows <n>", "number of rows", parseCount)
    .option("--seed <n>", "decides everything random", parseSeed, 0)
    .addOption(
      new Option("--probability <p>", "each feature is active with this probability")
        .argParser(parseAmount)
        .conflicts("active"),
    )
    .option("--active <n>", "exactly this many features are active in each row", parseCount)
    .option("--magnitude <mean>", "mean magnitude of an active feature", parseAmount, 1)
    .option(
      "--spread <width>",
      "sd of the (normal) magnitude, or half-width with --uniform",
      parseAmount,
      0.05,
    )
    .option("--uniform", "magnitudes uniform instead of normal")
    .option("--noise <sd>", "sd of normal noise on every dimension", parseAmount, 0)
    .addOption(
      new Option("--type <type>", "how numbers are stored")
        .choices(["float32", "float16"])
        .default("float32"),
    )
    .option("--overwrite", "replace an existing file")
    .action(runGenerate);
}

interface GenerateFlags {
  readonly d: number;
  readonly features: number;
  readonly rows: number;
  readonly seed: number;
  readonly probability?: number;
  readonly active?: number;
  readonly magnitude: number;
  readonly spread: number;
  readonly uniform?: boolean;
  readonly noise: number;
  readonly type: "float32" | "float16";
  readonly overwrite?: boolean;
}

/** The probability of SAELens's first toy, taken when neither --probability nor --active is given. */
const DEFAULT_PROBABILITY = 0.25;
/** Numbers made at once. */
const CHUNK_NUMBERS = 2 ** 20;

async function runGenerate(path: string, flags: GenerateFlags): Promise<void> {
  const { d: dIn, features, rows, seed, magnitude: mean, spread, noise, type } = flags;
  if (flags.active !== undefined && flags.active > features) {
    throw new RequestError(`--active must be at most --features ${features}, got ${flags.active}`);
  }
  const options: SyntheticOptions = {
    dIn,
    features,
    seed,
    noise,
    active:
      flags.active === undefined
        ? { kind: "bernoulli", probability: flags.probability ?? DEFAULT_PROBABILITY }
        : { kind: "exactly", count: flags.active },
    magnitude: flags.uniform
      ? { kind: "uniform", low: mean - spread, high: mean + spread }
      : { kind: "normal", mean, sd: spread },
  };
  const synthetic = createSynthetic(options);
  const chunkRows = Math.max(1, Math.floor(CHUNK_NUMBERS / dIn));
  function* batches(): Iterable<RowsToWrite> {
    for (let first = 0; first < rows; first += chunkRows) {
      const count = Math.min(chunkRows, rows - first);
      const values = new Float32Array(count * dIn);
      synthetic.fill(values, first, count);
      yield { values };
    }
  }
  const written = await writeCorpus(path, { dIn, type, overwrite: flags.overwrite ?? false }, batches());
  const truth = `${path}.features.safetensors`;
  const metadata = { generator: JSON.stringify(options) };
  await writeFileWhole(truth, [
    encodeSafetensors({ directions: { shape: [features, dIn], data: synthetic.directions } }, metadata),
  ]);
  process.stdout.write(
    `${path}: ${formatCount(written.rows)} rows × ${dIn}, ${(written.bytes / 1e6).toFixed(1)} MB; true features in ${truth}\n`,
  );
}
