/** How a stage's rows are cut into blocks, so that threads end at about the same time. No bit depends on it. */
import { DEEP_ROW_BLOCK, ROW_BLOCK } from "./block-sizes.ts";
import { PANEL } from "./tiles.ts";

/** Rows of a block at most, and of what it is a multiple, but for the last one. */
export interface RowBlocks {
  readonly most: number;
  readonly multiple: number;
}

/** Of a sparse autoencoder's stages: whole panels. */
export const SPARSE_ROWS: RowBlocks = { most: ROW_BLOCK, multiple: PANEL };
/** Of a deep autoencoder's stage: three panels going forward, four tiles of six going back. */
export const DEEP_ROWS: RowBlocks = { most: DEEP_ROW_BLOCK, multiple: 3 * PANEL };

/**
 * Blocks per worker that are wanted: their last ones are cut in four, so that little is left to wait for. With 16, smaller
 * ones, two threads took 3 % longer at M, 10 % at S, and more with a chunk of some hundred rows of many records.
 */
const BLOCKS_PER_WORKER = 6;
/** Rows of a block at least, unless the stage has fewer: with less, weights are read from memory all the time. */
const FEWEST_ROWS = 32;

/** Rows of all blocks but the last ones, of those, and how many of the first there are. */
function cut(
  rows: number,
  workers: number,
  { most, multiple }: RowBlocks,
): { usual: number; last: number; count: number } {
  if (workers === 1) return { usual: most, last: most, count: Math.floor(rows / most) };
  const whole = (wanted: number): number =>
    Math.min(most, multiple * Math.max(1, Math.ceil(wanted / multiple)));
  const usual = whole(Math.max(FEWEST_ROWS, rows / (workers * BLOCKS_PER_WORKER)));
  // Each worker's last block in four: whoever is late has less left to do. Screening takes two panels at a time.
  return {
    usual,
    last: whole(Math.max(2 * PANEL, usual / 4)),
    count: Math.max(0, Math.floor(rows / usual) - workers),
  };
}

/** Number of blocks of a stage over `rows` rows. */
export function blockCount(rows: number, workers: number, sizes: RowBlocks): number {
  const { usual, last, count } = cut(rows, workers, sizes);
  return count + Math.ceil((rows - count * usual) / last);
}

/** First row of block `block` of a stage over `rows` rows; of the block after the last, `rows`. */
export function blockStart(block: number, rows: number, workers: number, sizes: RowBlocks): number {
  const { usual, last, count } = cut(rows, workers, sizes);
  return Math.min(rows, block <= count ? block * usual : count * usual + (block - count) * last);
}
