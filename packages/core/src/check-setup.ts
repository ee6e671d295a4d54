/** Whether a model and its training, as setup.ts describes them, make sense: what is wrong is said by option and value. */
import { ARCHITECTURES, hasThresholds } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import type { JumpSetup, ModelSetup, Setup, SparseModelSetup, TrainingSetup } from "./setup.ts";

/** @throws OptionError unless `value` is a whole number of at least `least` */
export function requireWhole(option: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new OptionError(option, `${option} must be a whole number of at least ${least}, got ${value}`);
  }
}

function requireRange(option: string, value: number, right: boolean, range: string): void {
  if (!right) throw new OptionError(option, `${option} must be ${range}, got ${value}`);
}

/** Checks how a model is to be trained. Throws {@link OptionError} naming the option and what would be right. */
export function checkTraining(training: TrainingSetup): void {
  const { batchRows, learningRate, l1Coefficient, adam, deadWindow } = training;
  requireWhole("batchRows", batchRows, 1);
  for (const [option, schedule] of Object.entries({ learningRate, l1Coefficient })) {
    const { peak } = schedule;
    requireRange(option, peak, Number.isFinite(peak) && peak >= 0, "a number of at least 0");
    for (const length of ["warmupSteps", "decaySteps", "totalSteps"] as const)
      requireWhole(`${option}.${length}`, schedule[length], 0);
  }
  for (const option of ["beta1", "beta2"] as const) {
    const value = adam[option];
    requireRange(option, value, value >= 0 && value < 1, "at least 0 and below 1");
  }
  const { epsilon } = adam;
  requireRange("epsilon", epsilon, Number.isFinite(epsilon) && epsilon >= 0, "a number of at least 0");
  checkUpdates(training);
  const { preActCoefficient } = training;
  if (preActCoefficient !== undefined)
    requireRange("preActCoefficient", preActCoefficient, preActCoefficient > 0, "above 0");
  if (training.auxK !== undefined) {
    const { coefficient, k, mode, totalVariance } = training.auxK;
    requireRange("auxK.coefficient", coefficient, coefficient > 0, "above 0");
    requireWhole("auxK.k", k, 1);
    if (mode === "variance") requireRange("auxK.totalVariance", totalVariance, totalVariance > 0, "above 0");
  }
  requireRange("deadWindow", deadWindow, deadWindow > 0, "above 0");
}

/** Checks that auxiliary losses against dead latents are the model's. Throws {@link OptionError} saying what would be right. */
export function checkAuxiliary({ model, training: { auxK, preActCoefficient } }: Setup): void {
  if (preActCoefficient !== undefined && model.architecture !== "jumprelu")
    throw new OptionError(
      "preActCoefficient",
      `preActCoefficient is for jumprelu, not for ${model.architecture}`,
    );
  if (auxK === undefined) return;
  if (model.kind === "deep" || ARCHITECTURES[model.architecture].selection === "positive")
    throw new OptionError("auxK", `auxK is for architectures with k, not for ${model.architecture}`);
  const { latents } = model;
  requireRange("auxK.k", auxK.k, auxK.k <= latents, `at most the number of latents (${latents})`);
}

/** Checks that a model that is trained can be: evaluation asks for less. Throws {@link OptionError} saying what would be right. */
export function checkTrainable(model: ModelSetup): void {
  if (model.kind === "deep" || model.jump === undefined) return;
  const { bandwidth } = model.jump;
  requireRange("bandwidth", bandwidth, bandwidth > 0, "above 0: thresholds have no gradient else");
}

function checkUpdates({ optimizer, clipNorm, clipUnits, ema, learningRate }: TrainingSetup): void {
  const { warmupStart = 1, end = 0, peak } = learningRate;
  requireRange("learningRate.warmupStart", warmupStart, warmupStart >= 0 && warmupStart <= 1, "from 0 to 1");
  requireRange("learningRate.end", end, end >= 0 && end <= peak, `from 0 to the peak of ${peak}`);
  if (clipNorm !== undefined) requireRange("clipNorm", clipNorm, clipNorm > 0, "above 0");
  if (clipUnits !== undefined) requireRange("clipUnits", clipUnits, clipUnits > 0, "above 0");
  if (ema !== undefined) requireRange("ema", ema, ema >= 0 && ema < 1, "at least 0 and below 1");
  if (optimizer === undefined) return;
  const { name, momentum, weightDecay = 0 } = optimizer;
  requireRange("momentum", momentum, momentum >= 0 && momentum < 1, "at least 0 and below 1");
  const atLeast0 = Number.isFinite(weightDecay) && weightDecay >= 0;
  requireRange("weightDecay", weightDecay, atLeast0, "a number of at least 0");
  if (name === "signum-schedule-free" && ema !== undefined)
    throw new OptionError("ema", "signum-schedule-free averages the parameters itself: leave ema out");
}

