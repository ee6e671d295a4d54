/**
 * Why latents are dead: one cause for each, found by asking what would have to be otherwise for it to be active on
 * some row. The first that applies, in the order of {@link DeadCause}.
 */
import type { FloatArray } from "../precision.ts";
import { dot, meanOfRows } from "../rows.ts";
import { cosineMatrix, DUPLICATE_COSINE } from "./cosines.ts";

/** Causes, in the order in which they are looked for. */
export type DeadCause =
  /** It was active until the loss leapt. */
  | "loss spike"
  /** A live latent has the same direction (decoder cosine > 0.95). */
  | "duplicate"
  /** The rows' mean holds it down: the mean's part of z outweighs its spread, and without it it would be active. */
  | "mean"
  /** With the live latents' median bias it would be active. */
  | "bias"
  /** None of these: its direction itself never reaches the threshold. */
  | "never selected";

/** A leap of the loss, as an interval of training. */
export interface LossSpike {
  /** The logged step with the high loss. */
  readonly step: number;
  /** Examples trained on at the line before. */
  readonly from: number;
  /** Examples trained on at that step. */
  readonly to: number;
}

/** What a diagnosis looks at. D dIn, F latents, R rows of a sample. */
export interface DeadLatentEvidence {
  readonly dIn: number;
  /** Latents to diagnose. */
  readonly dead: readonly number[];
  /** [F, D]. */
  readonly encoder: FloatArray;
  readonly b_enc: FloatArray;
  /** [F, D]. */
  readonly W_dec: FloatArray;
  /** Dimension of decoder rows. Default: dIn; a transcoder's are others. */
  readonly dOut?: number;
  /** What the encoder saw [R, D]. */
  readonly rows: FloatArray;
  /** What a pre-activation had to exceed in each row [R]: 0, or the least selected of k. */
  readonly thresholds: ArrayLike<number>;
  /** When latents were last active in training, where that is known. */
  readonly training?: {
    /** Examples trained on when it was last active [F]. */
    readonly lastFired: ArrayLike<number>;
    /** Activations over the run [F]. */
    readonly fireCount: ArrayLike<number>;
    readonly spikes: readonly LossSpike[];
  };
}

/** What was found about one dead latent. */
export interface DeadLatent {
  readonly latent: number;
  readonly cause: DeadCause;
  /** Its pre-activation in the row where it came closest to the threshold. */
  readonly bestZ: number;
  /** That row's threshold. */
  readonly threshold: number;
  readonly bias: number;
  /** Median bias of live latents. */
  readonly liveBias: number;
  /** The mean's part of z: W_enc,i·mean of the rows. */
  readonly meanPart: number;
  /** The live latent most alike, and its decoder cosine; −1 and −1 where none is alive. */
  readonly nearest: number;
  readonly nearestCosine: number;
  /** Step of the spike, where that is the cause. */
  readonly spikeStep: number | null;
}

/** Finds a cause for each dead latent. Takes |dead|·(R + F)·D multiply-adds. */
export function diagnoseDead(evidence: DeadLatentEvidence): DeadLatent[] {
  const { dIn, dOut = dIn, dead, encoder, b_enc, W_dec, rows, thresholds, training } = evidence;
  const isDead = new Set(dead);
  const alive = Array.from(b_enc.keys()).filter((latent) => !isDead.has(latent));
  const mean = meanOfRows(rows, dIn);
  const liveBias = median(alive.map((latent) => b_enc[latent]));
  const pick = (matrix: FloatArray, latents: readonly number[]): Float32Array => {
    const picked = new Float32Array(latents.length * dOut);
    latents.forEach((latent, at) =>
      picked.set(matrix.subarray(latent * dOut, (latent + 1) * dOut), at * dOut),
    );
    return picked;
  };
  const cosines = cosineMatrix(pick(W_dec, dead), pick(W_dec, alive), dOut);
  return dead.map((latent, at) => {
    const weights = encoder.subarray(latent * dIn, (latent + 1) * dIn);
    const bias = b_enc[latent];
    const { bestZ, threshold, spread } = closest(weights, bias, rows, thresholds);
    const meanPart = dot(weights, 0, mean, 0, dIn);
    let nearest = -1;
    let nearestCosine = -1;
    alive.forEach((other, place) => {
      const cosine = cosines.values[at * alive.length + place];
      if (cosine > nearestCosine || nearest < 0) [nearest, nearestCosine] = [other, cosine];
    });
    const spike = training === undefined ? undefined : spikeOf(latent, training);
    const margin = bestZ - threshold;
    let cause: DeadCause = "never selected";
    if (spike !== undefined) cause = "loss spike";
    else if (nearestCosine > DUPLICATE_COSINE) cause = "duplicate";
    else if (-meanPart > spread && margin - meanPart > 0) cause = "mean";
    else if (liveBias > bias && margin - bias + liveBias > 0) cause = "bias";
    return {
      latent,
      cause,
      bestZ,
      threshold,
      bias,
      liveBias,
      meanPart,
      nearest,
      nearestCosine,
      spikeStep: spike?.step ?? null,
    };
  });
}

/** The row in which z comes closest to its threshold; `spread`: the standard deviation of z over rows. */
function closest(
  weights: FloatArray,
  bias: number,
  rows: FloatArray,
  thresholds: ArrayLike<number>,
): { bestZ: number; threshold: number; spread: number } {
  let best = { bestZ: Number.NaN, threshold: Number.NaN };
  let margin = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let squares = 0;
  const count = thresholds.length;
  for (let row = 0; row < count; row++) {
    const product = dot(rows, row * weights.length, weights, 0, weights.length);
    sum += product;
    squares += product * product;
    const z = bias + product;
    if (z - thresholds[row] <= margin) continue;
    margin = z - thresholds[row];
    best = { bestZ: z, threshold: thresholds[row] };
  }
  return { ...best, spread: Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2)) };
}

/** Intervals between activations that may pass before a latent counts as having stopped. */
const INTERVALS = 3;

/** The spike at which a latent fell silent: it was active before, as often as it used to be, and never after. */
function spikeOf(
  latent: number,
  { lastFired, fireCount, spikes }: NonNullable<DeadLatentEvidence["training"]>,
): LossSpike | undefined {
  const last = lastFired[latent];
  const count = fireCount[latent];
  if (count === 0) return undefined;
  const interval = last / count;
  return spikes.find(({ from, to }) => last <= to && last + INTERVALS * interval >= from);
}

/** How many times the median of the lines before a loss must be to count as a spike. */
const SPIKE_FACTOR = 1.5;
/** Lines before it that are looked at, and how many there must be: the first fall of the loss is no measure. */
const SPIKE_LINES = 8;
const LEAST_LINES = 3;

/** Leaps of the logged loss: above 1.5 times the median of up to eight lines before, of which there are three. */
export function lossSpikes(
  log: readonly { readonly step: number; readonly examples: number; readonly loss: number }[],
): LossSpike[] {
  return log.flatMap(({ step, examples, loss }, index) => {
    const before = log.slice(Math.max(0, index - SPIKE_LINES), index);
    const last = before.at(-1);
    if (last === undefined || before.length < LEAST_LINES) return [];
    const usual = median(before.map((line) => line.loss));
    return loss > SPIKE_FACTOR * usual ? [{ step, from: last.examples, to: examples }] : [];
  });
}

/** NaN of none. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
