/** What happens when workers die, throw or hang: an error soon, checkpoints intact, nobody left behind. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { planRun } from "@sparseloom/core";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest } from "../src/options.ts";
import { listCheckpoints } from "../src/run/checkpoint.ts";
import { TEAM } from "../src/team/protocol.ts";
import { Team } from "../src/team/team.ts";
import { resume, train } from "../src/train.ts";
import { temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

const options = checkTrainRequest({
  latents: 40,
  k: 3,
  batch: 64,
  epochs: 400,
  checkpointEvery: 20,
  logEvery: 1,
  workers: 3,
  seed: 1,
});

describe("killing a worker thread in mid-step", () => {
  it("ends the run with a clear error within 5 seconds, and its checkpoints resume", async () => {
    const out = join(folder, "killed");
    let team: Team | undefined;
    let killedAt = 0;
    const run = train([corpus], options, out, {
      onStart: (_config, _directory, _plan, started) => {
        team = started;
      },
      onMetrics: ({ step }) => {
        // The metrics of a step come while the workers are at the next one.
        if (step !== 50) return;
        killedAt = performance.now();
        void team?.killWorker(1);
      },
    });
    await expect(run).rejects.toThrow(
      /^worker \d of 3 was lost: .*; continue from step 40 with: sparseloom train --resume /,
    );
    expect(performance.now() - killedAt).toBeLessThan(5000);
    expect(await listCheckpoints(out)).toContain(40);
    expect(readdirSync(join(out, "checkpoints")).every((name) => /^\d+$/.test(name))).toBe(true);

    const continued = await resume(out, { stopAt: 60 });
    expect(continued.steps).toBe(60);
  });
});

describe("a team", () => {
  const plan = planRun({
    setup: {
      model: {
        kind: "sparse",
        architecture: "topk",
        dIn: 8,
        latents: 16,
        k: 2,
        decoder: "unit",
        applyBDecToInput: true,
      },
      training: {
        batchRows: 32,
        learningRate: { peak: 1e-3, warmupSteps: 0, decaySteps: 0, totalSteps: 10 },
        l1Coefficient: { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 10 },
        adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        deadWindow: 100,
      },
    },
    workers: 2,
  });
  const job = { step: 0, rows: 32, examplesBefore: 0, train: true };

  it("that makes no progress is reported as stuck after the timeout", async () => {
    await using team = new Team(plan, { stuckTimeoutMs: 2000 });
    // One arrival too many at the barrier: the stage can never be finished, as when a worker hangs in it.
    Atomics.store(team.arena.team, TEAM.arrived, 5);
    team.publish(job);
    await expect(team.waitFor(1)).rejects.toThrow(/the workers are stuck: none has made progress for 2 s/);
  });

  it("whose worker throws reports the error", async () => {
    // Views are made of what regions there are; the kernels of this architecture miss some.
    const model = { ...plan.setup.model, architecture: "relu" as "topk" };
    const broken = { ...plan, setup: { ...plan.setup, model } } as typeof plan;
    await using team = new Team(broken);
    team.publish(job);
    await expect(team.waitFor(1)).rejects.toThrow(/worker \d of 2 was lost: /);
  });

  it("that idles for longer than the timeout is not stuck", async () => {
    // Long enough for threads to start on a busy machine.
    await using team = new Team(plan, { stuckTimeoutMs: 2000 });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    team.publish(job);
    await team.waitFor(1);
    await team.stop();
    expect(team.completed).toBe(1);
  });

  it("that was suspended for longer than the timeout is not stuck", async () => {
    await using team = new Team(plan, { stuckTimeoutMs: 1200 });
    Atomics.store(team.arena.team, TEAM.arrived, 5);
    team.publish(job);
    await new Promise((resolve) => setTimeout(resolve, 400));
    // Nothing runs on this thread meanwhile, its clock does: as after Ctrl-Z and fg.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    const soon = new Promise((resolve) => setTimeout(resolve, 50, "still waiting"));
    expect(await Promise.race([team.waitFor(1), soon])).toBe("still waiting");
  });

  it("that gets no memory says how much it wanted", () => {
    // More than one WebAssembly memory can have, as a machine with too little would refuse less.
    const huge = { ...plan, byteLength: 2 ** 33 };
    expect(() => new Team(huge)).toThrow(/^the machine does not give the 8,192 MiB that the plan needs: /);
  });

  it("completes jobs in order and reuses its slots", async () => {
    await using team = new Team(plan);
    const slots = [];
    for (let step = 0; step < 5; step++) {
      const slot = await team.freeSlot();
      slots.push(slot);
      team.arena.slots[slot].fill(step + 1);
      team.publish({ ...job, step });
    }
    await team.waitFor(5);
    expect(slots).toEqual([0, 1, 0, 1, 0]);
    await team.stop();
  });
});
