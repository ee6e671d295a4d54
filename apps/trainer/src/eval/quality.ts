/**
 * What an evaluation measures beyond the row sums: reconstructions, L1, the decoder's cosines and, where true
 * features are known, how well they were found. Takes in mini-batches while the arena holds their records.
 */
import {
  addReconstructions,
  type Arena,
  bestMatches,
  cosineMatrix,
  type CosineMatrix,
  countDetections,
  type DetectionCounts,
  outputDimension,
  type ModelColumn,
  detectionMetrics,
  emptyDetections,
  emptyReconstructionSums,
  matchDirections,
  meanCorrelation,
  meanMaximum,
  type PairwiseCosines,
  pairwiseCosines,
  type ReconstructionMetrics,
  reconstructionMetrics,
  type ReconstructionSums,
  type RowTransform,
  transformRows,
  uniqueness,
} from "@sparseloom/core";
import { munkres } from "munkres";
import type { GroundTruth } from "./ground-truth.ts";

/** How well the true features were found. */
export interface TruthResult {
  /** The file that tells of them. */
  readonly path: string;
  readonly features: number;
  /** Mean over true features of the largest cosine with any latent (MMCS). */
  readonly meanMaximumCosine: number;
  /** Mean |cosine| of the best one-to-one matching of latents and features (MCC). */
  readonly meanCorrelation: number;
  /** Different features among the latents' best matches, per latent. */
  readonly uniqueness: number;
  /** Each latent as a detector of its best match, averaged over latents; null where rows are not known. */
  readonly detection: {
    /** True features per row. */
    readonly trueL0: number;
    readonly precision: number;
    readonly recall: number;
    readonly f1: number;
  } | null;
}

/** One of the vectors that a crosscoder reads and rebuilds. */
export interface ColumnQuality {
  readonly name: string;
  /** Mean over rows of ‖x − x̂‖². */
  readonly mse: number;
  readonly fvu: number;
}

/** What a {@link QualityMeter} found. */
export interface Quality extends ReconstructionMetrics {
  /** Mean over rows of Σ f·‖W_dec‖; null for a deep autoencoder. */
  readonly l1: number | null;
  /** Cosines between decoder rows; null for a deep autoencoder. */
  readonly decoder: PairwiseCosines | null;
  readonly truth: TruthResult | null;
  /** Of each column of a crosscoder; null where rows are one vector. */
  readonly columns: readonly ColumnQuality[] | null;
  readonly warnings: readonly string[];
}

/** Cosines of latents with true features at most: 1 GiB. */
const MOST_COSINES = 2 ** 28;
/** Rows of the first mini-batch that are held against the generator's. */
const CHECKED_ROWS = 16;
/** Distance, as a share of the row's norm, that float16 or bfloat16 may have made. */
const ROUNDING = 0.02;

/** Measures rows as they pass. One per evaluation. */
export class QualityMeter {
  readonly #transform: RowTransform;
  readonly #truth: GroundTruth | undefined;
  readonly #cosines: CosineMatrix | undefined;
  readonly #sums: ReconstructionSums = emptyReconstructionSums();
  readonly #warnings: string[] = [];
  readonly #decoder: PairwiseCosines | undefined;
  readonly #columns: readonly ModelColumn[] | undefined;
  /** Σ ‖x − x̂‖² and Σ ‖x − x̄‖² of each column. */
  readonly #columnErrors: Float64Array;
  readonly #columnSquares: Float64Array;
  /** ‖W_dec,i‖ [latents]; of a crosscoder the sum over its columns. */
  readonly #decoderNorm: Float64Array;
  #detections: DetectionCounts | undefined;
  #penalty = 0;
  #x = new Float32Array(0);
  #reconstruction = new Float32Array(0);

