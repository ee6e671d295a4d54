/** What is measured of a model, over seeds: means and standard deviations. */

/** What `sparseloom eval` found of one model, on rows that no training saw. */
export interface Measured {
  readonly l0: number;
  /** Mean |cosine| of the best one-to-one matching of latents and true features. */
  readonly mcc: number;
  /** Of each latent as a detector of the feature it is most like, averaged over latents. */
  readonly f1: number;
  readonly precision: number;
  readonly recall: number;
  /** Different features among the latents' best matches, per latent. */
  readonly uniqueness: number;
  /** 1 − FVU. */
  readonly explainedVariance: number;
  /** Latents that no evaluated row activated. */
  readonly dead: number;
  /** Mean number of true features per row. */
  readonly trueL0: number;
}

/** What of `eval --json` is read. */
interface Evaluation {
  readonly l0: number;
  readonly fvu: number;
  readonly dead: number;
  readonly truth: {
    readonly meanCorrelation: number;
    readonly uniqueness: number;
    readonly detection: {
      readonly f1: number;
      readonly precision: number;
      readonly recall: number;
      readonly trueL0: number;
    } | null;
  } | null;
}

/** Reads what `eval --json` printed of a model, on a corpus with true features. */
export function measuredOf(json: string): Measured {
  const { l0, fvu, dead, truth } = JSON.parse(json) as Evaluation;
  if (truth === null || truth.detection === null) throw new Error("internal: eval knows no true features");
  const { f1, precision, recall, trueL0 } = truth.detection;
  const { meanCorrelation: mcc, uniqueness } = truth;
  return { l0, mcc, f1, precision, recall, uniqueness, explainedVariance: 1 - fvu, dead, trueL0 };
}

/** Mean and standard deviation (of the sample; 0 for one value). */
export interface Spread {
  readonly mean: number;
  readonly sd: number;
}

/** Mean and standard deviation. NaN without values. */
export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Who trained. */
export type System = "Sparseloom" | "PyTorch" | "control";

/** Models that differ in the seed alone. */
export interface ModelLine {
  /** Which data. */
  readonly study: string;
  readonly model: string;
  readonly system: System;
  /** One for each seed. */
  readonly runs: readonly Measured[];
  /** Seconds of training, all seeds; absent for what is not trained. */
  readonly seconds?: number;
  /** λ of an L1 penalty. */
  readonly l1?: number;
}

/** A measure over the seeds of a line. */
export function over(line: ModelLine, measure: keyof Measured): Spread {
  return spreadOf(line.runs.map((run) => run[measure]));
}

/** The next λ for a wanted L0, from what was tried: by a secant through the two nearest, in logarithms of both. */
export function nextPenalty(
  tried: readonly { readonly l1: number; readonly l0: number }[],
  wanted: number,
): number {
  const [a, b] = [...tried].sort(
    (one, other) => Math.abs(Math.log(one.l0 / wanted)) - Math.abs(Math.log(other.l0 / wanted)),
  );
  if (a === undefined) throw new Error("internal: no penalty was tried");
  // L0 falls about as λ rises, until something better is known; never further than a factor of two.
  const known = b === undefined ? Number.NaN : Math.log(a.l0 / b.l0) / Math.log(a.l1 / b.l1);
  const slope = known < -0.1 ? known : -1;
  const change = Math.log(wanted / a.l0) / slope;
  return a.l1 * Math.exp(Math.max(-Math.LN2, Math.min(Math.LN2, change)));
}
