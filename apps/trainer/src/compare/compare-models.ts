/**
 * Which latents several models have in common: matched one to one by decoder cosine, and shared if encoder and decoder
 * cosine are both large (arXiv 2501.16615, with its threshold). What is shared by models that differ in the seed alone
 * is a property of the data rather than of a run.
 */
import type { SparseAutoencoder } from "@sparseloom/core";
import { munkres } from "munkres";
import { matchOneToOne, MOST_CELLS } from "./one-to-one.ts";
import { NearDirections } from "./near-directions.ts";

/** Cosines of encoders and of decoders from which on a matched pair counts as one feature. */
const SHARED_COSINE = 0.7;

/**
 * Below this cosine no pair is looked at in dictionaries too large for one assignment problem: far from shared, and
 * rare among unrelated directions of 64 and more dimensions (standard deviation 1/√dIn).
 */
const LARGE_FLOOR = 0.4;

/** A model to be compared; read when it is needed, so that two at a time are in memory. */
export interface ModelToCompare {
  readonly name: string;
  /** Models of one kind differ in the seed alone; undefined: not known. */
  readonly kind: string | undefined;
  readonly load: () => Promise<SparseAutoencoder>;
}

/** A matched pair: latent of the first model, latent of the second, decoder cosine, encoder cosine. */
export type LatentMatch = readonly [a: number, b: number, decoderCosine: number, encoderCosine: number];

/** What two models have in common. */
export interface ModelPair {
  readonly a: string;
  readonly b: string;
  /** Matched one to one with a decoder cosine above `floor`. */
  readonly matched: number;
  /** Of these, with both cosines at least {@link SHARED_COSINE}. */
  readonly shared: number;
  /** Of these, those with one index in both models: by chance about none, but models of one seed begin alike. */
  readonly sharedAtSameIndex: number;
  /** Shared latents divided by all latents of the model, dead ones included. */
  readonly shareOfA: number;
  readonly shareOfB: number;
  /** Means over matched pairs; null without any. */
  readonly decoderCosine: number | null;
  readonly encoderCosine: number | null;
  /** Decoder cosine above which pairs were looked at: 0 up to about 2,048 latents; more in larger dictionaries. */
  readonly floor: number;
  readonly matches: readonly LatentMatch[];
}

/** How stable a model's latents are. */
export interface ModelStability {
  readonly name: string;
  readonly latents: number;
  /** The models over which stability is taken. */
  readonly others: readonly string[];
  /** Mean over the latents; null without others. */
  readonly stability: number | null;
  /** Of each latent: the share of the others that it is shared with. */
  readonly latentStability: readonly number[];
}

export interface Comparison {
  readonly sharedCosine: number;
  /** Over models that differ in the seed alone, or, where there are none, over all others. */
  readonly over: "seeds" | "models";
  readonly models: readonly ModelStability[];
  readonly pairs: readonly ModelPair[];
}

export interface CompareOptions {
  readonly workers: number;
  /** Compare only models of one kind with each other. Default false: all. */
  readonly onlySameKind?: boolean;
  /** Told after each pair. */
  readonly onPair?: (done: number, all: number) => void;
}

/**
 * Compares models of one dimension. Takes latents²·dIn multiply-adds a pair, on the workers; memory goes with the
 * pairs found.
 */
