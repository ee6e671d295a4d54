/**
 * The memory map of a run: a pure function from the setup to named regions of one memory. Main thread and
 * workers make typed-array views over the same regions; kernels of other languages get byte offsets.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import { checkModel, checkTraining, inputDimension, type Setup, type SparseModelSetup } from "./setup.ts";

/** One WebAssembly memory holds at most 65,536 pages of 64 KiB. */
export const MEMORY_LIMIT_BYTES: number = 2 ** 32;

/** Regions start at multiples of a cache line, so that no two threads' regions share one. */
const ALIGNMENT_BYTES = 64;

/**
 * Rows of one block of work of the row stage: four panels of 8 rows, so that the encoder's weights are read from
 * memory once for 32 rows, at a quarter of the bandwidth that the product of one core could otherwise ask for.
 */
export const ROW_BLOCK = 32;

/**
 * Latents of one block of work of the parameter stage: eight tiles of six, and few enough that their gradients stay in
 * the second-level cache. Part of the canonical value of b_dec's gradient, which sums one partial per block: changing it
 * changes the last bits of every run.
 */
export const LATENT_BLOCK = 48;

/** Rows of one block of a deep autoencoder's row stage: six panels of 8 going forward, eight tiles of 6 going back. */
export const DEEP_ROW_BLOCK = 48;

/** Output units of one block of work of a deep autoencoder's parameter stage: eight tiles of six. */
export const UNIT_BLOCK = 48;

/** Dimensions of one block of work of the decoder-bias stage. */
export const DIMENSION_BLOCK = 64;

/** Bytes of sparse records at most; what does not fit is worked off in several chunks of rows. */
const RECORD_BYTES_LIMIT = 64 * 2 ** 20;

/** Int32 words for whoever runs the team (barrier, tickets, progress): one cache line each, see the trainer. */
const TEAM_WORDS = 256;

export type Precision = "float32" | "float64";
/**
 * `exact`: a float32 product of all rows and latents. `screened`: an integer product bounds them, and float32 values are
 * computed where the bound leaves it open whether they matter; sparse models only.
 */
export type Encoder = "exact" | "screened";
export type RegionType = "float" | "float64" | "int32";

/** What a region is for; the plan's error adds up bytes by role. */
export type RegionRole =
  | "control"
  | "parameters"
  | "moments"
  | "gradients"
  | "batch slots"
  | "rows"
  | "records"
  | "screening"
  | "scratch";

/** A named range of the memory. */
export interface Region {
  readonly name: string;
  readonly role: RegionRole;
  readonly type: RegionType;
  /** Row-major shape, e.g. [latents, dIn]. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly length: number;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface PlanOptions {
  readonly setup: Setup;
  /** Threads that run the stages; each has its own scratch. */
  readonly workers: number;
  /** Mini-batches that fit into the ring. Default 2: one being worked on, one being filled. */
  readonly slots?: number;
  /** Element type of all model arithmetic. Default float32; float64 only for checking gradients. */
  readonly precision?: Precision;
  /** `evaluate` leaves out moments and gradients. Default `train`. */
  readonly purpose?: "train" | "evaluate";
  /**
   * Keep every gradient in memory until the update, not only those of the block being worked on. Always so
   * where records may need several chunks. Default false.
   */
  readonly storeGradients?: boolean;
  /** Bytes of sparse records at most. Default 64 MiB. */
  readonly recordBytes?: number;
  /** How pre-activations are found; no bit of a result depends on it, see encoder.ts. Default exact. */
  readonly encoder?: Encoder;
  /** Share of rows, 0 to 1, whose screening is checked against all exact pre-activations. Default 0. */
  readonly auditShare?: number;
}

/** The layout of a run's memory. Plain data. */
export interface Plan {
  readonly setup: Setup;
  readonly workers: number;
  readonly slots: number;
  readonly precision: Precision;
  readonly purpose: "train" | "evaluate";
  readonly storeGradients: boolean;
  readonly encoder: Encoder;
  readonly auditShare: number;
  /** Sparse records that fit at once (0 for a deep autoencoder). */
  readonly recordCapacity: number;
  /** Bytes of the whole memory, a multiple of the WebAssembly page. */
  readonly byteLength: number;
  readonly regions: readonly Region[];
}

