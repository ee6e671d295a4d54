/**
 * Pairs of directions whose cosine is above a floor. A product of n·m·dIn multiply-adds, done by the encoder of a ReLU
 * model on a worker team: its weights are one set of directions, its rows the other, its biases the floor. What it
 * finds are a model's sparse records, so that memory goes with the pairs found, not with n·m.
 */
import { evaluationTraining, normaliseDirections, planRun, refreshDerived } from "@sparseloom/core";
import { evaluate } from "../evaluate.ts";
import { Team } from "../team/team.ts";

/** Pairs of a row of one set and a row of another. */
export interface NearPairs {
  readonly count: number;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly cosine: Float32Array;
}

/** Rows of the other set at a time. */
const ROWS_AT_A_TIME = 1024;

/** One set of directions [directions, dIn], ready to be held against others. Rows of zeros are near to nothing. */
export class NearDirections implements AsyncDisposable {
  readonly #team: Team;
  readonly #dIn: number;
  readonly #floor: number;

  /** @param floor cosines must be above it; at least 0 */
  constructor(directions: Float32Array, dIn: number, floor: number, workers: number) {
    const plan = planRun({
      setup: {
        model: {
          kind: "sparse",
          architecture: "relu",
          dIn,
          latents: directions.length / dIn,
          k: 0,
          decoder: "free",
          applyBDecToInput: false,
        },
        training: evaluationTraining(ROWS_AT_A_TIME),
      },
      workers,
      purpose: "evaluate",
      encoder: "exact",
    });
    this.#team = new Team(plan);
    this.#dIn = dIn;
    this.#floor = floor;
    const { arena } = this.#team;
    if (arena.kind !== "sparse") throw new Error("internal: not a sparse model");
    arena.W_enc.value.set(directions);
    normaliseDirections(arena.W_enc.value, dIn);
    arena.b_enc.value.fill(-floor);
    refreshDerived(arena);
  }

  /** Pairs of these directions (a) with `others` [others, dIn] (b), ordered by b, then a. */
  async above(others: Float32Array): Promise<NearPairs> {
    const dIn = this.#dIn;
    const rows = Float32Array.from(others);
    normaliseDirections(rows, dIn);
    const pairs = new GrowingPairs();
    let at = 0;
    const source = {
      fill(into: Float32Array, wanted: number, rowIds: Float64Array): Promise<number> {
        const count = Math.min(wanted, rows.length / dIn - at);
        into.set(rows.subarray(at * dIn, (at + count) * dIn));
        for (let row = 0; row < count; row++) rowIds[row] = at + row;
        at += count;
        return Promise.resolve(count);
      },
    };
    await evaluate(this.#team, source, Infinity, {
      onRows: (arena, rowIds, count) => {
        if (arena.kind !== "sparse") return;
        for (let row = 0; row < count; row++) {
          const begin = arena.rowOffset[row];
          for (let record = begin; record < begin + arena.rowCount[row]; record++)
            pairs.add(arena.recordLatent[record], rowIds[row], arena.recordValue[record] + this.#floor);
        }
      },
    });
    return pairs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#team[Symbol.asyncDispose]();
  }
}

class GrowingPairs implements NearPairs {
  count = 0;
  a: Int32Array = new Int32Array(1024);
  b: Int32Array = new Int32Array(1024);
  cosine: Float32Array = new Float32Array(1024);

  add(a: number, b: number, cosine: number): void {
    if (this.count === this.a.length) {
      const more = 2 * this.count;
      const [wasA, wasB, was] = [this.a, this.b, this.cosine];
      (this.a = new Int32Array(more)).set(wasA);
      (this.b = new Int32Array(more)).set(wasB);
      (this.cosine = new Float32Array(more)).set(was);
    }
    this.a[this.count] = a;
    this.b[this.count] = b;
    this.cosine[this.count++] = cosine;
  }
}
