/** The command line: options in, a table to `out`, progress to `progress`, JSON to a file if asked. */
import { writeFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { formatEnvironment } from "./environment.ts";
import { runSuites, type SuiteName, SUITES } from "./run.ts";
import type { Shape } from "./shapes.ts";
import { formatCorpus, formatScaling, formatSynthetic, formatTable } from "./table.ts";
import { type Variant, VARIANTS } from "./variants.ts";

/** Where text goes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly progress: (text: string) => void;
}

interface Options {
  readonly suite: readonly SuiteName[];
  readonly shape: readonly string[];
  readonly variant: readonly Variant[];
  readonly corpusGb?: number;
  readonly json?: string;
}

/** Reads a comma-separated list whose every entry must be known. */
export function listOf<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) =>
    text.split(",").map((text) => {
      const name = known.find((candidate) => candidate === text);
      if (name === undefined) {
        throw new InvalidArgumentError(`"${text}" must be one of ${known.join(", ")}.`);
      }
      return name;
    });
}

function gigabytes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1000)) throw new InvalidArgumentError("It must be above 0 and at most 1000.");
  return value;
}

/** The command `bench`, at the shapes it is given. Ends the process with status 2 when the request is wrong. */
export function benchCommand(shapes: readonly Shape[], { out, progress }: Output): Command {
  const shapeNames = shapes.map(({ name }) => name);
  return new Command("bench")
    .description(
      "Times kernels, whole training steps, the trainer over its workers, the way of the data, and rows made while training: fixed rounds, variants in turn, medians.",
    )
    .option("--suite <names>", "suites to run, comma-separated", listOf<SuiteName>(SUITES), [...SUITES])
    .option("--shape <names>", "shapes to run at, comma-separated", listOf(shapeNames), shapeNames)
    .option("--variant <names>", "kernels to compare, comma-separated", listOf<Variant>(VARIANTS), [
      ...VARIANTS,
    ])
    .option(
      "--corpus-gb <n>",
      "size of the corpus that is read, in a temporary folder (default 2)",
      gigabytes,
    )
    .option("--json <file>", "also write environment and measurements to this file")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .action(async (options: Options) => {
      const report = await runSuites({
        suites: options.suite,
        shapes: shapes.filter(({ name }) => options.shape.includes(name)),
        variants: VARIANTS.filter((variant) => options.variant.includes(variant)),
        ...(options.corpusGb === undefined ? {} : { corpusGigabytes: options.corpusGb }),
        progress: (line) => progress(`${line}\n`),
      });
      const parts = [formatEnvironment(report.environment)];
      if (report.measurements.length > 0) parts.push(formatTable(report.measurements));
      if (report.scaling.length > 0) parts.push(formatScaling(report.scaling));
      if (report.corpus.length > 0) parts.push(formatCorpus(report.corpus));
      if (report.synthetic.length > 0) parts.push(formatSynthetic(report.synthetic));
      out(`${parts.join("\n\n")}\n`);
      if (options.json !== undefined)
        writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
    });
}
