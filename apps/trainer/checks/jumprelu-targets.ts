/**
 * Holds JumpReLU's quadratic penalty to its targets: with the recipe of README.md, L0 on training rows ends within 10 %
 * of 10, 20 and 40 on the bundled corpus and on a generated one, in under a thousand steps.
 *
 *   node apps/trainer/checks/jumprelu-targets.ts [--seeds 0,1,2] [--workers 2]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DEMO_CORPUS } from "../src/commands/demo.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { train } from "../src/train.ts";

const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string", default: "0,1,2" },
    workers: { type: "string", default: String(availableParallelism()) },
  },
});
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const GENERATED = "--rows 20000 --d 64 --features 512 --active 12 --noise 0.05 --seed 1".split(" ");
const RECIPE = {
  arch: "jumprelu",
  l0Penalty: "quadratic",
  initEncoderBias: "sparse",
  bandwidth: 0.2,
  lr: 3e-3,
  latents: 512,
  init: "data",
  batch: 256,
  epochs: 10,
} satisfies TrainRequest;

const folder = mkdtempSync(join(tmpdir(), "sparseloom-targets-"));
const generated = join(folder, "generated.arrow");
let number = 0;
try {
  execFileSync(process.execPath, [CLI, "corpus", "generate", generated, ...GENERATED], { stdio: "ignore" });
  for (const [name, corpus] of [
    ["bundled corpus", DEMO_CORPUS],
    ["generated corpus", generated],
  ] as const) {
    for (const targetL0 of [10, 20, 40]) {
      for (const seed of flags.seeds.split(",").map(Number)) {
        const options = checkTrainRequest({ ...RECIPE, targetL0, seed, workers: Number(flags.workers) });
        const { l0, fvu, steps } = await train([corpus], options, join(folder, String(number++)));
        const off = l0 / targetL0 - 1;
        const ok = Math.abs(off) < 0.1;
        process.stdout.write(
          `${name}, target ${targetL0}, seed ${seed}: L0 ${l0.toFixed(2)} (${(100 * off).toFixed(1)} %) after ${steps} steps, FVU ${fvu.toFixed(3)}: ${ok ? "ok" : "MISSED"}\n`,
        );
        if (!ok) process.exitCode = 1;
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
