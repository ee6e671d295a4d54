/** What bench:science is to show, and whether what was measured shows it. */
import { type Measured, type ModelLine, over, spreadOf } from "./measures.ts";

/** A claim with the numbers that decide it. */
export interface Claim {
  readonly claim: string;
  /** The numbers, as text. */
  readonly measured: string;
  /** Undefined: not measured. */
  readonly holds: boolean | undefined;
}

/** Share by which L0 may be off where models are compared at the same one. */
export const L0_TOLERANCE = 0.03;
/** Difference from PyTorch's mean F1 that counts as none. */
const PEER_TOLERANCE = 0.01;

/** Names of the models; the table's and the claims'. */
export const MODELS = {
  l1: "ReLU + L1",
  batchTopK: "BatchTopK",
  matryoshka: "Matryoshka BatchTopK",
  principal: "PCA-k",
  untrained: "untrained",
  shuffled: "BatchTopK on shuffled dimensions",
} as const;

/** What there is to decide by. */
export interface Findings {
  readonly lines: readonly ModelLine[];
  /** Share of latents that each two seeds of the toy's models share, by model. */
  readonly shared: readonly { readonly model: string; readonly shares: readonly number[] }[];
  /** L0 that the large study's models were to have. */
  readonly wantedL0: number;
}

/** Decides all claims. */
export function decide(findings: Findings): Claim[] {
  return [
    ...toyClaims(findings),
    ...gapClaims(findings),
    ...peerClaims(findings),
    ...controlClaims(findings),
  ];
}

const digits = (value: number, places = 3): string => value.toFixed(places);

function find(
  findings: Findings,
  study: string,
  model: string,
  system = "Sparseloom",
): ModelLine | undefined {
  return findings.lines.find(
    (line) => line.study === study && line.model === model && line.system === system,
  );
}

/** A bound that each seed must reach. */
function reaches(claim: string, line: ModelLine | undefined, measure: keyof Measured, least: number): Claim {
  if (line === undefined) return { claim, measured: "not measured", holds: undefined };
  const values = line.runs.map((run) => run[measure]);
  const { mean, sd } = spreadOf(values);
  const lowest = Math.min(...values);
  return {
    claim,
    measured: `${digits(mean, 4)} ± ${digits(sd, 4)}, lowest ${digits(lowest, 4)}`,
    holds: lowest >= least,
  };
}

function toyClaims(findings: Findings): Claim[] {
  const of = (study: string, model: string): ModelLine | undefined => find(findings, study, model);
  const claims = [
    reaches("toy 1, ReLU + L1: MCC ≥ 0.999", of("toy 1", MODELS.l1), "mcc", 0.999),
    reaches("toy 1, BatchTopK: MCC ≥ 0.999", of("toy 1", MODELS.batchTopK), "mcc", 0.999),
    reaches("toy 2, ReLU + L1: MCC ≥ 0.98", of("toy 2", MODELS.l1), "mcc", 0.98),
  ];
  for (const { model, shares } of findings.shared) {
    const least = Math.min(...shares);
    claims.push({
      claim: `toy 1, ${model}: each two seeds share ≥ 99 % of the latents`,
      measured: `least ${digits(100 * least, 1)} %`,
      holds: least >= 0.99,
    });
  }
  return claims;
}

const LARGE = "SynthSAEBench";

function matched(line: ModelLine, wanted: number): boolean {
  return Math.abs(over(line, "l0").mean / wanted - 1) <= L0_TOLERANCE;
}

function gapClaims(findings: Findings): Claim[] {
  const gap = (better: string, worse: string, least: number): Claim => {
    const claim = `${LARGE}: F1 of ${better} ≥ ${worse} + ${least.toFixed(2)}`;
    const [first, second] = [find(findings, LARGE, better), find(findings, LARGE, worse)];
    if (first === undefined || second === undefined)
      return { claim, measured: "not measured", holds: undefined };
    const difference = over(first, "f1").mean - over(second, "f1").mean;
    const alike = matched(first, findings.wantedL0) && matched(second, findings.wantedL0);
    return {
      claim,
      measured: `${signed(difference)}${alike ? "" : "; L0 is not matched"}`,
      holds: alike && difference >= least,
    };
  };
  return [gap(MODELS.matryoshka, MODELS.batchTopK, 0.05), gap(MODELS.batchTopK, MODELS.l1, 0.1)];
}

const signed = (value: number): string => `${value < 0 ? "−" : "+"}${digits(Math.abs(value))}`;

function peerClaims(findings: Findings): Claim[] {
  return [MODELS.l1, MODELS.batchTopK, MODELS.matryoshka].map((model) => {
    const claim = `${LARGE}, ${model}: F1 within ${PEER_TOLERANCE} of PyTorch's`;
    const ours = find(findings, LARGE, model);
    const theirs = find(findings, LARGE, model, "PyTorch");
    if (ours === undefined || theirs === undefined)
      return { claim, measured: "not measured", holds: undefined };
    const difference = over(ours, "f1").mean - over(theirs, "f1").mean;
    const seeds = ours.runs.map((run, i) => signed(run.f1 - (theirs.runs[i]?.f1 ?? Number.NaN)));
    return {
      claim,
      measured: `${signed(difference)} (seed by seed ${seeds.join(", ")})`,
      holds: Math.abs(difference) <= PEER_TOLERANCE,
    };
  });
}

/** Controls must be far below what is trained; on rows without features, training must find no more than chance. */
function controlClaims(findings: Findings): Claim[] {
  const of = (model: string): ModelLine | undefined => find(findings, LARGE, model, "control");
  const [trained, untrained] = [find(findings, LARGE, MODELS.batchTopK), of(MODELS.untrained)];
  return [MODELS.principal, MODELS.untrained, MODELS.shuffled].map((model) => {
    const control = of(model);
    const claim =
      model === MODELS.shuffled
        ? `${LARGE}, ${model}: MCC and F1 within 0.05 of the untrained ones'`
        : `${LARGE}, ${model}: F1 at most half of BatchTopK's`;
    if (control === undefined || trained === undefined || untrained === undefined)
      return { claim, measured: "not measured", holds: undefined };
    const [f1, mcc] = [over(control, "f1").mean, over(control, "mcc").mean];
    if (model !== MODELS.shuffled)
      return {
        claim,
        measured: `${digits(f1)} of ${digits(over(trained, "f1").mean)}`,
        holds: f1 <= over(trained, "f1").mean / 2,
      };
    const [chanceF1, chanceMcc] = [over(untrained, "f1").mean, over(untrained, "mcc").mean];
    return {
      claim,
      measured: `F1 ${digits(f1)} (${digits(chanceF1)}), MCC ${digits(mcc)} (${digits(chanceMcc)})`,
      holds: Math.abs(f1 - chanceF1) <= 0.05 && Math.abs(mcc - chanceMcc) <= 0.05,
    };
  });
}
