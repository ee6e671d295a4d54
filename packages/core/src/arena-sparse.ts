/** The views of a sparse autoencoder's run: what each is, and from which region it comes. Regions: plan-sparse.ts. */
import type { LatentScalar } from "./architectures/index.ts";
import type { Plan } from "./plan.ts";
import { latentSums } from "./plan-sparse.ts";
import type { SparseModelSetup } from "./setup.ts";
import type { FloatArray } from "./precision.ts";
import type { CommonViews, ParameterViews, RegionViews } from "./views.ts";

/** Views of a sparse autoencoder's run. B batchRows, D dIn, F latents. */
export interface SparseArena extends CommonViews {
  readonly kind: "sparse";
  readonly model: SparseModelSetup;
  /** Encoder, latent-major [F, D]: one latent's weights lie together, as its owner updates them. */
  readonly W_enc: ParameterViews;
  readonly b_enc: ParameterViews;
  readonly W_dec: ParameterViews;
  readonly b_dec: ParameterViews;
  /** [dOut, D]; empty unless a skip transcoder. */
  readonly W_skip: ParameterViews;
  /** y − W_skip·x [B, dOut]; empty unless a skip transcoder. */
  readonly unskipped: FloatArray;
  /** [dOut]. */
  readonly skipZeros: FloatArray;
  /** θ [F], at least 0; empty where the architecture has no thresholds, as are the two that follow without a gate. */
  readonly threshold: ParameterViews;
  /** Logarithm of what multiplies W_enc for the magnitudes [F]. */
  readonly r_mag: ParameterViews;
  /** Bias of the magnitudes [F]. */
  readonly b_mag: ParameterViews;
  /** exp(r_mag) [F], refreshed by whoever updates the latent; empty without a gate. */
  readonly magnitudeGain: FloatArray;
  /** What a pre-activation must exceed to be in the records [F], or [1] for all latents alike (BatchTopK). */
  readonly floors: FloatArray;
  /** See `BATCH_THRESHOLD` in fields.ts; empty unless BatchTopK. */
  readonly batchThreshold: Float64Array;
  readonly histogram: Int32Array;
  /** ‖W_dec,i‖, of a crosscoder the sum over its columns; refreshed by whoever updates the latent. */
  readonly decoderNorm: FloatArray;
  /** Examples trained on when the latent was last active. */
  readonly lastFired: Float64Array;
  /** Activations of each latent over the run. */
  readonly fireCount: Float64Array;
  /** x − b_dec [B, D]; undefined when the encoder sees x itself. */
  readonly centredInput: FloatArray | undefined;
  /** (2/B)·(x̂ − x) [B, D]. */
  readonly residual: FloatArray;
  /** What latents see of the errors [G, B, D], Σ over the prefixes that hold them; empty unless Matryoshka. */
  readonly prefixResidual: FloatArray;
  /** Mean over prefixes of ‖x − x̂_g‖² [B]; empty unless Matryoshka. */
  readonly rowPrefixError: FloatArray;
  readonly prefixRunning: FloatArray;
  readonly rowOffset: Int32Array;
  readonly rowCount: Int32Array;
  readonly rowActive: Int32Array;
  /** Sparse records: the gradient support of each row, in ascending latent order. */
  readonly recordLatent: Int32Array;
  readonly recordValue: FloatArray;
  readonly recordGradient: FloatArray;
  /** π of each record; empty without a gate, or when not training. */
  readonly recordGate: FloatArray;
  /** ∂loss/∂parameter of each record, by parameter; empty but for those of `pulledBy`. */
  readonly recordPull: Readonly<Record<LatentScalar | "b_enc", FloatArray>>;
  /** What is summed by latent beside the weights' gradients: numbers of records, and where their sums go. */
  readonly pulls: readonly { readonly records: FloatArray; readonly sum: FloatArray }[];
  /** Second squared error of each row that is trained on, with its weight [B]: a gate's, multi-TopK's; else empty. */
  readonly rowSecondError: FloatArray;
  /** What the gate's reconstruction leaves of a block of rows [workers, ROW_BLOCK, D]. */
  readonly gateResidual: FloatArray;
  /** Σ over records of what flows back into W_enc·input [F]: `b_enc.gradient` itself, except with a gate. */
  readonly inputGradient: FloatArray;
  /** See `P_ANNEALING` in fields.ts; empty without p-annealing, as is the rows' penalty with the next p [B]. */
  readonly pAnnealing: Float64Array;
  readonly rowNextPenalty: FloatArray;
  /** Multi-TopK's records and what they leave of rows [B, D], see multi-topk.ts; empty without it. */
  readonly wideOffset: Int32Array;
  readonly wideCount: Int32Array;
  readonly wideLatent: Int32Array;
  readonly wideValue: FloatArray;
  readonly wideGradient: FloatArray;
  readonly wideSorted: FloatArray;
  readonly wideResidual: FloatArray;
  /** Σ over rows of ‖W_dec,i‖·ReLU(θ − z) of each dead latent, and scratch for one block; empty without pre-activation loss. */
  readonly silentSums: Float64Array;
  readonly silentLatents: Int32Array;
  readonly silentScores: FloatArray;
  /** AuxK's state, records and rows, see auxiliary.ts; empty without it. */
  readonly auxiliary: Float64Array;
  readonly deadLatents: Int32Array;
  readonly errorSum: FloatArray;
  readonly rowAuxiliary: FloatArray;
  /** The auxiliary squared error's gradient by ê [B, D]. */
  readonly auxResidual: FloatArray;
  readonly auxOffset: Int32Array;
  readonly auxCount: Int32Array;
  readonly auxLatent: Int32Array;
  readonly auxValue: FloatArray;
  readonly auxGradient: FloatArray;
  readonly auxScores: FloatArray;
  readonly auxCandidates: Int32Array;
  readonly auxErrors: FloatArray;
  readonly preActivations: FloatArray;
  readonly selectedValue: FloatArray;
  readonly selectedLatent: Int32Array;
  /** Scratch of the WebAssembly selection, see plan. */
  readonly candidates: Int32Array;
  /** Factors of the encoder's and of the rows' dimensions [2, D] before they are quantised; empty unless screened. */
  readonly equaliser: FloatArray;
  /** Reports [B, SCREENING_FIELDS]; empty unless screened. */
  readonly rowScreening: FloatArray;
  /** Per worker and row of a panel that screening settles: active latents or −1, candidates, error [workers, 3, 8]. */
  readonly settled: FloatArray;
  /** Per worker, of the rows of its block: where a row's candidates begin, how many they are, scratch [workers, SCREENED_ROW_WORDS]. */
  readonly screenedRows: Int32Array;
  readonly bDecPartials: FloatArray;
  readonly activationSum: FloatArray;
  readonly activeCount: Int32Array;
  /** Order in which blocks of latents are taken, the hottest first. */
  readonly blockOrder: Int32Array;
  readonly blockHeat: Int32Array;
}

