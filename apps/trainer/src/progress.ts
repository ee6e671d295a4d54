/** Progress on stderr: a bar that is redrawn on a terminal, a line every few seconds elsewhere. */
import type { RunConfig } from "./run/config.ts";
import type { StepMetrics } from "./run/metrics-log.ts";

const BAR_WIDTH = 24;
const LEAST_BAR = 4;
/** Elsewhere than on a terminal, lines stay: one every so often is enough to see that it is alive. */
const LINE_EVERY_MS = 5000;

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #drawn = false;
  #lastLine = Number.NEGATIVE_INFINITY;
  /** The last figures on held-out rows, and the step after which they were measured. */
  #heldOut: { readonly step: number; readonly fvu: string } | undefined;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** Shows where the run is. */
  update(metrics: StepMetrics, config: RunConfig): void {
    this.updateAll([metrics], config);
  }

  /** Shows where runs are that take the same steps; of what differs, the range. `config` is one run's. */
  updateAll(all: readonly StepMetrics[], config: RunConfig): void {
    const [metrics] = all;
    const range = (of: (metrics: StepMetrics) => number, text: (value: number) => string): string => {
      const [least, most] = [text(Math.min(...all.map(of))), text(Math.max(...all.map(of)))];
      return least === most ? least : `${least}–${most}`;
    };
    if (all.every(({ heldOut }) => heldOut !== undefined)) {
      const fvu = range(
        // Of BatchTopK as the training rows' beside it.
        ({ heldOut }) => (heldOut?.overBatch ?? heldOut)?.fvu ?? Number.NaN,
        (value) => value.toFixed(3),
      );
      this.#heldOut = { step: metrics.step, fvu };
    }
    const share = metrics.step / config.totalSteps;
    const { model, training } = config.setup;
    const latents = model.kind === "sparse" ? model.latents : 0;
    const step = `step ${metrics.step}/${config.totalSteps}`;
    const parts = [
      `loss ${range(
        ({ loss }) => loss,
        (loss) => loss.toPrecision(4),
      )}`,
      `FVU ${range(
        ({ fvu }) => fvu,
        (fvu) => fvu.toFixed(3),
      )}`,
      // Measured now and then: of another step than the rest, it says so.
      ...(this.#heldOut === undefined
        ? []
        : [
            `held-out FVU ${this.#heldOut.fvu}${this.#heldOut.step === metrics.step ? "" : ` at ${this.#heldOut.step}`}`,
          ]),
      ...(model.kind === "sparse"
        ? [
            `L0 ${range(
              ({ l0 }) => l0,
              (l0) => l0.toFixed(1),
            )}`,
            `dead ${range(
              ({ dead }) => (100 * dead) / latents,
              (dead) => dead.toFixed(1),
            )} %`,
          ]
        : []),
      // What is annealed, and λ where it is adapted to that.
      ...(training.pAnneal === undefined
        ? []
        : [
            `p ${range(
              ({ p = 1 }) => p,
              (p) => p.toFixed(2),
            )}`,
            `λ ${range(
              ({ l1 = 0 }) => l1,
              (l1) => l1.toPrecision(3),
            )}`,
          ]),
      ...(training.kAnneal === undefined
        ? []
        : [
            `k ${range(
              ({ k = 0 }) => k,
              (k) => String(k),
            )}`,
          ]),
      `${formatCount(metrics.activationsPerSecond)} activations/s${all.length > 1 ? ` × ${all.length}` : ""}`,
    ];
    const percent = `${Math.floor(100 * share)} %`;
    if (this.#stream.isTTY) {
      // What does not fit goes: first most of the bar, then the step, which the percentage tells as well.
      const { columns } = this.#stream;
      const whole = [percent, step, ...parts].join("  ");
      const text = whole.length + 1 + LEAST_BAR < columns ? whole : [percent, ...parts].join("  ");
      const width = Math.min(BAR_WIDTH, Math.max(LEAST_BAR, columns - text.length - 2));
      const filled = Math.round(width * share);
      const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
      this.#stream.write(`\r\x1b[K${`${bar} ${text}`.slice(0, columns - 1)}`);
      this.#drawn = true;
    } else if (performance.now() - this.#lastLine >= LINE_EVERY_MS || share === 1) {
      this.#lastLine = performance.now();
      this.#stream.write(`${[percent, step, ...parts].join("  ")}\n`);
    }
  }

  /** Writes a line of its own, above the bar. */
  line(text: string): void {
    this.end();
    this.#stream.write(`${text}\n`);
  }

  /** Leaves the bar as it is and goes on below it. */
  end(): void {
    if (this.#drawn) this.#stream.write("\n");
    this.#drawn = false;
  }
}

/** 12,345 with thousands separators. */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A share as "12.3 %". */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A number of things: "12,345 rows", "1 row". */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}
