/**
 * Checkpoints: `checkpoints/<step>/` with `state.safetensors`, `state.json` and `manifest.json` (SHA-256 of both).
 * Written beside, flushed to disk and renamed, so that a checkpoint is there whole or not at all.
 */
import { createHash } from "node:crypto";
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type Arena,
  decodeSafetensors,
  type FloatArray,
  loadState,
  safetensorsParts,
  stateTensors,
} from "@sparseloom/core";
import type { StreamPosition } from "@sparseloom/data";
import { z } from "zod";
import { jsonParts } from "../json.ts";
import { DivergedError, RequestError, RunError } from "../errors.ts";
import { NOTHING_SCREENED, type ScreeningSums } from "../screening-log.ts";
import { namesIn } from "./entries.ts";
import { NOTHING_PENDING, type PendingMetrics } from "./metrics-log.ts";
import { writeFolder } from "./write-folder.ts";

/** Where a run stands, beside the tensors. */
export interface RunState {
  /** Steps taken. */
  readonly step: number;
  /** Examples trained on. */
  readonly examples: number;
  /** Where the shuffled stream goes on. */
  readonly position: StreamPosition;
  /** Seconds of training so far, over all sessions of the run. */
  readonly seconds: number;
  /** Steps that are not in a line of `metrics.jsonl` yet. */
  readonly pending: PendingMetrics;
  /** What steps reported on their screening. */
  readonly screening: ScreeningSums;
  /** Kernel variants that steps were taken with, in the order of their first; empty in checkpoints of earlier versions. */
  readonly kernelVariants: readonly string[];
}

/** Where a new run stands. */
export const RUN_START: RunState = {
  step: 0,
  examples: 0,
  position: { epoch: 0, window: 0, offset: 0 },
  seconds: 0,
  pending: NOTHING_PENDING,
  screening: NOTHING_SCREENED,
  kernelVariants: [],
};

/** Kernel variants that a run's steps were taken with. @param first the one that it began with, which old checkpoints do not tell */
export function variantsOf({ step, kernelVariants }: RunState, first: string): readonly string[] {
  return step > 0 && kernelVariants.length === 0 ? [first] : kernelVariants;
}

const stateSchema = z.object({
  step: z.number(),
  examples: z.number(),
  position: z.object({ epoch: z.number(), window: z.number(), offset: z.number() }),
  seconds: z.number(),
  pending: z.object({
    steps: z.number(),
    loss: z.number(),
    sums: z.object({ rows: z.number(), squaredError: z.number(), squares: z.number(), active: z.number() }),
    dead: z.number(),
    learningRate: z.number(),
    // Checkpoints of earlier versions have not all of them.
    l1: z.number().default(0),
    p: z.number().default(1),
    k: z.number().default(0),
    gradientNorm: z.number().default(0),
  }),
  screening: z
    .object({
      ofSteps: z.number(),
      steps: z.number(),
      rows: z.number(),
      candidates: z.number(),
      redone: z.number(),
      largestError: z.number(),
      audited: z.number(),
      missed: z.number(),
      active: z.number(),
    })
    .default(NOTHING_SCREENED),
  kernelVariants: z.array(z.string()).default([]),
});
const manifestSchema = z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() }));

/** Steps of the checkpoints in a run directory, newest first. */
export async function listCheckpoints(runDirectory: string): Promise<number[]> {
  return (await namesIn(join(runDirectory, "checkpoints")))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => b - a);
}

/**
 * Saves a checkpoint of an idle arena, and removes all but the newest `keep`. Returns its path.
 *
 * @throws DivergedError when a tensor holds NaN or Infinity: such a checkpoint would be of no use
 * @throws RunError when it cannot be written; the checkpoints before it stay
 */
export async function saveCheckpoint(
  runDirectory: string,
  arena: Arena,
  state: RunState,
  keep: number,
): Promise<string> {
  const path = join(runDirectory, "checkpoints", String(state.step));
  const tensors = stateTensors(arena);
  for (const [name, { data }] of Object.entries(tensors)) {
    const index = firstNonFinite(data);
    if (index >= 0)
      throw new DivergedError(
        `${name} holds ${data[index]} at element ${index} after step ${state.step}: try a smaller --lr`,
      );
  }
  const files: Record<string, Uint8Array[]> = {
    "state.safetensors": safetensorsParts(tensors),
    "state.json": jsonParts(state),
  };
  const manifest: z.infer<typeof manifestSchema> = {};
  for (const [name, parts] of Object.entries(files)) {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    manifest[name] = {
      bytes: parts.reduce((sum, part) => sum + part.byteLength, 0),
      sha256: hash.digest("hex"),
    };
  }
  files["manifest.json"] = jsonParts(manifest);
  await writeFolder(path, files);
  for (const step of (await listCheckpoints(runDirectory)).filter((step) => step <= state.step).slice(keep)) {
    await rm(join(runDirectory, "checkpoints", String(step)), { recursive: true });
  }
  return path;
}

/**
 * Loads a checkpoint into the arena.
 *
 * @throws RunError when a file is missing, differs from the manifest, or belongs to another model
 */
export async function loadCheckpoint(runDirectory: string, step: number, arena: Arena): Promise<RunState> {
  const path = join(runDirectory, "checkpoints", String(step));
  try {
    const manifest = manifestSchema.parse(JSON.parse(await readFile(join(path, "manifest.json"), "utf8")));
    const verified = async (name: string): Promise<Uint8Array> => {
      const { bytes, sha256 } = await readWhole(join(path, name));
      if (manifest[name]?.sha256 !== sha256) throw new Error(`${name} does not match manifest.json`);
      return bytes;
    };
    const { tensors } = decodeSafetensors(await verified("state.safetensors"));
    const state = stateSchema.parse(JSON.parse(new TextDecoder().decode(await verified("state.json"))));
    const data = Object.fromEntries(
      [...tensors].map(([name, tensor]) => [name, { data: tensor.data as ArrayLike<number> }]),
    );
    loadState(arena, data);
    return state;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RunError(`checkpoint ${path} cannot be used: ${reason}`, { cause: error });
  }
}

/**
 * Loads the newest checkpoint that is intact, saying which ones are not; undefined when there never was one.
 *
 * @throws RequestError when none of them is
 */
export async function loadNewestCheckpoint(
  runDirectory: string,
  arena: Arena,
  onNotice?: (line: string) => void,
): Promise<RunState | undefined> {
  const steps = await listCheckpoints(runDirectory);
  if (steps.length === 0) return undefined;
  for (const step of steps) {
    try {
      return await loadCheckpoint(runDirectory, step, arena);
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      onNotice?.(`${error.message}; trying the one before`);
    }
  }
  throw new RequestError(`${runDirectory} has no usable checkpoint`);
}

function firstNonFinite(data: FloatArray): number {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return i;
  return -1;
}

const READ_BYTES = 2 ** 26;

/** A whole file and its SHA-256, in pieces: `readFile` refuses more than 2 GiB, and a checkpoint may have 4. */
async function readWhole(path: string): Promise<{ bytes: Uint8Array; sha256: string }> {
  const file = await open(path, "r");
  try {
    const bytes = new Uint8Array((await file.stat()).size);
    const hash = createHash("sha256");
    for (let at = 0; at < bytes.byteLength; ) {
      const piece = bytes.subarray(at, at + READ_BYTES);
      const { bytesRead } = await file.read(piece, 0, piece.byteLength, at);
      if (bytesRead === 0) throw new Error(`${path} ended while it was read`);
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    await file.close();
  }
}
