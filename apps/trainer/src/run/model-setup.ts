/** The model that the options ask for, on the rows of a corpus: shape, selection, thresholds, with the defaults. */
import {
  ARCHITECTURES,
  defaultPrefixes,
  hasThresholds,
  type JumpSetup,
  type ModelSetup,
} from "@sparseloom/core";
import type { Corpus } from "@sparseloom/data";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";

/** Default L0 of a topk model: the value of the peers' defaults and benchmarks. */
const DEFAULT_K = 32;
/** Default number of latents as a multiple of dIn. */
const DEFAULT_EXPANSION = 8;
/**
 * The model of a run.
 *
 * @throws RequestError where the options do not go with the corpus's dimensions
 */
export function modelSetup(options: TrainOptions, corpus: Corpus): ModelSetup {
  const { columns } = corpus;
  const [input, target] = columns;
  const transcodes = options.target !== undefined && input !== undefined && target !== undefined;
  const dIn = transcodes ? input.dIn : corpus.dIn;
  if (options.arch === "autoencoder") {
    const widths = options.widths ?? [];
    if (widths[0] !== dIn) {
      throw new RequestError(
        `--widths must begin with the corpus's dimension ${dIn}, got ${widths.join(",")}`,
      );
    }
    const { outputActivation, tied = false } = options;
    return { kind: "deep", architecture: "autoencoder", widths, outputActivation, ...(tied ? { tied } : {}) };
  }
  const architecture = ARCHITECTURES[options.arch];
  const latents = options.latents ?? Math.round((options.expansion ?? DEFAULT_EXPANSION) * dIn);
  const hasK = architecture.selection !== "positive";
  if (hasK && options.k === undefined && latents < DEFAULT_K) {
    throw new RequestError(`--k is ${DEFAULT_K} by default: give one of at most the ${latents} latents`);
  }
  if (options.targetL0 !== undefined && options.targetL0 > latents)
    throw new RequestError(`--target-l0 must be at most the ${latents} latents, got ${options.targetL0}`);
  return {
    kind: "sparse",
    architecture: options.arch,
    dIn,
    latents,
    k: hasK ? (options.k ?? DEFAULT_K) : 0,
    decoder: options.decoder ?? architecture.decoders[0] ?? "unit",
    applyBDecToInput: options.applyBDecToInput,
    ...(transcodes
      ? { dOut: target.dIn, ...(options.skip === true ? { skip: true } : {}) }
      : columns.length > 1
        ? { columns: columns.map((column) => column.dIn) }
        : {}),
    ...(architecture.prefixes === true ? { prefixes: options.prefixes ?? defaultPrefixes(latents) } : {}),
    ...(hasThresholds(architecture) ? { jump: jumpSetup(options) } : {}),
  };
}

/** SAELens's defaults, whose scaling (sqrt-d) and loss convention are ours, too. */
function jumpSetup(options: TrainOptions): JumpSetup {
  return {
    bandwidth: options.bandwidth ?? 0.05,
    initialThreshold: options.initThreshold ?? 0.01,
    penalty: options.l0Penalty ?? "step",
    tanhScale: options.tanhScale ?? 4,
    targetL0: options.targetL0 ?? 20,
    gradientToInput: options.gradientToInput ?? false,
  };
}
