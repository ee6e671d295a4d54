/**
 * Directions that take long to compute, kept in the user's cache folder: `directions-<hash of what decides them>`,
 * the numbers and then their SHA-256. Depends on node:fs and node:crypto.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../file-errors.ts";
import { userCacheFolder } from "../remote/options.ts";
import { readIfThere, replaceFile } from "../whole-files.ts";
import { randomDirections, repelledDirections } from "./directions.ts";
import type { OnDirectionStep } from "./directions.ts";
import type { FeatureModelOptions } from "./feature-model.ts";

/** Changes when other code gives other directions. */
const VERSION = 1;
/** Multiply-adds below which computing again (about a second) beats a file in somebody's home. */
const WORTH_KEEPING = 1e10;
const HASH_BYTES = 32;

/** Options of `directionsOf`. */
export interface DirectionsOptions {
  /** Default: the user's, `$XDG_CACHE_HOME/sparseloom` or `~/.cache/sparseloom`. */
  readonly cacheFolder?: string | undefined;
  readonly onStep?: OnDirectionStep | undefined;
  /** Called with one line when the directions cannot be kept. */
  readonly onNotice?: ((line: string) => void) | undefined;
}

/** The directions of a model, `[features, dIn]`, unit rows; from the cache where they are there and whole. */
export async function directionsOf(
  model: FeatureModelOptions,
  options: DirectionsOptions = {},
): Promise<Float32Array> {
  const { features, dIn, seed, directions } = model;
  if (directions.kind === "orthogonal") return randomDirections(dIn, features, seed, true);
  const compute = (): Float32Array => repelledDirections(dIn, features, seed, directions, options.onStep);
  if (directions.steps * features * dIn * dIn * 1.5 < WORTH_KEEPING) return compute();

  const folder = options.cacheFolder ?? userCacheFolder();
  const key = createHash("sha256").update(JSON.stringify([VERSION, features, dIn, seed, directions]));
  const path = join(folder, `directions-${key.digest("hex").slice(0, 32)}`);
  const kept = await readKept(path, features * dIn);
  if (kept !== undefined) return kept;
  const computed = compute();
  try {
    await mkdir(folder, { recursive: true });
    await keep(path, computed);
  } catch (error) {
    options.onNotice?.(
      `the directions cannot be kept in ${path} (${errorCode(error)}); next time they are computed again`,
    );
  }
  return computed;
}

/** A file that is damaged counts as none: it is computed and written again. */
async function readKept(path: string, length: number): Promise<Float32Array | undefined> {
  const bytes = await readIfThere(path);
  if (bytes?.length !== length * 4 + HASH_BYTES) return undefined;
  const values = bytes.subarray(0, length * 4);
  if (!hashOf(values).equals(bytes.subarray(length * 4))) return undefined;
  return new Float32Array(Uint8Array.from(values).buffer);
}

async function keep(path: string, directions: Float32Array): Promise<void> {
  const values = Buffer.from(directions.buffer, directions.byteOffset, directions.byteLength);
  // A name of its own: two processes may do the same at once, and both are right.
  await replaceFile(path, async (handle) => {
    await handle.writev([values, hashOf(values)]);
    await handle.sync();
  });
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
