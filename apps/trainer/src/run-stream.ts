/** Streams of the rows that a run sees: of a split, filtered, shuffled and transformed as its configuration says. */
import { type Corpus, RowStream, type Split, type StreamPosition } from "@sparseloom/data";
import { type RunConfig, splitOptions, transformOf } from "./run/config.ts";

/** A measurement needs a sample, not a mixture: small windows do, and their memory comes on top of training's. */
const MEASURED_WINDOW_BYTES = 4e6;

/** The rows to train on, epoch after epoch, from a position on. */
export function openTrainingRows(
  corpus: Corpus,
  config: RunConfig,
  windowBytes: number,
  from: StreamPosition,
): RowStream {
  return open(corpus, config, { split: "train", windowBytes, epochs: Infinity, from });
}

/** The rows of a split once, in the order in which models are measured on them. */
export function openMeasuredRows(corpus: Corpus, config: RunConfig, split: Split): RowStream {
  return open(corpus, config, { split, windowBytes: MEASURED_WINDOW_BYTES, epochs: 1 });
}

/** What differs between a run's streams. */
interface Extent {
  readonly split: Split;
  readonly windowBytes: number;
  readonly epochs: number;
  readonly from?: StreamPosition;
}

function open(corpus: Corpus, config: RunConfig, extent: Extent): RowStream {
  return new RowStream(corpus, {
    ...splitOptions(config.options, config.filters),
    shuffle: config.options.shuffle,
    transform: transformOf(config),
    ...extent,
  });
}
