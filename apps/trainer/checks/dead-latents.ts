/**
 * Holds the recipes against dead latents to their word: on the configurations of dead-latent-cases.ts, more than 20 % of
 * the latents end without activation in the last 100,000 examples, and less than 1 % with the recipe.
 *
 *   node apps/trainer/checks/dead-latents.ts [--seeds 0,1,2] [--workers 2]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { train } from "../src/train.ts";
import { AUX_K_CASE, RESAMPLING_CASE } from "./dead-latent-cases.ts";

const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string", default: "0,1,2" },
    workers: { type: "string", default: String(availableParallelism()) },
  },
});
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sparseloom-dead-"));
let number = 0;

/** Share of latents that are dead at the end. */
async function deadShare(corpus: string, latents: number, options: TrainRequest): Promise<number> {
  const session: TrainRequest = { workers: Number(flags.workers), checkpointEvery: 1_000_000 };
  const request = checkTrainRequest({ ...options, ...session });
  const { dead } = await train([corpus], request, join(folder, String(number++)));
  return dead / latents;
}

try {
  for (const { name, corpus: args, options, recipe } of [AUX_K_CASE, RESAMPLING_CASE]) {
    const corpus = join(folder, `${number}.arrow`);
    execFileSync(process.execPath, [CLI, "corpus", "generate", corpus, ...args], { stdio: "ignore" });
    for (const seed of flags.seeds.split(",").map(Number)) {
      const without = await deadShare(corpus, options.latents, { ...options, seed });
      const withRecipe = await deadShare(corpus, options.latents, { ...options, ...recipe, seed });
      const ok = without > 0.2 && withRecipe < 0.01;
      process.stdout.write(
        `${name}, seed ${seed}: dead ${(100 * without).toFixed(2)} % without, ${(100 * withRecipe).toFixed(2)} % with: ${ok ? "ok" : "MISSED"}\n`,
      );
      if (!ok) process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
