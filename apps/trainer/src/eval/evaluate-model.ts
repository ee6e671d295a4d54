/** Evaluates a model on a corpus, in raw units or as its LayerNorm leaves rows, on a worker team of its own. */
import { densityHistogram, type DensityHistogram } from "@sparseloom/core";
import {
  type Corpus,
  type CorpusStatistics,
  estimateStatistics,
  readStatistics,
  RowStream,
  type Split,
} from "@sparseloom/data";
import { RequestError } from "../errors.ts";
import { evaluate } from "../evaluate.ts";
import { startModelTeam, transformOfModel } from "../model-team.ts";
import { openForModel } from "../open-corpus.ts";
import {
  filtersForModel,
  idleModelFilterWarnings,
  type ModelFilterOptions,
  type RecordedFilters,
} from "../row-filters.ts";
import {
  columnsOf,
  columnWarnings,
  type LoadedModel,
  readModel,
  trainingRecordOf,
} from "../run/model-folder.ts";
import { partOfRows } from "../slot-rows.ts";
import { type DeadReport, DeadSample } from "./dead-sample.ts";
import { findGroundTruth } from "./ground-truth.ts";
import { type Quality, QualityMeter } from "./quality.ts";
import { readHistory } from "./training-history.ts";

/** What `eval --json` prints. */
export interface EvalResult extends Quality {
  readonly model: string;
  readonly split: Split;
  readonly rows: number;
  /** Rows that the row filters left out where those were read. */
  readonly filteredRows: number;
  /** The row filters; null: none. */
  readonly filters: RecordedFilters | null;
  /** What rows and reconstructions are measured as: raw, or both as the model's LayerNorm leaves rows. */
  readonly units: "raw" | "layer-norm";
  /** Mean over rows of ‖x − x̂‖². */
  readonly mse: number;
  readonly fvu: number;
  readonly l0: number;
  /** Latents that no evaluated row activated; the window is all evaluated rows. */
  readonly dead: number;
  readonly latents: number;
  readonly density: DensityHistogram;
  /** Why latents are dead, where that was asked for; null otherwise, and for a deep autoencoder. */
  readonly deadLatents: DeadReport | null;
}

/** Options of {@link evaluateModel}. */
export interface EvalOptions {
  /** Default: the model's own, or the only one there is. */
  readonly column?: string | readonly string[] | undefined;
  readonly split: Split;
  /** Rows at most. */
  readonly rows: number;
  readonly workers: number;
  /** File of true features. Default: the one beside the corpus, if there is one. */
  readonly features?: string | undefined;
  /** Default: the model's own filters. */
  readonly filters?: ModelFilterOptions | undefined;
  /** Whether to find a cause for each dead latent. Default: no. */
  readonly dead?: boolean | undefined;
}

/** Evaluates a model folder (or a run's model) on a corpus. */
export async function evaluateModel(
  path: string,
  patterns: readonly string[],
  options: EvalOptions,
): Promise<EvalResult> {
  const loaded = await readModel(path);
  await using corpus = await openForModel(loaded, patterns, options.workers, options.column);
  const { seed, heldOut, documentColumn } = recordOf(loaded);
  const unfiltered = {
    seed,
    split: options.split,
    heldOut: documentColumn === undefined ? { fraction: heldOut } : { fraction: heldOut, documentColumn },
  };
  const filters = await filtersForModel(loaded.cfg, corpus, options.filters, {
    ...unfiltered,
    split: "all",
  });
  const split = { ...unfiltered, filters };
  // Variance is measured about the whole corpus's mean, whichever split is evaluated.
  const statistics =
    (await readStatistics(corpus, filters)) ?? (await estimateStatistics(corpus, { ...split, split: "all" }));
  const { layerNorm } = transformOfModel(loaded.model);
  const { mean } =
    layerNorm === undefined
      ? statistics
      : await estimateStatistics(corpus, { ...split, split: "all", layerNorm });
  const { team: started, transform } = startModelTeam(loaded, corpus, mean, options.workers);
  await using team = started;
  // True features are of one place.
  const truth = corpus.columns.length > 1 ? undefined : await findGroundTruth(corpus, options.features);
  const meter = new QualityMeter(team.arena, transform, truth, columnsOf(loaded));
  await using stream = new RowStream(corpus, { ...split, shuffle: "window", epochs: 1, transform });
  const sample = options.dead === true ? new DeadSample(loaded.model.dIn) : undefined;
  const found = await evaluate(team, stream, options.rows, {
    onRows: (arena, rowIds, rows, slot) => {
      meter.add(arena, rowIds, rows, slot);
      if (arena.kind === "sparse") sample?.add(arena, rows, slot);
    },
  });
  await team.stop();
  if (found.rows === 0) {
    throw new RequestError(
      stream.filteredRows > 0
        ? `the row filters leave out all ${stream.filteredRows} rows of the split "${options.split}"`
        : `no row of the corpus is in the split "${options.split}" at a held-out share of ${heldOut}: take --split all`,
    );
  }
  const quality = meter.result();
  let deadLatents: DeadReport | null = null;
  if (sample !== undefined && team.arena.kind === "sparse") {
    const { latents, applyBDecToInput } = team.arena.model;
    const centre =
      recordOf(loaded).centred && !applyBDecToInput
        ? partOfRows(Float32Array.from(statistics.mean), team.arena.model, "input")
        : undefined;
    deadLatents = sample.diagnose(team.arena, found.fireCount, await readHistory(path, latents), centre);
  }
  return {
    model: loaded.path,
    split: options.split,
    rows: found.rows,
    filteredRows: stream.filteredRows,
    filters: filters ?? null,
    units: layerNorm === undefined ? "raw" : "layer-norm",
    mse: found.mse / transform.scale ** 2,
    fvu: found.fvu,
    l0: found.l0,
    dead: found.neverActive,
    latents: found.fireCount.length,
    density: densityHistogram(found.fireCount, found.rows),
    deadLatents,
    ...quality,
    warnings: [
      ...quality.warnings,
      ...columnWarnings(loaded, corpus),
      ...foreignSplit(loaded, corpus, options.split),
      ...mismatches(loaded, statistics),
      ...idleModelFilterWarnings(options.filters, stream, found.rows),
    ],
  };
}

