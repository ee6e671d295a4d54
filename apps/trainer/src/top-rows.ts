/** For each latent the rows that activate it most, kept while rows stream by. */
import type { SparseArena } from "@sparseloom/core";

export class TopRows {
  readonly #count: number;
  /** [latents, count], descending in value; a value of 0 is an empty place. */
  readonly #values: Float32Array;
  readonly #rowIds: Float64Array;

  /** Keeps `count` rows for each of `latents` latents. */
  constructor(latents: number, count: number) {
    this.#count = count;
    this.#values = new Float32Array(latents * count);
    this.#rowIds = new Float64Array(latents * count);
  }

  /** Takes in the records of the arena's current rows. Ties go to the row that came first. */
  add(arena: SparseArena, rowIds: Float64Array, rows: number): void {
    for (let row = 0; row < rows; row++) {
      const begin = arena.rowOffset[row];
      const end = begin + arena.rowCount[row];
      for (let record = begin; record < end; record++)
        this.#insert(arena.recordLatent[record], arena.recordValue[record], rowIds[row]);
    }
  }

  /** The best rows of a latent, the strongest first. */
  of(latent: number): { rowId: number; value: number }[] {
    const found: { rowId: number; value: number }[] = [];
    for (let place = latent * this.#count; place < (latent + 1) * this.#count; place++) {
      if (this.#values[place] > 0) found.push({ rowId: this.#rowIds[place], value: this.#values[place] });
    }
    return found;
  }

  #insert(latent: number, value: number, rowId: number): void {
    const first = latent * this.#count;
    let place = first + this.#count - 1;
    if (value <= this.#values[place]) return;
    while (place > first && this.#values[place - 1] < value) {
      this.#values[place] = this.#values[place - 1];
      this.#rowIds[place] = this.#rowIds[place - 1];
      place--;
    }
    this.#values[place] = value;
    this.#rowIds[place] = rowId;
  }
}
