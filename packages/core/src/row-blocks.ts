/** How a stage's rows are cut into blocks, so that threads end at about the same time. No bit depends on it. */
import { ROW_BLOCK } from "./block-sizes.ts";
import { PANEL } from "./tiles.ts";

/**
 * Blocks per worker that are wanted: their last ones are cut in four, so that little is left to wait for. With 16, smaller
 * ones, two threads took 3 % longer at M, 10 % at S, and more with a chunk of some hundred rows of many records.
 */
const BLOCKS_PER_WORKER = 6;
/** Rows of a block at least, unless the stage has fewer: with less, weights are read from memory all the time. */
const FEWEST_ROWS = 32;

/** Whole panels, at most as many as a block has room for. */
function wholePanels(rows: number): number {
  return Math.min(ROW_BLOCK, PANEL * Math.max(1, Math.ceil(rows / PANEL)));
}

/** Rows of all blocks but the last ones, of those, and how many of the first there are. */
function cut(rows: number, workers: number): { usual: number; last: number; count: number } {
  if (workers === 1) return { usual: ROW_BLOCK, last: ROW_BLOCK, count: Math.floor(rows / ROW_BLOCK) };
  const usual = wholePanels(Math.max(FEWEST_ROWS, rows / (workers * BLOCKS_PER_WORKER)));
  // Each worker's last block in four: whoever is late has less left to do. Screening takes two panels at a time.
  return {
    usual,
    last: wholePanels(Math.max(2 * PANEL, usual / 4)),
    count: Math.max(0, Math.floor(rows / usual) - workers),
  };
}

/** Number of blocks of a stage over `rows` rows. */
export function blockCount(rows: number, workers: number): number {
  const { usual, last, count } = cut(rows, workers);
  return count + Math.ceil((rows - count * usual) / last);
}

/** First row of block `block` of a stage over `rows` rows; of the block after the last, `rows`. */
export function blockStart(block: number, rows: number, workers: number): number {
  const { usual, last, count } = cut(rows, workers);
  return Math.min(rows, block <= count ? block * usual : count * usual + (block - count) * last);
}