/** Number of fields of a mini-batch's description, see `BATCH` in arena.ts. */
export const BATCH_FIELDS = 5;
/** Number of fields of a step's summary, see `SUMMARY` in arena.ts. */
export const SUMMARY_FIELDS = 12;

type Add = (name: string, role: RegionRole, type: RegionType, ...shape: number[]) => void;

/**
 * Lays out the memory of a run.
 *
 * @throws OptionError if the model or its training is malformed, or the model does not fit into one memory: the message names each
 * part's size and the largest number of latents that fits.
 */
export function planRun(options: PlanOptions): Plan {
  checkModel(options.setup.model);
  checkTraining(options.setup.training);
  const plan = layOut(options);
  if (plan.byteLength > MEMORY_LIMIT_BYTES) throw tooLarge(options, plan);
  return plan;
}

function layOut(options: PlanOptions): Plan {
  const { setup, workers, slots = 2, precision = "float32", purpose = "train", auditShare = 0 } = options;
  const encoder =
    setup.model.kind === "sparse" && precision === "float32" ? (options.encoder ?? "exact") : "exact";
  const floatBytes = precision === "float32" ? 4 : 8;
  const regions: Region[] = [];
  let end = 0;
  const add: Add = (name, role, type, ...shape) => {
    const length = shape.reduce((product, size) => product * size, 1);
    const byteLength = length * (type === "int32" ? 4 : type === "float64" ? 8 : floatBytes);
    const byteOffset = Math.ceil(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    regions.push({ name, role, type, shape, length, byteOffset, byteLength });
    end = byteOffset + byteLength;
  };

  const { batchRows } = setup.training;
  const dIn = inputDimension(setup.model);
  add("team", "control", "int32", TEAM_WORDS + 16 * workers);
  add("control", "control", "int32", 16);
  add("batches", "control", "float64", slots, BATCH_FIELDS);
  add("summaries", "control", "float64", slots, SUMMARY_FIELDS);
  add("mean", "control", "float", dIn);
  add("slots", "batch slots", "float", slots, batchRows, dIn);
  for (const name of ["rowSquaredError", "rowSquares", "rowPenalty"]) add(name, "rows", "float", batchRows);

  const detail = setup.model.kind === "sparse" ? addSparse(add, options, floatBytes) : addDeep(add, options);
  const common = { setup, workers, slots, precision, purpose, encoder, auditShare };
  if (encoder === "screened") addScreening(add, setup, workers);
  const byteLength = Math.ceil(end / 65536) * 65536;
  return { ...common, ...detail, byteLength, regions };
}

type Detail = Pick<Plan, "storeGradients" | "recordCapacity">;

function addParameter(add: Add, purpose: "train" | "evaluate", name: string, ...shape: number[]): void {
  add(name, "parameters", "float", ...shape);
  if (purpose === "train") {
    add(`${name}.m`, "moments", "float", ...shape);
    add(`${name}.v`, "moments", "float", ...shape);
  }
}

function addSparse(add: Add, options: PlanOptions, floatBytes: number): Detail {
  const { setup, workers, purpose = "train", recordBytes = RECORD_BYTES_LIMIT } = options;
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { dIn, latents, k, applyBDecToInput, architecture } = setup.model;
  const { batchRows } = setup.training;
  const { selection, thresholds = false } = ARCHITECTURES[architecture];

  // How many records are kept at once: all of the mini-batch's where that is affordable, and in any case those
  // of one block of rows.
  const mostPerRow = mostRecordsPerRow(setup.model);
  const affordable = Math.floor(recordBytes / (4 + (thresholds ? 3 : 2) * floatBytes));
  // A mini-batch's k·B largest are chosen among all records above a floor, which is moved until they fit.
  const least = selection === "batch" ? BATCH_ROOM * k * batchRows : 0;
  const recordCapacity = Math.min(
    batchRows * mostPerRow,
    Math.max(affordable, ROW_BLOCK * mostPerRow, least),
  );
  const severalChunks = selection !== "batch" && recordCapacity < batchRows * mostPerRow;
  const storeGradients = severalChunks || (options.storeGradients ?? false);
  const blocks = Math.ceil(latents / LATENT_BLOCK);

  addParameter(add, purpose, "W_enc", latents, dIn);
  addParameter(add, purpose, "b_enc", latents);
  addParameter(add, purpose, "W_dec", latents, dIn);
  addParameter(add, purpose, "b_dec", dIn);
  if (thresholds) addParameter(add, purpose, "threshold", latents);
  add("decoderNorm", "parameters", "float", latents);
  if (selection !== "topk") add("floors", "parameters", "float", selection === "batch" ? 1 : latents);
  if (selection === "batch") {
    add("batchThreshold", "control", "float64", BATCH_THRESHOLD_FIELDS);
    add("histogram", "scratch", "int32", HISTOGRAM_BINS);
  }
  add("lastFired", "rows", "float64", latents);
  add("fireCount", "rows", "float64", latents);

  if (applyBDecToInput) add("centredInput", "rows", "float", batchRows, dIn);
  add("residual", "rows", "float", batchRows, dIn);
  const { prefixes } = setup.model;
  if (prefixes !== undefined) {
    add("prefixResidual", "rows", "float", prefixes.length, batchRows, dIn);
    add("rowPrefixError", "rows", "float", batchRows);
    add("prefixRunning", "scratch", "float", workers, dIn);
  }
  add("rowOffset", "records", "int32", batchRows);
  add("rowCount", "records", "int32", batchRows);
  add("rowActive", "records", "int32", batchRows);
  add("recordLatent", "records", "int32", recordCapacity);
  add("recordValue", "records", "float", recordCapacity);
  add("recordGradient", "records", "float", recordCapacity);
  if (thresholds && purpose === "train") add("recordPull", "records", "float", recordCapacity);

  add("preActivations", "scratch", "float", workers, ROW_BLOCK, latents);
  // Tiles of six rows read past the last worker's ROW_BLOCK, and drop what comes of it.
  if (selection === "positive") add("padding", "scratch", "float", 4, latents);
  add("selectedValue", "scratch", "float", workers, Math.max(1, k));
  add("selectedLatent", "scratch", "int32", workers, Math.max(1, k));
  add("packedRows", "scratch", "float", workers, ROW_BLOCK, dIn);
  add("groupMaxima", "scratch", "float", workers, ROW_BLOCK, Math.ceil(latents / 6));
  if (selection === "positive") {
    // For rows of many records.
    add("zeros", "scratch", "float", latents);
    add("combineScratch", "scratch", "float", workers, COMBINE_SCRATCH);
    if (purpose === "train") add("denseColumns", "scratch", "float", workers, 2, LATENT_BLOCK, batchRows);
  }
  if (hasAuxiliary(setup, purpose)) addAuxiliary(add, setup, workers);
  add("candidates", "scratch", "int32", workers, CANDIDATE_WORDS + 16 * candidateCapacity(k));
  if (purpose === "train") {
    const gradientRows = storeGradients ? latents : workers * LATENT_BLOCK;
    add("W_enc.gradient", "gradients", "float", gradientRows, dIn);
    add("W_dec.gradient", "gradients", "float", gradientRows, dIn);
    add("b_enc.gradient", "gradients", "float", latents);
    if (thresholds) add("threshold.gradient", "gradients", "float", latents);
    add("b_dec.gradient", "gradients", "float", dIn);
    add("b_dec.partials", "gradients", "float", blocks, dIn);
    add("activationSum", "gradients", "float", latents);
    add("activeCount", "gradients", "int32", latents);
    add("blockOrder", "control", "int32", blocks);
    add("blockHeat", "control", "int32", blocks);
  }
  return { storeGradients, recordCapacity };
}

/** Whether a run has AuxK: where records always fit, and only in training. */
export function hasAuxiliary(setup: Setup, purpose: "train" | "evaluate"): boolean {
  if (setup.model.kind !== "sparse" || purpose === "evaluate" || setup.training.auxK === undefined)
    return false;
  return ARCHITECTURES[setup.model.architecture].selection !== "positive";
}

/** AuxK's records, one per row and k_aux, and what it keeps of rows and latents: see auxiliary.ts. */
function addAuxiliary(add: Add, { model, training }: Setup, workers: number): void {
  if (model.kind !== "sparse" || training.auxK === undefined) throw new Error("internal: no AuxK");
  const { dIn, latents } = model;
  const { batchRows } = training;
  add("auxiliary", "control", "float64", 1);
  add("deadLatents", "rows", "int32", latents);
  add("errorSum", "rows", "float", dIn);
  add("rowAuxiliary", "rows", "float", batchRows);
  add("auxResidual", "rows", "float", batchRows, dIn);
  for (const name of ["auxOffset", "auxCount"]) add(name, "records", "int32", batchRows);
  add("auxLatent", "records", "int32", batchRows, training.auxK.k);
  for (const name of ["auxValue", "auxGradient"]) add(name, "records", "float", batchRows, training.auxK.k);
  // What gathering adds up beside gradients means nothing here.
  add("auxSum", "scratch", "float", latents);
  add("auxActive", "scratch", "int32", latents);
  add("auxScores", "scratch", "float", workers, latents);
  add("auxCandidates", "scratch", "int32", workers, latents);
  add("auxErrors", "scratch", "float", workers, dIn);
  add("auxZeros", "scratch", "float", dIn);
}

/** What the screened encoder keeps: see assembly/quantise.ts and wasm/screen.ts. */
function addScreening(add: Add, setup: Setup, workers: number): void {
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { dIn, latents } = setup.model;
  const padded = quantisedLength(dIn);
  add("equaliser", "screening", "float", 2, dIn);
  add("quantisedLatents", "screening", "int32", Math.ceil(latents / 4), padded);
  add("latentTerms", "screening", "float", 4 * Math.ceil(latents / 4), 4);
  add("rowScreening", "screening", "float", setup.training.batchRows, SCREENING_FIELDS);
  add("quantisedRows", "screening", "int32", workers, ROW_BLOCK, padded / 4);
  add("rowTerms", "screening", "float", workers, ROW_BLOCK / 8 + 1, 32);
  add("screenedCandidates", "screening", "int32", workers, 18 * screenedCapacity(setup.model));
}

/** Records for which there is room at least, as a multiple of those that a mini-batch of BatchTopK keeps. */
const BATCH_ROOM = 3;

/** Fields of the state of BatchTopK's threshold, see `BATCH_THRESHOLD` in arena.ts. */
export const BATCH_THRESHOLD_FIELDS = 6;

/** Bins by which the mini-batch's records are counted: the upper half of a number's bits, then the lower. */
export const HISTOGRAM_BINS = 65536;

/** Fields of a row's report on its screening, see `SCREENING` in arena.ts. */
export const SCREENING_FIELDS = 4;

/** Dimensions of quantised rows and latents: filled up to a multiple of 32. */
export function quantisedLength(dIn: number): number {
  return 32 * Math.ceil(dIn / 32);
}

/** Candidates of a row at which screening gives up on it: a multiple of 4. */
export function screenedCapacity({ architecture, latents, k }: SparseModelSetup): number {
  const most = ARCHITECTURES[architecture].selection === "positive" ? Math.ceil(latents / 4) : 4 * k + 256;
  return 4 * Math.ceil((Math.min(most, latents) + 1) / 4);
}

function addDeep(add: Add, options: PlanOptions): Detail {
  const { setup, workers, purpose = "train", storeGradients = false } = options;
  if (setup.model.kind !== "deep") throw new Error("internal: not a deep model");
  const { widths } = setup.model;
  const { batchRows } = setup.training;
  for (let layer = 1; layer < widths.length; layer++) {
    const inputs = widths[layer - 1] as number;
    const outputs = widths[layer] as number;
    addParameter(add, purpose, `layers.${layer - 1}.weight`, outputs, inputs);
    addParameter(add, purpose, `layers.${layer - 1}.bias`, outputs);
    add(`activation.${layer}`, "rows", "float", batchRows, outputs);
    if (purpose === "train") {
      add(`delta.${layer}`, "rows", "float", batchRows, outputs);
      add(
        `layers.${layer - 1}.weight.gradient`,
        "gradients",
        "float",
        storeGradients ? outputs : workers * UNIT_BLOCK,
        inputs,
      );
      add(`layers.${layer - 1}.bias.gradient`, "gradients", "float", outputs);
    }
  }
  // Last, and with room to spare: the kernels fill up tiles with what lies behind the rows of a block.
  const widest = Math.max(...widths);
  add("packedRows", "scratch", "float", workers, Math.max(DEEP_ROW_BLOCK * widest, COMBINE_SCRATCH));
  if (purpose === "train")
    add("packedDeltas", "scratch", "float", workers, UNIT_BLOCK, packedDeltaLength(batchRows));
  add("preActivations", "scratch", "float", workers, DEEP_ROW_BLOCK, widest);
  return { storeGradients, recordCapacity: 0 };
}

/**
 * Numbers from one output unit's deltas to the next: a cache line more than the rows, or units whose number of rows is a
 * power of two would all share a few sets of the cache.
 */
export function packedDeltaLength(batchRows: number): number {
  return batchRows + 16;
}

/** Numbers of scratch for a product of columns: two packed panels of 384, two columns of at most UNIT_BLOCK + 5. */
const COMBINE_SCRATCH = 2 * 8 * 384 + 2 * 8 * (UNIT_BLOCK + 6);

/** Int32 words before the candidate lists: two vectors of 8 rows, counts and bounds. */
export const CANDIDATE_WORDS = 16;

/** Candidates of a row that are kept before the k best are chosen among them: a multiple of 4. */
export function candidateCapacity(k: number): number {
  return 4 * Math.ceil((2 * k + 64) / 4);
}

/** Most records that one row of a mini-batch can have. */
export function mostRecordsPerRow(model: SparseModelSetup): number {
  return ARCHITECTURES[model.architecture].selection === "topk" ? model.k : model.latents;
}

/** The region called `name`. Throws if the plan has none. */
export function regionOf(plan: Plan, name: string): Region {
  const region = plan.regions.find((candidate) => candidate.name === name);
  if (region === undefined) throw new Error(`internal: the plan has no region ${name}`);
  return region;
}

/** Bytes of each role, largest first. */
export function bytesByRole(plan: Plan): [RegionRole, number][] {
  const bytes = new Map<RegionRole, number>();
  for (const region of plan.regions)
    bytes.set(region.role, (bytes.get(region.role) ?? 0) + region.byteLength);
  return [...bytes].sort((a, b) => b[1] - a[1]);
}

function tooLarge(options: PlanOptions, plan: Plan): OptionError {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const parts = bytesByRole(plan)
    .filter(([, bytes]) => bytes >= 2 ** 20)
    .map(([role, bytes]) => `${role} ${gib(bytes)}`)
    .join(", ");
  const { model } = options.setup;
  const needs = `the model needs ${gib(plan.byteLength)} (${parts}) but one memory holds ${gib(MEMORY_LIMIT_BYTES)}`;
  if (model.kind === "deep")
    return new OptionError("widths", `${needs}; use narrower layers or a smaller mini-batch`);
  let fits = 0;
  let tooMany = model.latents;
  while (tooMany - fits > 1) {
    const latents = Math.floor((fits + tooMany) / 2);
    const smaller = {
      ...options,
      setup: { ...options.setup, model: { ...model, latents, k: Math.min(model.k, latents) } },
    };
    if (layOut(smaller).byteLength <= MEMORY_LIMIT_BYTES) fits = latents;
    else tooMany = latents;
  }
  const advice =
    fits > 0
      ? `the largest number of latents that fits is ${fits}`
      : `no number of latents fits: use a smaller mini-batch than ${options.setup.training.batchRows} rows`;
  return new OptionError("latents", `${needs}; ${advice}`);
}