interface TrainingRecord {
  /** Decided who is held out. */
  readonly seed: number;
  readonly heldOut: number;
  readonly documentColumn: string | undefined;
  /** Whether rows were centred on the corpus's mean. */
  readonly centred: boolean;
  /** Of the corpus that it was trained on. */
  readonly fingerprint: string | undefined;
  readonly corpus: { readonly meanNorm?: number; readonly totalVariance?: number; readonly gamma?: number };
}

/** What the model says of its training; a model of another tool says nothing. */
function recordOf({ cfg }: LoadedModel): TrainingRecord {
  const record = trainingRecordOf(cfg);
  const scaling = (record["scaling"] ?? {}) as Record<string, unknown>;
  return {
    seed: [record["dataSeed"], record["seed"]].find((seed) => typeof seed === "number") ?? 0,
    heldOut: typeof record["heldOut"] === "number" ? record["heldOut"] : 0.01,
    documentColumn: typeof record["documentColumn"] === "string" ? record["documentColumn"] : undefined,
    centred: scaling["center"] === true,
    fingerprint: typeof record["corpusFingerprint"] === "string" ? record["corpusFingerprint"] : undefined,
    corpus: (record["corpus"] ?? {}) as TrainingRecord["corpus"],
  };
}

/** Who is held out follows from a row's place in the corpus: in another corpus it says nothing about training. */
function foreignSplit(loaded: LoadedModel, corpus: Corpus, split: Split): string[] {
  const { fingerprint } = recordOf(loaded);
  if (split === "all" || fingerprint === corpus.fingerprint) return [];
  return [
    `the model was not trained on this very corpus (or does not say so): its "${split}" rows are not those of the training`,
  ];
}

/** Ratios of mean norm or variance beyond which a corpus is probably another layer, model or scaling. */
const MISMATCH_RATIO = 1.25;

function mismatches(loaded: LoadedModel, here: CorpusStatistics): string[] {
  const { corpus: there } = recordOf(loaded);
  const warning = (name: string, now: number, then: number): string =>
    `the corpus's ${name} is ${now.toPrecision(4)}, the model was trained on ${then.toPrecision(4)}: is it the same place in the same model?`;
  const warnings = (["meanNorm", "totalVariance"] as const).flatMap((key) => {
    const [now, then] = [here[key], there[key]];
    if (then === undefined || then === 0 || now === 0) return [];
    if (Math.max(now / then, then / now) <= MISMATCH_RATIO) return [];
    return [warning(key === "meanNorm" ? "mean norm" : "total variance", now, then)];
  });
  // ‖mean‖ = γ·sd: a mean that came or went need not show in the norms.
  const { meanNorm, gamma, totalVariance } = there;
  if (meanNorm === undefined || typeof gamma !== "number" || totalVariance === undefined) return warnings;
  const now = Math.hypot(...here.mean);
  const then = gamma * Math.sqrt(totalVariance);
  return Math.abs(now - then) > (MISMATCH_RATIO - 1) * meanNorm
    ? [...warnings, warning("mean's length", now, then)]
    : warnings;
}
