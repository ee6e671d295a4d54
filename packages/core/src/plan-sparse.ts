/** The memory of a sparse autoencoder. */
import { ARCHITECTURES, pulledBy } from "./architectures/index.ts";
import { GATHERED_BLOCKS, LATENT_BLOCK, ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { AUXILIARY_FIELDS, BATCH_THRESHOLD_FIELDS, P_ANNEALING_FIELDS, SCREENING_FIELDS } from "./fields.ts";
import { packedDeltaLength } from "./plan-deep.ts";
import type { Plan, PlanOptions } from "./plan.ts";
import { type Add, addParameter, COMBINE_SCRATCH, type Detail, gradientsFirst } from "./plan-parts.ts";
import { mostK, mostSelected, usualSelected } from "./selection.ts";
import { outputDimension, type Setup, type SparseModelSetup } from "./setup.ts";
import {
  CHAIN_WORDS,
  COLUMNS,
  LATENT_TERMS,
  MASKS,
  PANEL,
  quantisedLength,
  quantisedPanelBytes,
  ROW_TERMS,
  SCREEN_LATENTS,
  SPAN,
  TILE,
  WIDE_TILE,
} from "./tiles.ts";

/** Bytes of sparse records at most; what does not fit is worked off in several chunks of rows. */
const RECORD_BYTES_LIMIT = 64 * 2 ** 20;

/** Adds the regions of a sparse autoencoder. */
export function addSparse(add: Add, options: PlanOptions, floatBytes: number): Detail {
  const { setup, workers, purpose = "train", recordBytes = RECORD_BYTES_LIMIT } = options;
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { dIn, latents, applyBDecToInput, architecture } = setup.model;
  const dOut = outputDimension(setup.model);
  const { batchRows } = setup.training;
  const kind = ARCHITECTURES[architecture];
  const { selection, scalars = [], gate = false } = kind;
  const pulled = pulledBy(kind);
  const k = mostK(setup);
  const selected = mostSelected(setup);

  // How many records are kept at once: all of the mini-batch's where that is affordable, and in any case those
  // of one block of rows.
  const mostPerRow = mostRecordsPerRow(setup);
  const affordable = Math.floor(recordBytes / (4 + (2 + pulled.length + (gate ? 1 : 0)) * floatBytes));
  // A mini-batch's k·B largest are chosen among all records above a floor, which is moved until they fit.
  const least = selection === "batch" ? BATCH_ROOM * k * batchRows : 0;
  const recordCapacity = Math.min(
    batchRows * mostPerRow,
    Math.max(affordable, ROW_BLOCK * mostPerRow, least),
  );
  const severalChunks = selection !== "batch" && recordCapacity < batchRows * mostPerRow;
  const manyRecords = selection === "positive";
  const storeGradients =
    severalChunks || gradientsFirst(setup.training) || (options.storeGradients ?? manyRecords);
  const blocks = Math.ceil(latents / LATENT_BLOCK);

  addParameter(add, options, "W_enc", latents, dIn);
  addParameter(add, options, "b_enc", latents);
  addParameter(add, options, "W_dec", latents, dOut);
  addParameter(add, options, "b_dec", dOut);
  if (setup.model.skip === true) addSkip(add, options, setup.model);
  for (const name of scalars) addParameter(add, options, name, latents);
  if (gate) add("magnitudeGain", "parameters", "float", latents);
  add("decoderNorm", "parameters", "float", latents);
  if (selection !== "topk") add("floors", "parameters", "float", selection === "batch" ? 1 : latents);
  if (selection === "batch") {
    add("batchThreshold", "control", "float64", BATCH_THRESHOLD_FIELDS);
    add("histogram", "scratch", "int32", HISTOGRAM_BINS);
  }
  add("lastFired", "rows", "float64", latents);
  add("fireCount", "rows", "float64", latents);

  if (applyBDecToInput) add("centredInput", "rows", "float", batchRows, dIn);
  add("residual", "rows", "float", batchRows, dOut);
  const { prefixes } = setup.model;
  if (prefixes !== undefined) {
    add("prefixResidual", "rows", "float", prefixes.length, batchRows, dOut);
    add("rowPrefixError", "rows", "float", batchRows);
    add("prefixRunning", "scratch", "float", workers, dOut);
  }
  add("rowOffset", "records", "int32", batchRows);
  add("rowCount", "records", "int32", batchRows);
  add("rowActive", "records", "int32", batchRows);
  add("recordLatent", "records", "int32", recordCapacity);
  add("recordValue", "records", "float", recordCapacity);
  add("recordGradient", "records", "float", recordCapacity);
  if (purpose === "train") {
    for (const name of pulled) add(`recordPull.${name}`, "records", "float", recordCapacity);
    if (gate) add("recordGate", "records", "float", recordCapacity);
  }

  add("preActivations", "scratch", "float", workers, ROW_BLOCK, latents);
  add("selectedValue", "scratch", "float", workers, Math.max(1, selected));
  add("selectedLatent", "scratch", "int32", workers, Math.max(1, selected));
  add("packedRows", "scratch", "float", workers, ROW_BLOCK, Math.max(dIn, dOut));
  add("groupMaxima", "scratch", "float", workers, ROW_BLOCK, Math.ceil(latents / TILE));
  if (manyRecords) {
    add("zeros", "scratch", "float", latents);
    add("recordCursors", "scratch", "int32", workers, ROW_BLOCK + CHAIN_WORDS);
    const gathered = purpose === "train" && storeGradients ? gatheredLatents(setup, workers) : 0;
    add("recordColumns", "scratch", "float", workers, recordColumnsLength(setup.model, gathered));
  }
  if (gate && purpose === "train") {
    add("rowSecondError", "rows", "float", batchRows);
    add("gateResidual", "scratch", "float", workers, ROW_BLOCK, dOut);
    add("inputGradient", "gradients", "float", latents);
  }
  if (purpose === "train" && setup.training.pAnneal !== undefined) {
    add("pAnnealing", "control", "float64", P_ANNEALING_FIELDS);
    add("rowNextPenalty", "rows", "float", batchRows);
  }
  if (hasWide(setup, purpose)) addWide(add, setup, workers);
  if (hasPreActLoss(setup, purpose)) {
    add("silentSums", "rows", "float64", latents);
    add("silentLatents", "scratch", "int32", workers, LATENT_BLOCK);
    add("silentScores", "scratch", "float", workers, LATENT_BLOCK);
  }
  if (hasAuxiliary(setup, purpose)) addAuxiliary(add, setup, workers);
  add("candidates", "scratch", "int32", workers, CANDIDATE_WORDS + 16 * candidateCapacity(selected));
  if (purpose === "train") {
    const gradientRows = storeGradients ? latents : workers * LATENT_BLOCK;
    add("W_enc.gradient", "gradients", "float", gradientRows, dIn);
    add("W_dec.gradient", "gradients", "float", gradientRows, dOut);
    add("b_enc.gradient", "gradients", "float", latents);
    for (const name of scalars) add(`${name}.gradient`, "gradients", "float", latents);
    add("b_dec.gradient", "gradients", "float", dOut);
    add("b_dec.partials", "gradients", "float", blocks, dIn);
    add("activationSum", "gradients", "float", latents);
    add("activeCount", "gradients", "int32", latents);
    if (hasSortedRecords(setup)) {
      add("sortedRecords", "records", "int32", Math.min(recordCapacity, batchRows * selected), SORTED_WORDS);
      add("sortedStarts", "records", "int32", Math.ceil(batchRows / PANEL), blocks + 3);
    }
    add("waitingRecords", "scratch", "int32", workers, LATENT_BLOCK, WAITING_WORDS);
    add("blockOrder", "control", "int32", blocks);
    add("blockHeat", "control", "int32", blocks);
  }
  return { storeGradients, recordCapacity };
}

/** What is summed by latent beside the weights' gradients: regions of numbers per record, and where their sums go. */
export function latentSums({ setup: { model }, purpose }: Plan): (readonly [string, string])[] {
  if (model.kind !== "sparse" || purpose === "evaluate") return [];
  return pulledBy(ARCHITECTURES[model.architecture]).map(
    (name) => [`recordPull.${name}`, `${name}.gradient`] as const,
  );
}

/** Whether a run has AuxK: where records always fit, and only in training. */
export function hasAuxiliary(setup: Setup, purpose: "train" | "evaluate"): boolean {
  if (setup.model.kind !== "sparse" || purpose === "evaluate" || setup.training.auxK === undefined)
    return false;
  return ARCHITECTURES[setup.model.architecture].selection !== "positive";
}

/** Whether a run has the pre-activation loss: of latents with thresholds, and only in training. */
export function hasPreActLoss(setup: Setup, purpose: "train" | "evaluate"): boolean {
  if (setup.model.kind !== "sparse" || purpose === "evaluate") return false;
  return setup.training.preActCoefficient !== undefined && setup.model.architecture === "jumprelu";
}

/** AuxK's records, one per row and k_aux, and what it keeps of rows and latents: see auxiliary.ts. */
function addAuxiliary(add: Add, { model, training }: Setup, workers: number): void {
  if (model.kind !== "sparse" || training.auxK === undefined) throw new Error("internal: no AuxK");
  const { latents } = model;
  const dOut = outputDimension(model);
  const { batchRows } = training;
  add("auxiliary", "control", "float64", AUXILIARY_FIELDS);
  add("deadLatents", "rows", "int32", latents);
  add("errorSum", "rows", "float", dOut);
  add("rowAuxiliary", "rows", "float", batchRows);
  add("auxResidual", "rows", "float", batchRows, dOut);
  for (const name of ["auxOffset", "auxCount"]) add(name, "records", "int32", batchRows);
  add("auxLatent", "records", "int32", batchRows, training.auxK.k);
  for (const name of ["auxValue", "auxGradient"]) add(name, "records", "float", batchRows, training.auxK.k);
  // What gathering adds up beside gradients means nothing here.
  add("auxSum", "scratch", "float", latents);
  add("auxActive", "scratch", "int32", latents);
  add("auxScores", "scratch", "float", workers, latents);
  add("auxCandidates", "scratch", "int32", workers, latents);
  add("auxErrors", "scratch", "float", workers, dOut);
  add("auxZeros", "scratch", "float", dOut);
}

/** Whether rows also have the wider set of multi-TopK: only in training. */
export function hasWide(setup: Setup, purpose: "train" | "evaluate"): boolean {
  return purpose === "train" && setup.training.multiTopK === true;
}

/** The wide records, 4k per row, and what they leave of rows: see multi-topk.ts. */
function addWide(add: Add, setup: Setup, workers: number): void {
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { latents } = setup.model;
  const { batchRows } = setup.training;
  const selected = mostSelected(setup);
  add("rowSecondError", "rows", "float", batchRows);
  add("wideResidual", "rows", "float", batchRows, outputDimension(setup.model));
  for (const name of ["wideOffset", "wideCount"]) add(name, "records", "int32", batchRows);
  add("wideLatent", "records", "int32", batchRows, selected);
  for (const name of ["wideValue", "wideGradient"]) add(name, "records", "float", batchRows, selected);
  add("wideSorted", "scratch", "float", workers, selected);
  // What gathering adds up beside gradients means nothing here.
  add("wideSum", "scratch", "float", latents);
  add("wideActive", "scratch", "int32", latents);
}

/** A skip transcoder's linear map, and what its products need: see reference/skip.ts. */
function addSkip(add: Add, options: PlanOptions, model: SparseModelSetup): void {
  const { setup, workers, purpose = "train" } = options;
  const { dIn } = model;
  const dOut = outputDimension(model);
  const { batchRows } = setup.training;
  addParameter(add, options, "W_skip", dOut, dIn);
  add("unskipped", "rows", "float", batchRows, dOut);
  add("skipZeros", "scratch", "float", dOut);
  if (purpose === "train") {
    add("W_skip.gradient", "gradients", "float", dOut, dIn);
    add("skipCombine", "scratch", "float", workers, COMBINE_SCRATCH);
    // Tiles of six units read past the last worker's, into what follows, and drop what comes of it.
    add("skipDeltas", "scratch", "float", workers, UNIT_BLOCK, packedDeltaLength(batchRows));
    add("skipPadding", "scratch", "float", TILE, packedDeltaLength(batchRows));
  }
  add("skipProducts", "scratch", "float", workers, ROW_BLOCK, dOut);
}

/** What the screened encoder keeps: see assembly/quantise.ts and wasm/screen.ts. */
export function addScreening(add: Add, setup: Setup, workers: number): void {
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { dIn, latents } = setup.model;
  const padded = quantisedLength(dIn);
  const filled = SCREEN_LATENTS * Math.ceil(latents / SCREEN_LATENTS);
  add("equaliser", "screening", "float", 2, dIn);
  add("quantisedLatents", "screening", "int32", filled, padded / 4);
  add("latentTerms", "screening", "float", filled, LATENT_TERMS / 4);
  add("rowScreening", "screening", "float", setup.training.batchRows, SCREENING_FIELDS);
  add("quantisedRows", "screening", "int32", workers, ROW_BLOCK / PANEL, quantisedPanelBytes(dIn, 0) / 4);
  add("rowTerms", "screening", "float", workers, ROW_BLOCK / PANEL, ROW_TERMS / 4);
  add("screenSums", "screening", "int32", workers, 2 * WIDE_TILE * PANEL);
  add("settled", "screening", "float", workers, 3 * PANEL);
  if (ARCHITECTURES[setup.model.architecture].selection !== "topk")
    add("screenedRows", "screening", "int32", workers, SCREENED_ROW_WORDS);
  add("screenedCandidates", "screening", "int32", workers, SCREENED_LIST_WORDS * screenedCapacity(setup));
}

/** Words of a worker's tables of its block's rows: where a row's candidates begin, how many they are, scratch; see wasm/screen-above.ts. */
export const SCREENED_ROW_WORDS: number = 3 * ROW_BLOCK + CHAIN_WORDS;

/** Words of a worker's lists of candidates, and of what is evaluated of them, for each entry of a list: two of each, of eight rows. */
export const SCREENED_LIST_WORDS = 32;

/** Records for which there is room at least, as a multiple of those that a mini-batch of BatchTopK keeps. */
const BATCH_ROOM = 3;

/** Bins by which the mini-batch's records are counted: the upper half of a number's bits, then the lower. */
export const HISTOGRAM_BINS = 65536;

/** Candidates of a row at which screening gives up on it: a multiple of 4. */
export function screenedCapacity(setup: Setup): number {
  if (setup.model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const { architecture, latents } = setup.model;
  const dense = ARCHITECTURES[architecture].selection === "positive";
  const most = dense ? Math.ceil(latents / 4) : 4 * usualSelected(setup) + 256;
  return 4 * Math.ceil((Math.min(most, latents) + 1) / 4);
}

/**
 * Latents of one block of work of the stage that gathers stored gradients: several times LATENT_BLOCK where rows may have many
 * records, but few enough that each of `workers` threads gets eight blocks. No bit depends on it.
 */
export function gatheredLatents({ model }: Setup, workers: number): number {
  if (model.kind !== "sparse" || ARCHITECTURES[model.architecture].selection !== "positive")
    return LATENT_BLOCK;
  const blocks = Math.floor(model.latents / (8 * workers * LATENT_BLOCK));
  return LATENT_BLOCK * Math.max(1, Math.min(GATHERED_BLOCKS, blocks));
}

/** Words of scratch for decoding a block of rows by columns, and for gathering `latents` at once: assembly/record-columns.ts. */
function recordColumnsLength({ dIn, dOut = dIn }: SparseModelSetup, latents: number): number {
  const packed = COLUMNS * SPAN;
  const tiles = (units: number, length: number): number => COLUMNS * units * Math.ceil(length / COLUMNS);
  const forRows = ROW_BLOCK * (2 + 2 * SPAN) + packed + tiles(ROW_BLOCK, dOut);
  const forLatents = latents * (2 + 3 * SPAN) + SPAN + packed + tiles(latents, dOut) + tiles(latents, dIn);
  return Math.max(forRows, forLatents);
}

/** Whether records are sorted by blocks of latents for gathering: where they are few. */
export function hasSortedRecords(setup: Setup): boolean {
  return setup.model.kind === "sparse" && ARCHITECTURES[setup.model.architecture].selection !== "positive";
}

/** Words of a sorted record, see assembly/gather.ts. */
const SORTED_WORDS = 4;

/** Words of the records of a latent that wait to be added to its gradients, see assembly/gather.ts. */
const WAITING_WORDS = 13;

/** Int32 words before the candidate lists: four vectors of 8 rows, as counts and bounds, then the masks of assembly/masks.ts. */
export const CANDIDATE_WORDS: number = 4 * PANEL + 2 * MASKS;

/** Candidates of a row that are kept before the k best are chosen among them: a multiple of 4. */
export function candidateCapacity(k: number): number {
  return 4 * Math.ceil((2 * k + 64) / 4);
}

/** Most records that one row of a mini-batch can have. */
export function mostRecordsPerRow(setup: Setup): number {
  const { model } = setup;
  if (model.kind !== "sparse") throw new Error("internal: not a sparse model");
  return ARCHITECTURES[model.architecture].selection === "topk" ? mostSelected(setup) : model.latents;
}
