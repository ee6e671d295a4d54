/** `sparseloom corpus generate`: a synthetic corpus of known features, which are written beside it. */
import { encodeSafetensors, type SafetensorsInput } from "@sparseloom/core";
import {
  createSynthetic,
  FEATURE_MODEL_PRESETS,
  featureModelPreset,
  type KnownFeatures,
  openKnownFeatures,
  parseScale,
  requireFree,
  type RowsToWrite,
  scaleFeatureModel,
  type SyntheticOptions,
  writeCorpus,
} from "@sparseloom/data";
import { type Command, Option } from "commander";
import { RequestError } from "../../errors.ts";
import { printResult } from "../../json.ts";
import { counted } from "../../progress.ts";
import { writeFileWhole } from "../../run/write-folder.ts";
import { TaskProgress } from "../../task-progress.ts";
import { parseAmount, parseCount, parseSeed } from "../arguments.ts";

/** Flags that a preset has answered. */
const TOY_FLAGS = ["d", "features", "probability", "active", "magnitude", "spread", "uniform", "noise"];

/** Adds the command to the group `corpus`. */
export function addCorpusGenerate(corpus: Command): void {
  corpus
    .command("generate")
    .description("make a synthetic corpus of known features; they are written beside it as safetensors")
    .argument("<file>", "Arrow IPC file to write")
    .requiredOption("--rows <n>", "number of rows", parseCount)
    .addOption(new Option("--preset <name>", "a published feature model, see below").conflicts(TOY_FLAGS))
    .option("--scale <share>", "a smaller copy of the preset, such as 1/4", parseScale)
    .option("--d <n>", "dimension of the activations", parseCount)
    .option("--features <n>", "number of true features", parseCount)
    .option("--seed <n>", "decides everything random (default: the preset's; without one 0)", parseSeed)
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
    .option("--overwrite", "replace existing files")
    .option("--json", "print one JSON object")
    .addHelpText("after", () => `\nPresets:\n${presetLines().join("\n")}`)
    .action(runGenerate);
}

function presetLines(): string[] {
  return Object.entries(FEATURE_MODEL_PRESETS).map(
    ([name, { description }]) => `  ${name.padEnd(18)} ${description}`,
  );
}

interface GenerateFlags {
  readonly preset?: string;
  readonly scale?: number;
  readonly d?: number;
  readonly features?: number;
  readonly rows: number;
  readonly seed?: number;
  readonly probability?: number;
  readonly active?: number;
  readonly magnitude: number;
  readonly spread: number;
  readonly uniform?: boolean;
  readonly noise: number;
  readonly type: "float32" | "float16";
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

/** What is written: rows in any order and number, and the truth about them. */
interface Source {
  readonly dIn: number;
  readonly fill: (into: Float32Array, firstRow: number, rows: number) => void;
  readonly truth: Readonly<Record<string, SafetensorsInput>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Numbers made at once. */
const CHUNK_NUMBERS = 2 ** 20;

async function runGenerate(path: string, flags: GenerateFlags): Promise<void> {
  const { type, overwrite = false } = flags;
  const truth = `${path}.features.safetensors`;
  await requireFree([path, truth], overwrite);
  const source = flags.preset === undefined ? toySource(flags) : await presetSource(flags.preset, flags);
  const { dIn } = source;
  const chunkRows = Math.max(1, Math.floor(CHUNK_NUMBERS / dIn));
  using progress = new TaskProgress(`generating ${path}`);
  function* batches(): Iterable<RowsToWrite> {
    for (let first = 0; first < flags.rows; first += chunkRows) {
      const count = Math.min(chunkRows, flags.rows - first);
      const values = new Float32Array(count * dIn);
      source.fill(values, first, count);
      yield { values };
      progress.update(first + count, flags.rows);
    }
  }
  const written = await writeCorpus(path, { dIn, type, overwrite }, batches());
  await writeFileWhole(truth, [encodeSafetensors(source.truth, source.metadata)]);
  const { rows, bytes } = written;
  printResult(
    flags.json,
    { path, rows, dIn, bytes, features: truth },
    () =>
      `${path}: ${counted(rows, "row")} × ${dIn}, ${(bytes / 1e6).toFixed(1)} MB; true features in ${truth}`,
  );
}

async function presetSource(name: string, { scale = 1, seed }: GenerateFlags): Promise<Source> {
  const { options } = featureModelPreset(name);
  using progress = new TaskProgress("pushing the directions apart (once, then they are kept)");
  const known = await openKnownFeatures(
    { ...scaleFeatureModel(options, scale), ...(seed === undefined ? {} : { seed }) },
    {
      onStep: (done, steps) => progress.update(done, steps),
      onNotice: (line) => process.stderr.write(`${line}\n`),
    },
  );
  return {
    dIn: known.model.options.dIn,
    fill: known.fill,
    truth: truthOf(known),
    metadata: { preset: name, generator: JSON.stringify(known.model.options) },
  };
}

/** The ground truth as tensors. */
function truthOf({ model, directions }: KnownFeatures): Record<string, SafetensorsInput> {
  const { features, dIn } = model.options;
  const perFeature = (data: Float64Array): SafetensorsInput => ({
    shape: [features],
    data: Float32Array.from(data),
  });
  return {
    directions: { shape: [features, dIn], data: directions },
    probability: perFeature(model.probability),
    drawn_probability: perFeature(model.drawnProbability),
    parent: { shape: [features], data: model.parent },
    magnitude: perFeature(model.magnitude),
    magnitude_sd: perFeature(model.magnitudeSd),
    bias: { shape: [dIn], data: model.bias },
  };
}

/** The probability of SAELens's first toy, taken when neither --probability nor --active is given. */
const DEFAULT_PROBABILITY = 0.25;

function toySource(flags: GenerateFlags): Source {
  const { d: dIn, features, seed = 0, magnitude: mean, spread, noise } = flags;
  if (dIn === undefined || features === undefined) {
    const names = Object.keys(FEATURE_MODEL_PRESETS).join(", ");
    throw new RequestError(`name a --preset (${names}), or give --d and --features`);
  }
  if (flags.scale !== undefined) throw new RequestError("--scale is for a --preset; give another --features");
  if (flags.active !== undefined && flags.active > features) {
    throw new RequestError(`--active must be at most --features ${features}, got ${flags.active}`);
  }
  if (flags.uniform && spread > mean)
    throw new RequestError(
      `--spread must be at most --magnitude ${mean} with --uniform, got ${spread}: some magnitudes would be negative`,
    );
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
  const { directions, fill } = createSynthetic(options);
  return {
    dIn,
    fill,
    truth: { directions: { shape: [features, dIn], data: directions } },
    metadata: { generator: JSON.stringify(options) },
  };
}
