/**
 * Training with ReLU + L1 from one state on, by us and by PyTorch in turn: the same parameters and moments, mini-batches,
 * λ and learning rate. At the start half of all latents are active, and PyTorch's dense products are what is needed;
 * what comes after is what the exact sparsity of our step is for.
 */
import { createHash } from "node:crypto";
import { cp, open, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { decodeSafetensors, type SafetensorsInput, safetensorsParts } from "@sparseloom/core";
import { openCorpus, RowStream } from "@sparseloom/data";
import type { LineProcess } from "../src/line-process.ts";
import type { Shape } from "../src/shapes.ts";
import { alignTable, digits } from "../src/table.ts";
import { type StepLine, Trainer } from "../src/trainer.ts";

/** A stretch of training by both. */
export interface RaceLine {
  readonly shape: string;
  /** What it begins with. */
  readonly from: string;
  readonly threads: number;
  readonly steps: number;
  /** Seconds of training. */
  readonly ours: number;
  readonly theirs: number;
  /** Their seconds by ours. */
  readonly ratio: number;
  /** Mean active latents as a share of all: of our first and last step, and of their last. */
  readonly density: { readonly first: number; readonly last: number; readonly theirs: number };
  /** Loss of the last step. */
  readonly loss: { readonly ours: number; readonly theirs: number };
  /** Where both stood after each turn. */
  readonly turns: readonly RaceTurn[];
}

/** Seconds so far, and shares of active latents in the step. */
export interface RaceTurn {
  readonly step: number;
  readonly seconds: { readonly ours: number; readonly theirs: number };
  readonly density: { readonly ours: number; readonly theirs: number };
}

/** Found by trying: PyTorch's own share of active latents is below 5 % by step 500 at M, at an FVU of about a third. */
const SETTINGS = { l1: 0.5, lr: 1e-3 } as const;
/** Steps so small that the share stays where it was put. */
const SHORT_SETTINGS = { l1: 0.5, lr: 1e-5 } as const;
const SHORT_STEPS = 20;
/** Shares of active latents at which stretches begin at shapes with stored states. */
const DENSITIES = [0.5, 0.2, 0.05, 0.02] as const;
/** Mini-batches in the corpus, over which both pass again and again in its order. */
const BATCHES = 25;

type Settings = typeof SETTINGS | typeof SHORT_SETTINGS;

/** What a race needs. */
export interface RaceOptions {
  readonly shape: Shape;
  /** Steps from the start of training; undefined: short stretches from stored states. */
  readonly steps: number | undefined;
  readonly startPyTorch: () => LineProcess;
  readonly progress: (line: string) => void;
}

/** Runs the races of a shape. */
export async function race(options: RaceOptions): Promise<RaceLine[]> {
  const { shape, steps } = options;
  await using trainer = await Trainer.open();
  const corpus = await trainer.corpusOf(shape, BATCHES);
  const rows = join(trainer.folder, "rows.f32");
  await writeRows(corpus, rows);
  const short = steps === undefined;
  const stretch = new Stretch(options, trainer, { corpus, rows }, short ? SHORT_SETTINGS : SETTINGS);
  await stretch.begin((steps ?? SHORT_STEPS) + 1);
  if (steps !== undefined) return [await stretch.run("the start", steps, 8)];
  const lines: RaceLine[] = [];
  for (const density of DENSITIES) {
    const from = `${Number((100 * density).toPrecision(2))} % active`;
    lines.push(await stretch.run(from, SHORT_STEPS, 2, density));
  }
  return lines;
}

class Stretch {
  readonly #options: RaceOptions;
  readonly #trainer: Trainer;
  readonly #files: { readonly corpus: string; readonly rows: string };
  readonly #settings: Settings;
  readonly #start: string;

  constructor(
    options: RaceOptions,
    trainer: Trainer,
    files: { readonly corpus: string; readonly rows: string },
    settings: Settings,
  ) {
    this.#options = options;
    this.#trainer = trainer;
    this.#files = files;
    this.#settings = settings;
    this.#start = join(trainer.folder, "start");
  }

  /** Takes the first step of a run of `steps` steps: its checkpoint is what both go on from. */
  async begin(steps: number): Promise<void> {
    const { shape, progress } = this.#options;
    progress(`race at ${shape.name}: the state to begin with`);
    const { l1, lr } = this.#settings;
    const numbers = {
      latents: shape.latents,
      l1,
      lr,
      batch: shape.rows,
      examples: steps * shape.rows,
      workers: availableParallelism(),
      "l1-warmup": 0,
      "lr-decay": 0,
      "held-out": 0,
      "eval-rows": 1,
      "log-every": 1,
      "checkpoint-every": 1_000_000,
      "stop-at": 1,
    };
    const words = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
    // Rows as they are and in their order, so that the other reads the same.
    const asTheyAre = ["--normalize", "none", "--no-center", "--shuffle", "none"];
    const model = ["--arch", "relu", "--out", this.#start];
    await this.#trainer.command("train", this.#files.corpus, ...model, ...asTheyAre, ...words);
  }

  /** Trains `steps` steps in `turns` turns each, from the stored state; `density` changes its encoder's bias. */
  async run(from: string, steps: number, turns: number, density?: number): Promise<RaceLine> {
    const { shape, startPyTorch, progress } = this.#options;
    const directory = join(this.#trainer.folder, "run");
    await cp(this.#start, directory, { recursive: true });
    const checkpoint = join(directory, "checkpoints", "1");
    if (density !== undefined) await setDensity(checkpoint, this.#files.rows, shape, density);
    await using theirs = startPyTorch();
    const threads = availableParallelism();
    const { l1, lr } = this.#settings;
    const state = join(checkpoint, "state.safetensors");
    const open = {
      case: "relu-race",
      fused: false,
      amp: false,
      shape,
      state,
      rows: this.#files.rows,
      l1,
      lr,
    };
    await theirs.ask({ open });
    const seconds = { ours: 0, theirs: 0 };
    const taken: RaceTurn[] = [];
    let answer: TheirTurn | undefined;
    for (let turn = 1; turn <= turns; turn++) {
      const until = Math.round((turn * steps) / turns);
      const first = Math.round(((turn - 1) * steps) / turns);
      await this.#trainer.command("train", "--resume", directory, "--stop-at", String(1 + until));
      answer = await theirs.ask<TheirTurn>({ run: until - first, threads });
      seconds.theirs += answer.ms.reduce((sum, ms) => sum + ms, 0) / 1000;
      const lines = await metricsOf(directory);
      seconds.ours = (lines.at(-1)!.elapsedMs - lines[0]!.elapsedMs) / 1000;
      const density = { ours: lines.at(-1)!.l0 / shape.latents, theirs: answer.l0 / shape.latents };
      taken.push({ step: until, seconds: { ...seconds }, density });
      progress(
        `race at ${shape.name} from ${from}, step ${until}: ours ${seconds.ours.toFixed(1)} s, ` +
          `${share(density.ours)} active; PyTorch ${seconds.theirs.toFixed(1)} s, ${share(density.theirs)} active`,
      );
    }
    const lines = await metricsOf(directory);
    await rm(directory, { recursive: true });
    return {
      shape: shape.name,
      from,
      threads,
      steps,
      ours: seconds.ours,
      theirs: seconds.theirs,
      ratio: seconds.theirs / seconds.ours,
      density: {
        first: lines[1]!.l0 / shape.latents,
        last: lines.at(-1)!.l0 / shape.latents,
        theirs: answer!.l0 / shape.latents,
      },
      loss: { ours: lines.at(-1)!.loss, theirs: answer!.loss },
      turns: taken,
    };
  }
}

/** Their answer to a turn: l0 and loss of its last step. */
interface TheirTurn {
  readonly ms: readonly number[];
  readonly l0: number;
  readonly loss: number;
}

async function metricsOf(directory: string): Promise<StepLine[]> {
  const text = await readFile(join(directory, "metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepLine);
}

/** Writes a corpus's rows, in its order, as bare float32 numbers. */
async function writeRows(corpus: string, path: string): Promise<void> {
  await using rows = await openCorpus([corpus]);
  await using stream = new RowStream(rows, { seed: 0, shuffle: "none", epochs: 1 });
  const buffer = new Float32Array(new SharedArrayBuffer(4 * 4096 * rows.dIn));
  await using file = await open(path, "w");
  for (let filled = await stream.fill(buffer, 4096); filled > 0; filled = await stream.fill(buffer, 4096)) {
    await file.writeFile(new Uint8Array(buffer.buffer, 0, 4 * filled * rows.dIn));
  }
}

/** Rows on whose pre-activations the encoder's bias is set. */
const CALIBRATION_ROWS = 16;

/** Moves b_enc of a checkpoint so that the given share of latents is active on average. */
async function setDensity(checkpoint: string, rows: string, shape: Shape, density: number): Promise<void> {
  const { dIn, latents } = shape;
  const path = join(checkpoint, "state.safetensors");
  const { tensors } = decodeSafetensors(new Uint8Array(await readFile(path)));
  const of = (name: string): Float32Array => tensors.get(name)?.data as Float32Array;
  const [W_enc, b_enc, b_dec] = [of("W_enc"), of("b_enc"), of("b_dec")];
  const x = new Float32Array(CALIBRATION_ROWS * dIn);
  await using file = await open(rows);
  await file.read(new Uint8Array(x.buffer));
  const z = new Float32Array(CALIBRATION_ROWS * latents);
  for (let row = 0; row < CALIBRATION_ROWS; row++) {
    for (let latent = 0; latent < latents; latent++) {
      let sum = b_enc[latent]!;
      for (let j = 0; j < dIn; j++) sum += (x[row * dIn + j]! - b_dec[j]!) * W_enc[latent * dIn + j]!;
      z[row * latents + latent] = sum;
    }
  }
  const threshold = z.sort()[Math.floor((1 - density) * z.length)]!;
  for (let latent = 0; latent < latents; latent++) b_enc[latent]! -= threshold;
  const parts = safetensorsParts(
    Object.fromEntries([...tensors].map(([name, tensor]) => [name, tensor as SafetensorsInput])),
  );
  await writeFile(path, parts);
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  const manifestPath = join(checkpoint, "manifest.json");
  const manifest = JSON.parse(await readFile(manifestPath, "utf8")) as Record<string, object>;
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  manifest["state.safetensors"] = { bytes, sha256: hash.digest("hex") };
  await writeFile(manifestPath, JSON.stringify(manifest));
}

const share = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** The table. */
export function formatRace(lines: readonly RaceLine[]): string {
  return alignTable(
    [
      "ReLU + L1, same state, data, λ and rate",
      "shape",
      "threads",
      "steps",
      "ours, s",
      "PyTorch, s",
      "ours by PyTorch",
      "active, first – last",
      "PyTorch's last",
      "loss, ours",
      "PyTorch's",
    ],
    lines.map(({ shape, from, threads, steps, ours, theirs, ratio, density, loss }) => [
      `from ${from}`,
      shape,
      String(threads),
      String(steps),
      digits(ours),
      digits(theirs),
      digits(ratio),
      `${share(density.first)} – ${share(density.last)}`,
      share(density.theirs),
      digits(loss.ours),
      digits(loss.theirs),
    ]),
    2,
  );
}
