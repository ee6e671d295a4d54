/** `sparseloom demo`: trains on the bundled word vectors and shows what was found. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { RequestError } from "../errors.ts";
import { inspect } from "../inspect.ts";
import { jsonText, printResult } from "../json.ts";
import { checkTrainRequest } from "../options.ts";
import { readRunConfig } from "../run/config.ts";
import { train } from "../train.ts";
import { parseCount, parseSeed, parseWorkers } from "./arguments.ts";
import { describeFeatures, keepReport } from "./inspect.ts";
import { describeResult, watched } from "./train.ts";

/** 20,000 GloVe words of 100 dimensions, see examples/glove. */
export const DEMO_CORPUS: string = fileURLToPath(
  new URL("../../../../examples/glove/glove-20k-100d.arrow", import.meta.url),
);

/** 512 latents for 100 dimensions, six active: features of a few dozen words each. */
export const DEMO_OPTIONS = {
  arch: "topk",
  latents: 512,
  k: 6,
  init: "data",
  epochs: 10,
  batch: 256,
  lr: 4e-3,
  logEvery: 8,
};

interface DemoFlags {
  readonly out?: string;
  readonly seed: number;
  readonly workers: number;
  readonly examples?: number;
  readonly json?: boolean;
}

/** Adds arguments, options and the action to `command`. */
export function defineDemo(command: Command): void {
  command
    .option("--out <run directory>", "default: runs/demo, runs/demo-2, …")
    .option("--seed <n>", "decides everything random", parseSeed, 0)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--examples <n>", "train on fewer examples, to try it out", parseCount)
    .option("--json", "print one JSON object: training as of train, inspection as of inspect")
    .action(async (flags: DemoFlags) => {
      if (!existsSync(DEMO_CORPUS))
        throw new RequestError(
          "the demo runs from a clone of the repository: examples/glove/glove-20k-100d.arrow is missing",
        );
      const { epochs, ...fixed } = DEMO_OPTIONS;
      const length = flags.examples === undefined ? { epochs } : { examples: flags.examples };
      const options = checkTrainRequest({ ...fixed, ...length, seed: flags.seed, workers: flags.workers });
      const runDirectory = flags.out ?? freeRunDirectory();
      const result = await watched((hooks) => train([DEMO_CORPUS], options, runDirectory, hooks));
      if (flags.json !== true)
        process.stdout.write(`${describeResult(result, (await readRunConfig(runDirectory)).setup.model)}\n`);
      if (!result.complete) {
        if (flags.json === true) process.stdout.write(jsonText({ training: result, inspection: null }));
        return;
      }
      const report = await inspect(runDirectory, [DEMO_CORPUS], {
        features: 10,
        top: 8,
        rows: 20_000,
        workers: flags.workers,
      });
      await keepReport(runDirectory, report);
      printResult(
        flags.json,
        { training: result, inspection: report },
        () => `\n${describeFeatures(report)}\n\nrun directory: ${runDirectory}`,
      );
    });
}

function freeRunDirectory(): string {
  for (let number = 1; ; number++) {
    const path = join("runs", number === 1 ? "demo" : `demo-${number}`);
    if (!existsSync(path)) return path;
  }
}
