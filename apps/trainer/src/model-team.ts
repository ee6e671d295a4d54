/** A worker team for a finished model: its weights in an arena that only evaluates. */
import {
  type Arena,
  bestKernelVariant,
  chooseEncoder,
  evaluationTraining,
  DeepAutoencoder,
  IDENTITY_TRANSFORM,
  type JumpSetup,
  type ModelSetup,
  planRun,
  refreshDerived,
  type RowTransform,
  type SparseAutoencoder,
  transformMean,
} from "@sparseloom/core";
import type { Corpus } from "@sparseloom/data";
import { RequestError } from "./errors.ts";
import type { LoadedModel } from "./run/model-folder.ts";
import { partOfRows } from "./slot-rows.ts";
import { Team } from "./team/team.ts";

/** Rows of a mini-batch when evaluating: enough to keep all workers busy. */
const EVALUATION_ROWS = 1024;

export interface ModelTeam {
  readonly team: Team;
  /** How rows must be transformed for the team's model. */
  readonly transform: RowTransform;
}

/**
 * Starts a team that evaluates `loaded` on `corpus`.
 *
 * @param mean the corpus's mean in raw units, about which variance is measured; of a model with LayerNorm that of the
 * normalised rows
 * @throws RequestError if the corpus has other dimensions than the model
 */
export function startModelTeam(
  loaded: LoadedModel,
  corpus: Corpus,
  mean: ArrayLike<number>,
  workers: number,
): ModelTeam {
  const { model, path } = loaded;
  const transcodes = !(model instanceof DeepAutoencoder) && model.parts.dOut !== undefined;
  if (transcodes) requireColumns(path, model, corpus);
  else if (model.dIn !== corpus.dIn) {
    throw new RequestError(
      `the model ${path} reads ${model.dIn} dimensions, but the corpus's column "${corpus.column}" has ${corpus.dIn}`,
    );
  }
  if (!transcodes && !(model instanceof DeepAutoencoder)) requireWidths(path, model, corpus);
  const setup = { model: setupOf(model), training: evaluationTraining(EVALUATION_ROWS) };
  const encoder = chooseEncoder("auto", setup.model, bestKernelVariant());
  const plan = planRun({ setup, workers, purpose: "evaluate", encoder });
  const team = new Team(plan);
  fill(team.arena, model);
  const transform = transformOfModel(model);
  team.arena.mean.set(partOfRows(transformMean(mean, transform), setup.model, "target"));
  return { team, transform };
}

/** How rows must be transformed for a finished model. */
export function transformOfModel(model: SparseAutoencoder | DeepAutoencoder): RowTransform {
  if (model instanceof DeepAutoencoder) return model.parts.transform;
  const layerNorm = model.normalisedWidths;
  return layerNorm === undefined ? IDENTITY_TRANSFORM : { ...IDENTITY_TRANSFORM, layerNorm };
}

/** @throws RequestError where a crosscoder's columns were opened in another order, or are others */
function requireWidths(path: string, { parts }: SparseAutoencoder, corpus: Corpus): void {
  const wrong = (parts.columns ?? []).findIndex(({ dIn }, i) => dIn !== corpus.columns[i]?.dIn);
  const [own, there] = [parts.columns?.[wrong], corpus.columns[wrong]];
  if (own === undefined) return;
  throw new RequestError(
    `the model ${path} reads the column "${own.name}" of ${own.dIn} dimensions, but "${there?.name}" has ${there?.dIn}: give --columns in the model's order`,
  );
}

/** @throws RequestError unless the corpus has a transcoder's input and its target */
function requireColumns(path: string, model: SparseAutoencoder, { columns }: Corpus): void {
  const widths = columns.map(({ dIn }) => dIn);
  if (widths.length === 2 && widths[0] === model.dIn && widths[1] === model.dOut) return;
  const got = columns.map(({ name, dIn }) => `"${name}" of ${dIn}`).join(", ");
  throw new RequestError(
    `the transcoder ${path} rebuilds ${model.dOut} dimensions from ${model.dIn}: give both columns with --columns input,target, got ${got}`,
  );
}

/** No window: records are the active latents. */
const UNTRAINED_JUMP: JumpSetup = {
  bandwidth: 0,
  initialThreshold: 0,
  penalty: "step",
  tanhScale: 1,
  targetL0: 1,
  gradientToInput: false,
};

function setupOf(model: SparseAutoencoder | DeepAutoencoder): ModelSetup {
  if (model instanceof DeepAutoencoder) {
    return {
      kind: "deep",
      architecture: "autoencoder",
      widths: model.widths,
      outputActivation: model.parts.outputActivation,
    };
  }
  const { activation, applyBDecToInput } = model.parts;
  const k = activation.kind === "topk" ? activation.k : 0;
  const { dOut, W_skip } = model.parts;
  // The decoder's constraint matters to training only.
  const shared = {
    kind: "sparse",
    dIn: model.dIn,
    latents: model.latents,
    k,
    applyBDecToInput,
    ...(dOut === undefined ? {} : { dOut, skip: W_skip !== undefined }),
  } as const;
  if (activation.kind === "topk") return { ...shared, architecture: "topk", decoder: "unit" };
  if (activation.kind === "relu") return { ...shared, architecture: "relu", decoder: "free" };
  if (activation.kind === "gated") return { ...shared, architecture: "gated", decoder: "unit" };
  return { ...shared, architecture: "jumprelu", decoder: "unit", jump: UNTRAINED_JUMP };
}

function fill(arena: Arena, model: SparseAutoencoder | DeepAutoencoder): void {
  if (arena.kind === "sparse" && !(model instanceof DeepAutoencoder)) {
    arena.W_enc.value.set(model.parts.encoder);
    arena.b_enc.value.set(model.parts.b_enc);
    arena.W_dec.value.set(model.parts.W_dec);
    arena.b_dec.value.set(model.parts.b_dec);
    if (model.parts.W_skip !== undefined) arena.W_skip.value.set(model.parts.W_skip);
    const { activation } = model.parts;
    if (activation.kind === "jumprelu") arena.threshold.value.set(activation.threshold);
    if (activation.kind === "gated") {
      arena.r_mag.value.set(activation.r_mag);
      arena.b_mag.value.set(activation.b_mag);
    }
  } else if (arena.kind === "deep" && model instanceof DeepAutoencoder) {
    arena.layers.forEach((layer, index) => {
      layer.weight.value.set(model.parts.layers[index].weight);
      layer.bias.value.set(model.parts.layers[index].bias);
    });
  }
  refreshDerived(arena);
}
