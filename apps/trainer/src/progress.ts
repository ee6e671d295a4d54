/** Progress on stderr: a bar that is redrawn on a terminal, a line every few seconds elsewhere. */
import type { RunConfig } from "./run/config.ts";
import type { StepMetrics } from "./run/metrics-log.ts";

const BAR_WIDTH = 24;
/** Elsewhere than on a terminal, lines stay: one every so often is enough to see that it is alive. */
const LINE_EVERY_MS = 5000;

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #drawn = false;
  #lastLine = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** Shows where the run is. */
  update(metrics: StepMetrics, config: RunConfig): void {
    const share = metrics.step / config.totalSteps;
    const sparse = config.setup.model.kind === "sparse";
    const latents = config.setup.model.kind === "sparse" ? config.setup.model.latents : 0;
    const parts = [
      `step ${metrics.step}/${config.totalSteps}`,
      `loss ${metrics.loss.toPrecision(4)}`,
      `FVU ${metrics.fvu.toFixed(3)}`,
      ...(sparse
        ? [`L0 ${metrics.l0.toFixed(1)}`, `dead ${((100 * metrics.dead) / latents).toFixed(1)} %`]
        : []),
      `${formatCount(metrics.activationsPerSecond)} activations/s`,
    ];
    if (this.#stream.isTTY) {
      const filled = Math.round(BAR_WIDTH * share);
      const bar = `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}`;
      this.#stream.write(
        `\r\x1b[K${bar} ${Math.floor(100 * share)} %  ${parts.join("  ")}`.slice(0, this.#stream.columns),
      );
      this.#drawn = true;
    } else if (performance.now() - this.#lastLine >= LINE_EVERY_MS || share === 1) {
      this.#lastLine = performance.now();
      this.#stream.write(`${Math.floor(100 * share)} %  ${parts.join("  ")}\n`);
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
