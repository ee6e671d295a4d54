/**
 * Cuts a corpus into blocks: the unit of reading and shuffling. A pure plan over batch sizes; reads nothing.
 */

/** Consecutive rows of one record batch, contiguous in its values. */
export interface Segment {
  /** Index of the file in the corpus. */
  readonly file: number;
  /** Index of the record batch in the file. */
  readonly batch: number;
  /** First row, among the batch's vectors. */
  readonly firstRow: number;
  readonly rows: number;
}

/** At most `blockBytes` of consecutive rows of one file. */
export interface Block {
  /** Index among the corpus's blocks, in file order. */
  readonly index: number;
  /** Global index of the first row. */
  readonly firstRow: number;
  readonly rows: number;
  /** Bytes of its values: `rows * dIn` numbers. */
  readonly byteLength: number;
  /** One read each, in order. Small batches are coalesced, big ones cut. */
  readonly segments: readonly Segment[];
}

/** The blocks of a corpus, in file order, each made when it is asked for: a large corpus has a million. */
export interface Blocks extends Iterable<Block> {
  readonly length: number;
  /** Block `index`, counted from the end where it is negative; undefined when there is none. */
  at(index: number): Block | undefined;
  /** The block that holds a row of the corpus. @throws RangeError when there is no such row. */
  holding(row: number): Block;
}

/** Rows of each batch of a file, in order. */
export type BatchRows = Float64Array;

/** Where the batches of a file begin, for all of its blocks. */
interface FileRows {
  /** Index of the file. */
  readonly file: number;
  /** Global index of the file's first row. */
  readonly firstRow: number;
  /** Index of the file's first block. */
  readonly firstBlock: number;
  readonly rows: number;
  /** First row of each batch in the file, and the file's rows at the end. */
  readonly starts: Float64Array;
}

class PlannedBlock implements Block {
  readonly index: number;
  readonly firstRow: number;
  readonly rows: number;
  readonly byteLength: number;
  readonly #file: FileRows;

  constructor(file: FileRows, index: number, firstRow: number, rows: number, rowBytes: number) {
    this.#file = file;
    this.index = index;
    this.firstRow = firstRow;
    this.rows = rows;
    this.byteLength = rows * rowBytes;
  }

  get segments(): readonly Segment[] {
    const { file, firstRow, starts } = this.#file;
    const segments: Segment[] = [];
    let row = this.firstRow - firstRow;
    const end = row + this.rows;
    for (let batch = lastAtMost(starts.length, (i) => starts[i]!, row); row < end; batch++) {
      const rows = Math.min(end, starts[batch + 1]!) - row;
      if (rows > 0) segments.push({ file, batch, firstRow: row - starts[batch]!, rows });
      row += rows;
    }
    return segments;
  }
}

class PlannedBlocks implements Blocks {
  readonly length: number;
  readonly #files: readonly FileRows[];
  readonly #rows: number;
  readonly #rowBytes: number;
  readonly #rowsPerBlock: number;

  constructor(files: readonly BatchRows[], rowBytes: number, rowsPerBlock: number) {
    let firstRow = 0;
    let firstBlock = 0;
    this.#rowBytes = rowBytes;
    this.#rowsPerBlock = rowsPerBlock;
    this.#files = files.map((batches, file) => {
      const starts = new Float64Array(batches.length + 1);
      for (const [batch, rows] of batches.entries()) starts[batch + 1] = starts[batch]! + rows;
      const rows = starts.at(-1)!;
      const plan: FileRows = { file, firstRow, firstBlock, rows, starts };
      firstRow += rows;
      firstBlock += Math.ceil(rows / rowsPerBlock);
      return plan;
    });
    this.#rows = firstRow;
    this.length = firstBlock;
  }

  at(index: number): Block | undefined {
    const block = index < 0 ? index + this.length : index;
    if (!(Number.isInteger(block) && block >= 0 && block < this.length)) return undefined;
    // Of files that begin with one block, those before the last have no rows.
    const file = this.#files[lastAtMost(this.#files.length, (i) => this.#files[i]!.firstBlock, block)]!;
    const done = (block - file.firstBlock) * this.#rowsPerBlock;
    const rows = Math.min(this.#rowsPerBlock, file.rows - done);
    return new PlannedBlock(file, block, file.firstRow + done, rows, this.#rowBytes);
  }

  holding(row: number): Block {
    if (!Number.isInteger(row) || row < 0 || row >= this.#rows) {
      throw new RangeError(`there is no row ${row} in a corpus of ${this.#rows} rows`);
    }
    const file = this.#files[lastAtMost(this.#files.length, (i) => this.#files[i]!.firstRow, row)]!;
    return this.at(file.firstBlock + Math.floor((row - file.firstRow) / this.#rowsPerBlock))!;
  }

  *[Symbol.iterator](): Iterator<Block> {
    for (let index = 0; index < this.length; index++) yield this.at(index)!;
  }
}

/** Index of the last of `count` ascending numbers that is at most `value`; the first must be. */
function lastAtMost(count: number, numberAt: (index: number) => number, value: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (numberAt(middle) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The blocks of a corpus: full ones of `rowsPerBlock` rows, and a shorter one at the end of each file.
 * @param files the rows of each file's batches.
 */
export function planBlocks(files: readonly BatchRows[], rowBytes: number, rowsPerBlock: number): Blocks {
  return new PlannedBlocks(files, rowBytes, rowsPerBlock);
}

/**
 * What a read of its own costs, in bytes of a longer read. Measured in the page cache at 3 KiB a row: 58 us a
 * row against 0.55 ms for a block of 4 MiB, which makes 440 KiB; less on a disk, where long reads are slower.
 */
const READ_COST_BYTES = 256 * 1024;

/** True when so few rows of a block are wanted that reading them one by one beats reading the block. */
export function areFew(rows: number, block: Block): boolean {
  return rows * READ_COST_BYTES < block.byteLength;
}

/** The segment that holds a global row, and the row's index in its batch. @throws RangeError when there is no such row. */
export function findRow(blocks: Blocks, row: number): { segment: Segment; batchRow: number } {
  const block = blocks.holding(row);
  let rest = row - block.firstRow;
  for (const segment of block.segments) {
    if (rest < segment.rows) return { segment, batchRow: segment.firstRow + rest };
    rest -= segment.rows;
  }
  throw new Error("internal: the block does not hold its rows");
}
