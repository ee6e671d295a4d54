/**
 * The `sparseloom` command at work for bench:science: corpora, runs over seeds, and every model, whoever trained it,
 * measured by the same `eval` on the same held-out rows. All in a temporary folder.
 */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportSaeLens } from "@sparseloom/interop";
import { Trainer } from "../src/trainer.ts";
import { type Measured, measuredOf } from "./measures.ts";
import type { TopKParts } from "./principal.ts";
import { DATA_SEED, HELD_OUT, writeRows } from "./rows.ts";
import type { Recipe, Study } from "./studies.ts";

/** Rows in a corpus beyond those needed, as the split leaves out about, not exactly, its share. */
const SPARE = 1.02;

/** Runs that differ in the seed alone. */
export interface SeedRuns {
  /** Run directories, by seed. */
  readonly runs: readonly string[];
  readonly seconds: number;
}

/** Files of bare float32 rows: what PyTorch reads. */
export interface RowFiles {
  readonly train: string;
  readonly heldOut: string;
}

/** Options of {@link Workbench.open}. */
export interface WorkbenchOptions {
  readonly workers: number;
  readonly seeds: readonly number[];
  readonly progress: (line: string) => void;
}

/** Works on one study at a time. */
export class Workbench implements AsyncDisposable {
  readonly #trainer: Trainer;
  readonly #options: WorkbenchOptions;
  readonly #corpora = new Map<string, string>();
  #paths = 0;

  private constructor(trainer: Trainer, options: WorkbenchOptions) {
    this.#trainer = trainer;
    this.#options = options;
  }

  static async open(options: WorkbenchOptions): Promise<Workbench> {
    return new Workbench(await Trainer.open(), options);
  }

  get seeds(): readonly number[] {
    return this.#options.seeds;
  }

  /** The study's corpus, held-out rows included; made when first asked for. */
  async corpusOf({ name, preset, scale, batch, steps }: Study): Promise<string> {
    const known = this.#corpora.get(name);
    if (known !== undefined) return known;
    const path = this.path("corpus.arrow");
    const rows = Math.ceil(((batch * steps) / (1 - HELD_OUT)) * SPARE) + 2000;
    const words = ["--preset", preset, "--scale", scale, "--rows", String(rows)];
    await this.#trainer.command("corpus", "generate", path, ...words);
    this.#corpora.set(name, path);
    return path;
  }

  /** A new path in the temporary folder. */
  path(name: string): string {
    return join(this.#trainer.folder, `${this.#paths++}-${name}`);
  }

  /**
   * Trains a recipe for every seed, all in one pass over the study's rows in their order.
   *
   * @param changes options of `train` that are to differ from the study's
   * @param corpus instead of the study's
   */
  async train(
    study: Study,
    recipe: Recipe,
    changes: Readonly<Record<string, string | number>> = {},
    corpus?: string,
  ): Promise<SeedRuns> {
    const out = this.path(recipe.arch);
    const options: Record<string, string | number> = {
      arch: recipe.arch,
      latents: study.latents,
      batch: study.batch,
      examples: study.batch * study.steps,
      lr: study.lr,
      "lr-warmup": study.lrWarmup,
      seeds: this.seeds.join(","),
      "data-seed": DATA_SEED,
      "held-out": HELD_OUT,
      // Rows as they are and in their order: the other system reads the same.
      normalize: "none",
      shuffle: "none",
      // Measured by eval; this is for the log alone.
      "eval-rows": 1000,
      "log-every": 100,
      "checkpoint-every": 1_000_000,
      ...(recipe.arch === "relu" ? {} : { k: study.k }),
      ...recipe.options,
      ...changes,
    };
    const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    await this.#train(corpus ?? (await this.corpusOf(study)), "--no-center", "--out", out, ...words);
    return this.#seedRuns(out);
  }

  /** Goes on with runs that were stopped. */
  async resume({ runs }: SeedRuns): Promise<SeedRuns> {
    const directory = join(runs[0], "..");
    await this.#train("--resume", directory);
    return this.#seedRuns(directory);
  }

  async #train(...words: readonly string[]): Promise<void> {
    await this.#trainer.command("train", ...words, "--workers", String(this.#options.workers));
  }

  async #seedRuns(directory: string): Promise<SeedRuns> {
    const runs = this.seeds.map((seed) => join(directory, `seed-${seed}`));
    const lines = (await readFile(join(runs[0], "metrics.jsonl"), "utf8")).trim().split("\n");
    const { elapsedMs } = JSON.parse(lines.at(-1) ?? "{}") as { elapsedMs: number };
    return { runs, seconds: elapsedMs / 1000 };
  }

  /** Measures a model folder, or a run's model, on the study's held-out rows. */
  async measure(study: Study, model: string): Promise<Measured> {
    const workers = String(this.#options.workers);
    const words = ["--split", "held-out", "--rows", String(study.evalRows), "--workers", workers];
    const text = await this.#trainer.command("eval", model, await this.corpusOf(study), ...words, "--json");
    return measuredOf(text);
  }

  async measureAll(study: Study, models: readonly string[]): Promise<Measured[]> {
    const measured: Measured[] = [];
    for (const model of models) measured.push(await this.measure(study, model));
    return measured;
  }

  /** Share of latents that each two of the runs have in common. */
  async shared({ runs }: SeedRuns): Promise<number[]> {
    const text = await this.#trainer.command("compare", ...runs, "--json");
    const { pairs } = JSON.parse(text) as { pairs: readonly { readonly shareOfA: number }[] };
    return pairs.map(({ shareOfA }) => shareOfA);
  }

  /** Writes the rows that training sees, in the order in which it sees them, and held-out ones. */
  async writeRows(study: Study): Promise<RowFiles> {
    const files = { train: this.path("train.f32"), heldOut: this.path("held-out.f32") };
    const corpus = await this.corpusOf(study);
    await writeRows(files.train, { corpus, split: "train", rows: study.batch * study.steps });
    await writeRows(files.heldOut, { corpus, split: "held-out", rows: study.evalRows });
    return files;
  }

  /** A folder for a model that another system trains as `run` was: its cfg.json without the weights. */
  async folderLike(run: string): Promise<string> {
    const folder = this.path("model");
    await mkdir(folder);
    await copyFile(join(run, "model", "cfg.json"), join(folder, "cfg.json"));
    return folder;
  }

  /** Writes a TopK model as a folder, with the metadata of `run`: which rows are held out. */
  async writeModel(parts: TopKParts, run: string): Promise<string> {
    const folder = this.path("model");
    await mkdir(folder);
    const cfg = JSON.parse(await readFile(join(run, "model", "cfg.json"), "utf8")) as {
      readonly metadata: { readonly sparseloom: Record<string, string | number> };
    };
    const b_enc = new Float32Array(parts.latents);
    const files = exportSaeLens(
      { architecture: "topk", applyBDecToInput: true, b_enc, ...parts },
      { sparseloom: cfg.metadata.sparseloom },
    );
    for (const [name, bytes] of Object.entries(files))
      await writeFile(join(folder, name), bytes as Uint8Array);
    return folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#trainer[Symbol.asyncDispose]();
  }
}
