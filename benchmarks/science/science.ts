/** The studies of bench:science, from training to the lines of the table. */
import { decide, type Claim, L0_TOLERANCE, MODELS } from "./claims.ts";
import { measureControls } from "./controls.ts";
import { type Measured, type ModelLine, nextPenalty, spreadOf } from "./measures.ts";
import { trainByPyTorch } from "./pytorch.ts";
import type { Recipe, Study } from "./studies.ts";
import type { RowFiles, SeedRuns, Workbench } from "./workbench.ts";

/** What a run of bench:science came to. */
export interface ScienceReport {
  readonly lines: readonly ModelLine[];
  readonly shared: readonly { readonly model: string; readonly shares: readonly number[] }[];
  readonly claims: readonly Claim[];
  /** Undefined without PyTorch. */
  readonly pytorch: string | undefined;
}

/** How the studies are to be run. */
export interface ScienceOptions {
  readonly studies: readonly Study[];
  readonly workers: number;
  /** Whether PyTorch trains the same. */
  readonly pytorch: boolean;
  /** Trainings of an L1 penalty at most, until L0 is the wanted one. */
  readonly tries: number;
  readonly progress: (line: string) => void;
}

/** Whose first state is the untrained control's, and which is trained on rows without features, too. */
const CONTROLLED: string = MODELS.batchTopK;

/** A recipe's runs that were trained and measured. */
interface Trained {
  readonly recipe: Recipe;
  readonly runs: SeedRuns;
  readonly measured: readonly Measured[];
}

/** Runs all studies. */
export async function runScience(bench: Workbench, options: ScienceOptions): Promise<ScienceReport> {
  const lines: ModelLine[] = [];
  const shared: { model: string; shares: number[] }[] = [];
  let version: string | undefined;
  let wantedL0 = 0;
  for (const study of options.studies) {
    const trained: Trained[] = [];
    for (const recipe of study.recipes) {
      const one = await trainRecipe(bench, study, recipe, options);
      trained.push(one);
      lines.push(lineOf(study, one));
      if (study.name === "toy 1") shared.push({ model: recipe.name, shares: await bench.shared(one.runs) });
    }
    if (options.pytorch) {
      const rows = await bench.writeRows(study);
      for (const one of trained) {
        const { line, version: found } = await trainPeer(bench, study, one, rows, options);
        lines.push(line);
        version = found;
      }
    }
    const control = trained.find(({ recipe }) => recipe.name === CONTROLLED);
    if (!study.matched || control === undefined) continue;
    wantedL0 = study.k;
    options.progress(`${study.name}: controls`);
    lines.push(...(await measureControls(bench, study, control.recipe, control.runs)));
  }
  const claims = decide({ lines, shared, wantedL0 });
  return { lines, shared, claims, pytorch: version };
}

/** Trains a recipe for all seeds; where models are to be at one L0 and λ decides it, again until it does. */
async function trainRecipe(
  bench: Workbench,
  study: Study,
  recipe: Recipe,
  { pytorch, tries, progress }: ScienceOptions,
): Promise<Trained> {
  const tried: { l1: number; l0: number }[] = [];
  let { l1 } = recipe;
  for (;;) {
    const changes = l1 === undefined ? {} : { l1 };
    const runs = await trainSeeds(bench, study, recipe, changes, pytorch);
    const measured = await bench.measureAll(study, runs.runs);
    const { mean: l0 } = spreadOf(measured.map((one) => one.l0));
    const { mean: f1 } = spreadOf(measured.map((one) => one.f1));
    const { mean: mcc } = spreadOf(measured.map((one) => one.mcc));
    const at = l1 === undefined ? "" : `, λ = ${l1.toPrecision(4)}`;
    const found = `L0 ${l0.toFixed(2)}, MCC ${mcc.toFixed(4)}, F1 ${f1.toFixed(3)}`;
    progress(`${study.name}, ${recipe.name}${at}: ${found}, ${runs.seconds.toFixed(0)} s`);
    const done = l1 === undefined || !study.matched || Math.abs(l0 / study.k - 1) <= L0_TOLERANCE;
    const trained = { recipe: l1 === undefined ? recipe : { ...recipe, l1 }, runs, measured };
    if (done || l1 === undefined) return trained;
    tried.push({ l1, l0 });
    if (tried.length === tries) return trained;
    l1 = nextPenalty(tried, study.k);
  }
}

/** Trains a recipe once. Where its first state is needed, it stops after a step: the checkpoint is what others go on from. */
async function trainSeeds(
  bench: Workbench,
  study: Study,
  recipe: Recipe,
  changes: Readonly<Record<string, number>>,
  pytorch: boolean,
): Promise<SeedRuns> {
  if (!pytorch && !(study.matched && recipe.name === CONTROLLED))
    return await bench.train(study, recipe, changes);
  return await bench.resume(await bench.train(study, recipe, { ...changes, "stop-at": 1 }));
}

function lineOf(study: Study, { recipe, runs, measured }: Trained): ModelLine {
  const line = { study: study.name, model: recipe.name, system: "Sparseloom", runs: measured } as const;
  return { ...line, seconds: runs.seconds, ...(recipe.l1 === undefined ? {} : { l1: recipe.l1 }) };
}

async function trainPeer(
  bench: Workbench,
  study: Study,
  { recipe, runs }: Trained,
  rows: RowFiles,
  { workers, progress }: ScienceOptions,
): Promise<{ readonly line: ModelLine; readonly version: string }> {
  const theirs = await trainByPyTorch(bench, runs, rows, workers, (done, all) => {
    progress(`${study.name}, ${recipe.name}, PyTorch: ${done} of ${all}`);
  });
  const measured = await bench.measureAll(study, theirs.models);
  const line = { study: study.name, model: recipe.name, system: "PyTorch", runs: measured } as const;
  const l1 = recipe.l1 === undefined ? {} : { l1: recipe.l1 };
  return { line: { ...line, seconds: theirs.seconds, ...l1 }, version: theirs.version };
}