/** Makes the views of a sparse model's run. */
export function openSparse(
  plan: Plan,
  model: SparseModelSetup,
  common: CommonViews,
  { has, float, int32, float64, parameter }: RegionViews,
): SparseArena {
  const recordPull = {
    b_enc: float("recordPull.b_enc"),
    threshold: float("recordPull.threshold"),
    r_mag: float("recordPull.r_mag"),
    b_mag: float("recordPull.b_mag"),
  };
  const pulls = latentSums(plan).map(([records, sum]) => ({ records: float(records), sum: float(sum) }));
  return {
    kind: "sparse",
    model,
    ...common,
    W_enc: parameter("W_enc"),
    b_enc: parameter("b_enc"),
    W_dec: parameter("W_dec"),
    b_dec: parameter("b_dec"),
    W_skip: parameter("W_skip"),
    unskipped: float("unskipped"),
    skipZeros: float("skipZeros"),
    threshold: parameter("threshold"),
    r_mag: parameter("r_mag"),
    b_mag: parameter("b_mag"),
    magnitudeGain: float("magnitudeGain"),
    floors: float("floors"),
    batchThreshold: float64("batchThreshold"),
    histogram: int32("histogram"),
    decoderNorm: float("decoderNorm"),
    lastFired: float64("lastFired"),
    fireCount: float64("fireCount"),
    centredInput: has("centredInput") ? float("centredInput") : undefined,
    residual: float("residual"),
    prefixResidual: float("prefixResidual"),
    rowPrefixError: float("rowPrefixError"),
    prefixRunning: float("prefixRunning"),
    rowOffset: int32("rowOffset"),
    rowCount: int32("rowCount"),
    rowActive: int32("rowActive"),
    recordLatent: int32("recordLatent"),
    recordValue: float("recordValue"),
    recordGradient: float("recordGradient"),
    recordGate: float("recordGate"),
    recordPull,
    pulls,
    rowSecondError: float("rowSecondError"),
    gateResidual: float("gateResidual"),
    inputGradient: has("inputGradient") ? float("inputGradient") : float("b_enc.gradient"),
    pAnnealing: float64("pAnnealing"),
    rowNextPenalty: float("rowNextPenalty"),
    wideOffset: int32("wideOffset"),
    wideCount: int32("wideCount"),
    wideLatent: int32("wideLatent"),
    wideValue: float("wideValue"),
    wideGradient: float("wideGradient"),
    wideSorted: float("wideSorted"),
    wideResidual: float("wideResidual"),
    silentSums: float64("silentSums"),
    silentLatents: int32("silentLatents"),
    silentScores: float("silentScores"),
    auxiliary: float64("auxiliary"),
    deadLatents: int32("deadLatents"),
    errorSum: float("errorSum"),
    rowAuxiliary: float("rowAuxiliary"),
    auxResidual: float("auxResidual"),
    auxOffset: int32("auxOffset"),
    auxCount: int32("auxCount"),
    auxLatent: int32("auxLatent"),
    auxValue: float("auxValue"),
    auxGradient: float("auxGradient"),
    auxScores: float("auxScores"),
    auxCandidates: int32("auxCandidates"),
    auxErrors: float("auxErrors"),
    preActivations: float("preActivations"),
    selectedValue: float("selectedValue"),
    selectedLatent: int32("selectedLatent"),
    candidates: int32("candidates"),
    settled: float("settled"),
    equaliser: float("equaliser"),
    rowScreening: float("rowScreening"),
    screenedRows: int32("screenedRows"),
    bDecPartials: float("b_dec.partials"),
    activationSum: float("activationSum"),
    activeCount: int32("activeCount"),
    blockOrder: int32("blockOrder"),
    blockHeat: int32("blockHeat"),
  };
}