export async function compareModels(
  models: readonly ModelToCompare[],
  { workers, onlySameKind = false, onPair }: CompareOptions,
): Promise<Comparison> {
  const sameKind = (i: number, j: number): boolean =>
    models[i].kind !== undefined && models[i].kind === models[j].kind;
  const wanted = models.flatMap((_, i) =>
    models.flatMap((_other, j) => (j > i && (!onlySameKind || sameKind(i, j)) ? [[i, j] as const] : [])),
  );
  const latents = models.map(() => 0);
  const found: { i: number; j: number; pair: ModelPair }[] = [];
  for (const [i, { load }] of models.entries()) {
    const partners = wanted.filter(([first]) => first === i);
    const isLast = wanted.some(([, second]) => second === i);
    // Its latents were counted when it was compared; a model alone is read to count them.
    if (partners.length === 0 && isLast) continue;
    const a = await load();
    latents[i] = a.latents;
    let near: NearDirections | undefined;
    let nearFloor = Number.NaN;
    try {
      for (const [, j] of partners) {
        const b = await models[j].load();
        latents[j] = b.latents;
        const floor = a.latents * b.latents <= MOST_CELLS ? 0 : LARGE_FLOOR;
        if (near === undefined || floor !== nearFloor) {
          await near?.[Symbol.asyncDispose]();
          near = new NearDirections(a.parts.W_dec, a.dOut, floor, workers);
          nearFloor = floor;
        }
        const names = { a: models[i].name, b: models[j].name };
        found.push({ i, j, pair: await comparePair(names, a, b, near, floor) });
        onPair?.(found.length, wanted.length);
      }
    } finally {
      await near?.[Symbol.asyncDispose]();
    }
  }
  const seeds = found.some(({ i, j }) => sameKind(i, j));
  const counted = seeds ? found.filter(({ i, j }) => sameKind(i, j)) : found;
  return {
    sharedCosine: SHARED_COSINE,
    over: seeds ? "seeds" : "models",
    models: models.map(({ name }, model) => {
      const own = counted.filter(({ i, j }) => i === model || j === model);
      return stabilityOf(
        name,
        latents[model],
        own.map(({ pair }) => pair),
      );
    }),
    pairs: found.map(({ pair }) => pair),
  };
}

async function comparePair(
  names: { readonly a: string; readonly b: string },
  a: SparseAutoencoder,
  b: SparseAutoencoder,
  near: NearDirections,
  floor: number,
): Promise<ModelPair> {
  const result = matchOneToOne(await near.above(b.parts.W_dec), floor, munkres);
  const matches = result.pairs.map((pair): LatentMatch => {
    const encoder = cosine(a.parts.encoder, pair.a, b.parts.encoder, pair.b, a.dIn);
    return [pair.a, pair.b, pair.cosine, encoder];
  });
  const sharedMatches = matches.filter(isShared);
  const shared = sharedMatches.length;
  const mean = (at: 2 | 3): number | null =>
    matches.length === 0 ? null : matches.reduce((sum, match) => sum + match[at], 0) / matches.length;
  return {
    ...names,
    matched: matches.length,
    shared,
    sharedAtSameIndex: sharedMatches.filter(([one, other]) => one === other).length,
    shareOfA: shared / a.latents,
    shareOfB: shared / b.latents,
    decoderCosine: mean(2),
    encoderCosine: mean(3),
    floor: result.floor,
    matches,
  };
}

function isShared([, , decoder, encoder]: LatentMatch): boolean {
  return decoder >= SHARED_COSINE && encoder >= SHARED_COSINE;
}

function stabilityOf(name: string, latents: number, pairs: readonly ModelPair[]): ModelStability {
  const counts = new Float64Array(latents);
  for (const { a, matches } of pairs)
    for (const match of matches) if (isShared(match)) counts[match[a === name ? 0 : 1]]++;
  const latentStability = pairs.length === 0 ? [] : Array.from(counts, (count) => count / pairs.length);
  return {
    name,
    latents,
    others: pairs.map(({ a, b }) => (a === name ? b : a)),
    stability: pairs.length === 0 ? null : latentStability.reduce((sum, share) => sum + share, 0) / latents,
    latentStability,
  };
}

/**
 * Cosine of row `i` of `a` with row `j` of `b`; 0 where one is all zeros. Of a matched pair alone, and in float64: core's
 * `cosineMatrix` has all pairs, in float32.
 */
function cosine(a: Float32Array, i: number, b: Float32Array, j: number, dIn: number): number {
  let [product, squaresA, squaresB] = [0, 0, 0];
  for (let at = 0; at < dIn; at++) {
    const x = a[i * dIn + at];
    const y = b[j * dIn + at];
    product += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return product === 0 ? 0 : product / Math.sqrt(squaresA * squaresB);
}
