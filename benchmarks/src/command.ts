/** The command line: options in, a table to `out`, progress to `progress`, JSON to a file if asked. */
import { writeFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { formatEnvironment } from "./environment.ts";
import { runSuites, type SuiteName, SUITES } from "./run.ts";
import type { Shape } from "./shapes.ts";
import { formatTable } from "./table.ts";

/** Where text goes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly progress: (text: string) => void;
}

interface Options {
  readonly suite: readonly SuiteName[];
  readonly shape: readonly string[];
  readonly json?: string;
}

/** Reads a comma-separated list whose every entry must be known. */
function listOf(known: readonly string[]): (text: string) => string[] {
  return (text) =>
    text.split(",").map((name) => {
      if (!known.includes(name)) {
        throw new InvalidArgumentError(`"${name}" must be one of ${known.join(", ")}.`);
      }
      return name;
    });
}

/** The command `bench`, at the shapes it is given. Ends the process with status 2 when the request is wrong. */
export function benchCommand(shapes: readonly Shape[], { out, progress }: Output): Command {
  const suiteNames = Object.keys(SUITES);
  const shapeNames = shapes.map(({ name }) => name);
  return new Command("bench")
    .description("Times the kernels and whole training steps on one thread, a fixed number of runs each.")
    .option("--suite <names>", "suites to run, comma-separated", listOf(suiteNames), suiteNames)
    .option("--shape <names>", "shapes to run at, comma-separated", listOf(shapeNames), shapeNames)
    .option("--json <file>", "also write environment and measurements to this file")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .action((options: Options) => {
      const report = runSuites(
        options.suite,
        shapes.filter(({ name }) => options.shape.includes(name)),
        ({ suite, name, shape }) => progress(`${suite}: ${name} at ${shape}\n`),
      );
      out(`${formatEnvironment(report.environment)}\n\n${formatTable(report.measurements)}\n`);
      if (options.json !== undefined) {
        writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
      }
    });
}
