/** `sparseloom byhand autoencoder|sparse`: a training step worked out as on paper. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { walkAutoencoder } from "../byhand/autoencoder.ts";
import { AUTOENCODER, type Examples, SPARSE } from "../byhand/examples.ts";
import { readExamples } from "../byhand/input.ts";
import { formatWalkthrough } from "../byhand/layout.ts";
import { walkSparse } from "../byhand/sparse.ts";
import type { Walkthrough } from "../byhand/walkthrough.ts";
import { RequestError } from "../errors.ts";
import { parseAmount, parseCount, parseSeed } from "./arguments.ts";

interface CommonFlags {
  readonly input?: string;
  readonly lr: number;
  readonly steps: number;
  readonly seed?: number;
  readonly json?: boolean;
}

interface AutoencoderFlags extends CommonFlags {
  readonly widths?: readonly number[];
  readonly outputActivation: "relu" | "linear";
}

interface SparseFlags extends CommonFlags {
  readonly latents: number;
  readonly l1: number;
  readonly k?: number;
}

/** Adds arguments, options and the action to `command`. */
export function defineByhand(command: Command): void {
  addCommonOptions(command.command("autoencoder"))
    .description("an autoencoder: four layers with ReLU, backpropagation, one update by Adam")
    .option(
      "--widths <n,n,…>",
      "widths of all layers, the input's first (default: 4,3,2,3,4 for four features)",
      parseWidths,
    )
    .addOption(
      new Option("--output-activation <name>", "of the last layer")
        .choices(["relu", "linear"])
        .default("relu"),
    )
    .action(async (flags: AutoencoderFlags) => {
      const examples = await examplesOf(flags, AUTOENCODER.examples);
      const widths = flags.widths ?? widthsFor(examples);
      if (widths[0] !== examples.rows[0]?.length) {
        throw new RequestError(
          `--widths must begin with ${examples.rows[0]?.length}, the examples' number of features, got ${widths.join(",")}`,
        );
      }
      print(
        walkAutoencoder(examples, {
          ...commonOptions(flags),
          widths,
          outputActivation: flags.outputActivation,
        }),
        flags,
      );
    });
  addCommonOptions(command.command("sparse"))
    .description(
      "a sparse autoencoder: ReLU with the L1 penalty (or TopK), both gradients, one update by Adam",
    )
    .option("--latents <n>", "dictionary units", parseLatents, SPARSE.b_enc.length)
    .addOption(
      new Option("--l1 <λ>", "weight of the L1 penalty").argParser(parseAmount).default(0.5).conflicts("k"),
    )
    .option("--k <n>", "TopK: active latents per example, instead of the penalty", parseCount)
    .action(async (flags: SparseFlags) => {
      const examples = await examplesOf(flags, SPARSE.examples);
      const { latents, l1, k } = flags;
      print(walkSparse(examples, { ...commonOptions(flags), latents, l1, k }), flags);
    });
}

function addCommonOptions(command: Command): Command {
  return command
    .option(
      "--input <file.csv>",
      "own examples: one per line, numbers separated by commas (default: the built-in ones)",
    )
    .option("--lr <n>", "learning rate", parseAmount, 0.1)
    .option("--steps <n>", "updates; the first is shown in full", parseSteps, 1)
    .option(
      "--seed <n>",
      "draw initial weights at random (default: the example's own, where they fit)",
      parseSeed,
    )
    .option("--json", "print one JSON object");
}

function commonOptions({ lr, steps, seed }: CommonFlags) {
  return { learningRate: lr, steps, seed };
}

async function examplesOf({ input }: CommonFlags, builtIn: Examples): Promise<Examples> {
  return input === undefined ? builtIn : await readExamples(input);
}

/** The example's own shape; with other numbers of features, half of them in the bottleneck. */
function widthsFor({ rows }: Examples): number[] {
  const dIn = rows[0]?.length ?? 0;
  const bottleneck = Math.max(1, Math.floor(dIn / 2));
  const hidden = Math.max(bottleneck, Math.ceil((dIn + bottleneck) / 2));
  return [dIn, hidden, bottleneck, hidden, dIn];
}

function print(walkthrough: Walkthrough, { json }: CommonFlags): void {
  const text = json ? JSON.stringify(walkthrough, undefined, 2) : formatWalkthrough(walkthrough);
  process.stdout.write(`${text}\n`);
}

/** More is not worked out by hand. */
const MOST_LATENTS = 128;
const MOST_STEPS = 100_000;

function parseLatents(text: string): number {
  const value = parseCount(text);
  if (value > MOST_LATENTS) throw new InvalidArgumentError(`expected at most ${MOST_LATENTS} by hand.`);
  return value;
}

function parseSteps(text: string): number {
  const value = parseCount(text);
  if (value > MOST_STEPS) throw new InvalidArgumentError(`expected at most ${MOST_STEPS}.`);
  return value;
}

function parseWidths(text: string): number[] {
  const widths = text.split(",").map(parseCount);
  if (widths.some((width) => width > MOST_LATENTS))
    throw new InvalidArgumentError(`expected at most ${MOST_LATENTS} by hand.`);
  return widths;
}
