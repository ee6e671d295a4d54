/**
 * Runs the demo's training over several seeds and holds it to its promise: FVU ≤ 0.35 on training rows, at most
 * 1 % dead latents.
 *
 *   node apps/trainer/checks/demo.ts [--seeds 0,1,2]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEMO_CORPUS, DEMO_OPTIONS } from "../src/commands/demo.ts";
import { checkTrainRequest } from "../src/options.ts";
import { train } from "../src/train.ts";

const { values: flags } = parseArgs({ options: { seeds: { type: "string", default: "0,1,2" } } });
const folder = mkdtempSync(join(tmpdir(), "sparseloom-demo-"));
try {
  for (const seed of flags.seeds.split(",").map(Number)) {
    const result = await train(
      [DEMO_CORPUS],
      checkTrainRequest({ ...DEMO_OPTIONS, seed }),
      join(folder, String(seed)),
    );
    const dead = result.dead / DEMO_OPTIONS.latents;
    const ok = result.fvu <= 0.35 && dead <= 0.01;
    process.stdout.write(
      `seed ${seed}: FVU ${result.fvu.toFixed(4)}, held out ${result.heldOut?.fvu.toFixed(4)}, ` +
        `dead ${(100 * dead).toFixed(2)} %, ${result.seconds.toFixed(1)} s: ${ok ? "ok" : "MISSED"}\n`,
    );
    if (!ok) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