/** Checks a model's shape. Throws {@link OptionError} naming the option and what would be right. */
export function checkModel(model: ModelSetup): void {
  if (model.kind === "deep") {
    if (model.widths.length < 3) {
      throw new OptionError(
        "widths",
        `widths must list at least input, one hidden layer and output, got ${model.widths.join("-")}`,
      );
    }
    for (const width of model.widths) requireWhole("widths", width, 1);
    if (model.widths[0] !== model.widths.at(-1)) {
      throw new OptionError(
        "widths",
        `widths must end as they begin (the output rebuilds the input), got ${model.widths.join("-")}`,
      );
    }
    const mirrored = model.widths.every((width, i) => width === model.widths.at(-1 - i));
    if (model.tied === true && (!mirrored || model.widths.length % 2 === 0)) {
      throw new OptionError(
        "widths",
        `widths of tied layers must be mirrored about a middle one, such as 8-4-2-4-8, got ${model.widths.join("-")}`,
      );
    }
    return;
  }
  requireWhole("dIn", model.dIn, 1);
  requireWhole("latents", model.latents, 1);
  if (!Object.hasOwn(ARCHITECTURES, model.architecture)) {
    const known = Object.keys(ARCHITECTURES).join(" or ");
    throw new OptionError("architecture", `architecture must be ${known}, got ${String(model.architecture)}`);
  }
  const { selection } = ARCHITECTURES[model.architecture];
  if (selection !== "positive") {
    requireWhole("k", model.k, 1);
    if (model.k > model.latents) {
      throw new OptionError(
        "k",
        `k must be at most the number of latents (${model.latents}), got ${model.k}`,
      );
    }
  }
  checkColumns(model);
  if (ARCHITECTURES[model.architecture].prefixes === true) checkPrefixes(model);
  if (hasThresholds(ARCHITECTURES[model.architecture])) checkJump(model.jump);
  if (!ARCHITECTURES[model.architecture].decoders.includes(model.decoder)) {
    throw new OptionError(
      "decoder",
      `decoder of ${model.architecture} must be ${ARCHITECTURES[model.architecture].decoders.join(" or ")}, got ${model.decoder}`,
    );
  }
}

function checkColumns({ columns, dIn, dOut, skip, applyBDecToInput }: SparseModelSetup): void {
  if (skip === true && dOut === undefined)
    throw new OptionError("skip", "skip is for a transcoder, whose dOut is missing");
  if (dOut !== undefined) {
    requireWhole("dOut", dOut, 1);
    if (applyBDecToInput)
      throw new OptionError(
        "applyBDecToInput",
        "applyBDecToInput must be false in a transcoder: b_dec is of its output",
      );
    if (columns !== undefined) throw new OptionError("columns", "columns and dOut contradict each other");
  }
  if (columns === undefined) return;
  for (const width of columns) requireWhole("columns", width, 1);
  if (columns.reduce((sum, width) => sum + width, 0) !== dIn)
    throw new OptionError(
      "columns",
      `columns must sum to dIn (${dIn}), got ${columns.join(" + ") || "none"}`,
    );
}

function checkPrefixes({ prefixes = [], latents }: SparseModelSetup): void {
  const ascending = prefixes.every(
    (width, i) => Number.isInteger(width) && width > (i === 0 ? 0 : (prefixes[i - 1] as number)),
  );
  if (!ascending || prefixes.at(-1) !== latents)
    throw new OptionError(
      "prefixes",
      `prefixes must be ascending whole numbers that end with the number of latents (${latents}), got ${prefixes.join(",") || "none"}`,
    );
}

function checkJump(jump: JumpSetup | undefined): void {
  if (jump === undefined)
    throw new OptionError("jump", "jump must say how a jumprelu model's thresholds are trained");
  const { bandwidth, initialThreshold, tanhScale, targetL0 } = jump;
  const atLeast0 = (value: number): boolean => Number.isFinite(value) && value >= 0;
  requireRange("bandwidth", bandwidth, atLeast0(bandwidth), "a number of at least 0");
  requireRange("initialThreshold", initialThreshold, atLeast0(initialThreshold), "a number of at least 0");
  if (jump.penalty === "tanh") requireRange("tanhScale", tanhScale, tanhScale > 0, "above 0");
  if (jump.penalty === "quadratic") requireRange("targetL0", targetL0, targetL0 > 0, "above 0");
}
