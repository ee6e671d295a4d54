/**
 * A thread's scratch is its own: one of two threads runs whole steps alone, and the other's part of every scratch region,
 * and whatever lies between regions, stays as it was. What overflowed would be wrong only now and then, when both threads
 * are at the same kernel at the same time.
 */
import { describe, expect, it } from "vitest";
import {
  allocateMemory,
  type Arena,
  createProgram,
  defaultPrefixes,
  initialise,
  inputDimension,
  type ModelSetup,
  openArena,
  type Plan,
  planRun,
  type TrainingSetup,
} from "../src/index.ts";
import { ROW_BLOCK } from "../src/block-sizes.ts";
import { wasmKernels } from "../src/wasm/index.ts";
import { probeVariant, type WasmVariant } from "../src/wasm/instance.ts";
import { normals, setBatch, setupOf, sparseModel } from "./support.ts";

const SENTINEL = 0x5a;
const BATCH_ROWS = 2 * ROW_BLOCK + 3;
const shape = { dIn: 40, latents: 70 };

const MODELS: [string, ModelSetup, Partial<TrainingSetup>?][] = [
  ["TopK", sparseModel({ ...shape, k: 5 })],
  [
    "TopK with AuxK",
    sparseModel({ ...shape, k: 2 }),
    { deadWindow: 1, auxK: { coefficient: 0.1, k: 16, mode: "variance", totalVariance: 1 } },
  ],
  [
    "TopK with multi-TopK whose k is annealed",
    sparseModel({ ...shape, k: 2 }),
    { multiTopK: true, kAnneal: { steps: 2, shape: "linear", from: 30 } },
  ],
  ["BatchTopK", sparseModel({ ...shape, architecture: "batch-topk", k: 5 })],
  ["Matryoshka", sparseModel({ ...shape, architecture: "matryoshka", k: 5, prefixes: defaultPrefixes(70) })],
  ["ReLU, dense rows", sparseModel({ ...shape, architecture: "relu", decoder: "free", k: 0 })],
  [
    "ReLU, dense rows, several blocks of latents gathered together",
    sparseModel({ ...shape, latents: 1600, architecture: "relu", decoder: "free", k: 0 }),
  ],
  ["Gated, dense rows", sparseModel({ ...shape, architecture: "gated", k: 0 })],
  ["TopK by Muon", sparseModel({ ...shape, k: 5 }), { optimizer: { name: "muon", momentum: 0.9 } }],
  [
    "a deep autoencoder by Muon",
    { kind: "deep", architecture: "autoencoder", widths: [40, 70, 9, 40], outputActivation: "linear" },
    { optimizer: { name: "muon", momentum: 0.9 }, clipNorm: 1 },
  ],
  [
    "a deep autoencoder",
    { kind: "deep", architecture: "autoencoder", widths: [40, 70, 9, 70, 40], outputActivation: "linear" },
  ],
];

/** Bytes that no stage of rank 0 may write: rank 1's part of scratch, and what lies between regions. */
function forbidden(plan: Plan): [from: number, to: number, what: string][] {
  const parts: [number, number, string][] = [];
  let end = 0;
  for (const { name, role, shape: sizes, byteOffset, byteLength } of plan.regions) {
    if (byteOffset > end) parts.push([end, byteOffset, `the gap before ${name}`]);
    end = byteOffset + byteLength;
    const perThread = role === "scratch" || (role === "screening" && name !== "equaliser");
    if (perThread && sizes[0] === 2 && sizes.length > 1)
      parts.push([byteOffset + byteLength / 2, end, `the other thread's ${name}`]);
  }
  return parts;
}

/** Runs whole steps as rank 0. */
function trainAlone(
  arena: Arena,
  plan: Plan,
  memory: ReturnType<typeof allocateMemory>,
  wide: boolean,
): void {
  const options = { wideSimd: wide, wideSums: wide };
  const kernels = wasmKernels(plan, memory, probeVariant() as WasmVariant, options);
  const program = createProgram(arena, kernels, 0);
  for (let step = 0; step < 3; step++) {
    setBatch(arena, normals(BATCH_ROWS * inputDimension(plan.setup.model), step), step);
    program.begin(0);
    for (let stage = program.next(); stage !== undefined; stage = program.next()) {
      for (let block = 0; block < stage.blocks; block++) stage.run(block);
      stage.finish();
    }
  }
}

describe("a thread writes into no other thread's scratch:", () => {
  for (const encoder of ["exact", "screened"] as const)
    for (const wide of [false, true])
      it.each(MODELS)(`%s, ${encoder}${wide ? ", wide" : ""}`, (_, model, training) => {
        const setup = setupOf(model, { batchRows: BATCH_ROWS, ...training });
        const plan = planRun({ setup, workers: 2, slots: 1, encoder });
        const memory = allocateMemory(plan, { shared: true });
        const arena = openArena(plan, memory.buffer);
        const bytes = new Uint8Array(memory.buffer);
        initialise(arena, { seed: 1 });
        const parts = forbidden(plan);
        expect(parts.length).toBeGreaterThan(2);
        for (const [from, to] of parts) bytes.fill(SENTINEL, from, to);
        trainAlone(arena, plan, memory, wide);
        const written = parts.filter(([from, to]) =>
          bytes.subarray(from, to).some((byte) => byte !== SENTINEL),
        );
        expect(written.map(([, , what]) => what)).toEqual([]);
      });
});
