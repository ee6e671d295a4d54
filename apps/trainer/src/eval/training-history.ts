/** What a run directory remembers of its latents and its loss: for the diagnosis of dead latents. */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type LossSpike, lossSpikes } from "@sparseloom/core";
import { RunError } from "../errors.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { isFile } from "../run/entries.ts";

/** When each latent was last active, and when the loss leapt. */
export interface TrainingHistory {
  readonly lastFired: Float64Array;
  readonly fireCount: Float64Array;
  readonly spikes: readonly LossSpike[];
}

/**
 * The history of the run at `path` by its newest checkpoint and its log; undefined where `path` is no run directory
 * of so many latents.
 *
 * @throws RunError if a file is there but damaged
 */
export async function readHistory(path: string, latents: number): Promise<TrainingHistory | undefined> {
  const [step] = await listCheckpoints(path);
  const log = join(path, "metrics.jsonl");
  if (step === undefined || !(await isFile(log))) return undefined;
  const state = join(path, "checkpoints", String(step), "state.safetensors");
  try {
    const [lastFired, fireCount] = await readFloat64(state, ["lastFired", "fireCount"]);
    if (lastFired?.length !== latents || fireCount?.length !== latents) return undefined;
    const lines = (await readFile(log, "utf8")).trim().split("\n");
    const steps = lines.map((line) => JSON.parse(line) as { step: number; examples: number; loss: number });
    return { lastFired, fireCount, spikes: lossSpikes(steps) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new RunError(`the run ${path} has a damaged checkpoint or log: ${error.message}`, { cause: error });
  }
}

/** Some float64 tensors of a safetensors file, without reading the rest: a checkpoint may have gigabytes. */
async function readFloat64(path: string, names: readonly string[]): Promise<(Float64Array | undefined)[]> {
  const file = await open(path, "r");
  const read = async (position: number, length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, position);
    if (bytesRead < length) throw new RunError(`${path} ends before byte ${position + length}`);
    return bytes;
  };
  try {
    const headerLength = Number((await read(0, 8)).readBigUInt64LE());
    const header = JSON.parse((await read(8, headerLength)).toString("utf8")) as Record<
      string,
      { dtype: string; data_offsets: [number, number] } | undefined
    >;
    return await Promise.all(
      names.map(async (name) => {
        const entry = header[name];
        if (entry?.dtype !== "F64") return undefined;
        const [begin, end] = entry.data_offsets;
        const bytes = await read(8 + headerLength + begin, end - begin);
        return new Float64Array(Uint8Array.from(bytes).buffer);
      }),
    );
  } finally {
    await file.close();
  }
}