  /**
   * @param transform of the rows in the arena's slots; measured is in raw units, with LayerNorm in normalised ones
   * @param columns that rows are made of, where they are several
   */
  constructor(
    arena: Arena,
    transform: RowTransform,
    truth: GroundTruth | undefined,
    columns?: readonly ModelColumn[],
  ) {
    this.#transform = transform;
    this.#columns = columns;
    this.#columnErrors = new Float64Array(columns?.length ?? 0);
    this.#columnSquares = new Float64Array(columns?.length ?? 0);
    this.#truth = truth;
    this.#decoderNorm = new Float64Array(arena.kind === "deep" ? 0 : arena.model.latents);
    if (arena.kind === "deep") return;
    const { latents } = arena.model;
    const dOut = outputDimension(arena.model);
    for (let latent = 0; latent < latents; latent++) {
      let at = latent * dOut;
      for (const part of columns ?? [{ dIn: dOut }])
        this.#decoderNorm[latent] += Math.hypot(...arena.W_dec.value.subarray(at, (at += part.dIn)));
    }
    this.#decoder = pairwiseCosines(arena.W_dec.value, dOut);
    if (truth === undefined) return;
    if (latents * truth.features > MOST_COSINES) {
      this.#warnings.push(
        `true features not compared: ${latents} latents × ${truth.features} features are more than ${MOST_COSINES} cosines`,
      );
      return;
    }
    this.#cosines = cosineMatrix(arena.W_dec.value, truth.directions, dOut);
    if (truth.generator !== undefined)
      this.#detections = emptyDetections(bestMatches(this.#cosines), truth.features);
  }

  /** Takes in the mini-batch in `slot`, whose records and residuals the arena holds. */
  add(arena: Arena, rowIds: Float64Array, rows: number, slot: number): void {
    this.#reconstruct(arena, rows, slot);
    const dOut = arena.mean.length;
    if (this.#sums.rows === 0) this.#checkRows(rowIds, Math.min(rows, CHECKED_ROWS), dOut);
    addReconstructions(this.#sums, this.#x, this.#reconstruction, rows, dOut);
    this.#addColumns(arena, rows);
    if (arena.kind === "deep") return;
    for (let row = 0; row < rows; row++) {
      const begin = arena.rowOffset[row];
      const end = begin + arena.rowCount[row];
      for (let record = begin; record < end; record++)
        this.#penalty += arena.recordValue[record] * this.#decoderNorm[arena.recordLatent[record]];
      const generator = this.#truth?.generator;
      if (this.#detections === undefined || generator === undefined) continue;
      const active = generator.activeFeatures(rowIds[row]);
      countDetections(this.#detections, arena.recordLatent, begin, end, active);
    }
  }

  /** What was found so far. */
  result(): Quality {
    return {
      ...reconstructionMetrics(this.#sums),
      l1: this.#decoder === undefined ? null : this.#penalty / this.#sums.rows,
      decoder: this.#decoder ?? null,
      truth: this.#found(),
      columns:
        this.#columns?.map(({ name }, i) => ({
          name,
          mse: this.#columnErrors[i] / this.#sums.rows,
          fvu: this.#columnErrors[i] / this.#columnSquares[i],
        })) ?? null,
      warnings: this.#warnings,
    };
  }

  /** The columns' squares. A crosscoder is folded: the arena's mean is in the units that the rows are measured in. */
  #addColumns({ mean }: Arena, rows: number): void {
    const dOut = mean.length;
    let from = 0;
    for (const [i, column] of (this.#columns ?? []).entries()) {
      let errors = 0;
      let squares = 0;
      for (let row = 0; row < rows; row++) {
        for (let j = from; j < from + column.dIn; j++) {
          const x = this.#x[row * dOut + j];
          errors += (x - this.#reconstruction[row * dOut + j]) ** 2;
          squares += (x - mean[j]) ** 2;
        }
      }
      this.#columnErrors[i] += errors;
      this.#columnSquares[i] += squares;
      from += column.dIn;
    }
  }

  #found(): TruthResult | null {
    const truth = this.#truth;
    const cosines = this.#cosines;
    if (truth === undefined || cosines === undefined) return null;
    return {
      path: truth.path,
      features: truth.features,
      meanMaximumCosine: meanMaximum(cosines),
      meanCorrelation: meanCorrelation(matchDirections(cosines, munkres)),
      uniqueness: uniqueness(bestMatches(cosines)),
      detection: this.#detections === undefined ? null : meansOf(this.#detections),
    };
  }

  /** Rows and reconstructions in raw units: x = x′/s + μ. LayerNorm is left as it is. */
  #reconstruct(arena: Arena, rows: number, slot: number): void {
    const dOut = arena.mean.length;
    const { mean, scale } = this.#transform;
    const x = arena.targets[slot];
    // Only evaluating, both kinds of model leave x̂ − x in place of what they reconstruct into.
    const error = arena.kind === "sparse" ? arena.residual : arena.layers[arena.layers.length - 1].activation;
    if (this.#x.length < rows * dOut) {
      this.#x = new Float32Array(rows * dOut);
      this.#reconstruction = new Float32Array(rows * dOut);
    }
    for (let i = 0; i < rows * dOut; i++) {
      const raw = x[i] / scale + (mean === undefined ? 0 : mean[i % dOut]);
      this.#x[i] = raw;
      this.#reconstruction[i] = raw + error[i] / scale;
    }
  }

  /** The generator's rows must be the corpus's: it may have been filtered, shuffled or made by other options. */
  #checkRows(rowIds: Float64Array, rows: number, dOut: number): void {
    const generator = this.#truth?.generator;
    if (generator === undefined) return;
    const made = new Float32Array(dOut);
    for (let row = 0; row < rows; row++) {
      generator.fill(made, rowIds[row]);
      const read = this.#x.subarray(row * dOut, (row + 1) * dOut);
      const { layerNorm } = this.#transform;
      const expected = layerNorm === undefined ? made : transformRows(made, dOut, this.#transform);
      const distance = Math.hypot(...expected.map((value, j) => value - read[j]));
      if (distance <= ROUNDING * Math.hypot(...expected)) continue;
      this.#detections = undefined;
      this.#warnings.push(
        `row ${rowIds[row]} of the corpus is not what the generator in ${this.#truth?.path} makes: precision and recall are left out`,
      );
      return;
    }
  }
}

function meansOf(counts: DetectionCounts): NonNullable<TruthResult["detection"]> {
  const { trueL0, precision, recall, f1 } = detectionMetrics(counts);
  return { trueL0, precision, recall, f1 };
}
