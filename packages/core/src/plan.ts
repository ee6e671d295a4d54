/**
 * The memory map of a run: a pure function from the setup to named regions of one memory. Main thread and
 * workers make typed-array views over the same regions; kernels of other languages get byte offsets.
 */
import { OptionError } from "./errors.ts";
import { BATCH_FIELDS, GRADIENT_NORM_FIELDS, SUMMARY_FIELDS } from "./fields.ts";
import { addDeep } from "./plan-deep.ts";
import { type Add, addMatrixWork, gradientsFirst, hasMuon } from "./plan-parts.ts";
import { checkPAnnealing } from "./p-annealing.ts";
import { addScreening, addSparse } from "./plan-sparse.ts";
import type { Precision } from "./precision.ts";
import { checkSelection } from "./selection.ts";
import { checkAuxiliary, checkModel, checkTrainable, checkTraining, requireWhole } from "./check-setup.ts";
import { inputDimension, outputDimension, rowDimension, type Setup } from "./setup.ts";

/** One WebAssembly memory holds at most 65,536 pages of 64 KiB. */
const MEMORY_LIMIT_BYTES = 2 ** 32;

/** Regions start at multiples of a cache line, so that no two threads' regions share one. */
const ALIGNMENT_BYTES = 64;

/** Int32 words for whoever runs the team (barrier, tickets, progress): one cache line each, see the trainer. */
const TEAM_WORDS = 256;

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
  | "averages"
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

/** What {@link planRun} lays out memory for. */
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
   * where records may need several chunks, or no parameter is updated before all gradients are there. Default: also where rows
   * may have many records, which are gathered faster so (decision 007).
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

/**
 * Lays out the memory of a run.
 *
 * @throws OptionError if the model or its training is malformed, or the model does not fit into one memory: the message names each
 * part's size and the largest number of latents that fits.
 */
export function planRun(options: PlanOptions): Plan {
  const { setup, workers, slots = 2, purpose = "train" } = options;
  checkModel(setup.model);
  checkTraining(setup.training);
  checkSelection(setup);
  checkPAnnealing(setup);
  if (purpose === "train") {
    checkTrainable(setup.model);
    checkAuxiliary(setup);
  }
  requireWhole("workers", workers, 1);
  requireWhole("slots", slots, 1);
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
  add("team", "control", "int32", TEAM_WORDS + 16 * workers);
  add("control", "control", "int32", 32);
  add("batches", "control", "float64", slots, BATCH_FIELDS);
  add("summaries", "control", "float64", slots, SUMMARY_FIELDS);
  const { model } = setup;
  add("mean", "control", "float", model.kind === "sparse" ? outputDimension(model) : inputDimension(model));
  add("slots", "batch slots", "float", slots, batchRows, rowDimension(model));
  if (purpose === "train" && gradientsFirst(setup.training))
    add("gradientNorm", "control", "float64", GRADIENT_NORM_FIELDS);
  for (const name of ["rowSquaredError", "rowSquares", "rowPenalty"]) add(name, "rows", "float", batchRows);

  const detail = setup.model.kind === "sparse" ? addSparse(add, options, floatBytes) : addDeep(add, options);
  const common = { setup, workers, slots, precision, purpose, encoder, auditShare };
  if (encoder === "screened") addScreening(add, setup, workers);
  if (hasMuon({ setup, purpose })) addMatrixWork(add, regions, workers);
  const byteLength = Math.ceil(end / 65536) * 65536;
  return { ...common, ...detail, byteLength, regions };
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
  const { batchRows } = options.setup.training;
  const advice =
    fits > 0
      ? `the largest number of latents that fits is ${fits}`
      : `no number of latents fits: use ${batchRows > 1 ? `a smaller mini-batch than ${batchRows} rows, or ` : ""}activations of fewer dimensions than ${model.dIn}`;
  return new OptionError("latents", `${needs}; ${advice}`);
}
