/**
 * Rows of a feature model: which features are active in row i, how strongly, and the row itself. A pure function
 * of (options, row index), so any row can be made at any time, by any thread, in any order.
 *
 * A row takes time for what is active in it, not for each feature. Children are only looked at where their parent
 * is active. Features without a parent are found by thinning: with the largest score of each block of 64 as a
 * bound, geometric gaps lead from one proposal to the next, and a proposal is accepted in the proportion of its
 * own probability to the bound.
 */
import { Purpose, boxMullerRadius, drawFrom, rowKey, toUniform } from "../random.ts";
import type { RowKey } from "../random.ts";
import type { FeatureModel } from "./feature-model.ts";
import { instantiate } from "./module.ts";
import type { GeneratorExports } from "./module.ts";
import { NormalTable } from "./normal-distribution.ts";
import { GROUP_ROWS, SCORE_BLOCK, standingFeatures } from "./tables.ts";
import type { FeatureTables, ScratchLayout, TableLayout } from "./tables.ts";

/** The true features of one row: ascending, with their magnitudes. Views, overwritten by the next row. */
export interface ActiveFeaturesOfRow {
  readonly features: Uint32Array;
  /** Float32, all above 0. */
  readonly magnitudes: Float32Array;
}

/** Beyond this bound on the probability proposals are no cheaper than looking at each feature. */
const DENSE = 0.25;
/** Draws that a block may need: a gap and an acceptance for each of its features. */
const DRAWS_OF_BLOCK = 2 * SCORE_BLOCK;
/** Room for the draws that order the children of one parent. */
const MOST_CHILDREN = 256;

/** Makes rows. One per thread: it works in its own scratch space of the shared tables. */
export class RowSampler {
  readonly #model: FeatureModel;
  readonly #layout: TableLayout;
  readonly #scratch: ScratchLayout;
  readonly #kernels: GeneratorExports;
  readonly #table: NormalTable = new NormalTable();
  readonly #standing: Uint32Array;
  readonly #normals: Float32Array;
  readonly #scores: Float32Array;
  readonly #maxima: Float32Array;
  readonly #active: Uint32Array;
  readonly #weights: Float32Array;
  readonly #row: Float32Array;
  readonly #siblings: Uint32Array;
  #count = 0;
  /** The first row of the group whose scores are in the scratch space; -1 for none. */
  #group = -1;

  /** @param thread which scratch space of `tables` is its own: no other sampler may have the same. */
  constructor(model: FeatureModel, tables: FeatureTables, thread: number) {
    const { layout, memory } = tables;
    const scratch = layout.scratch[thread];
    if (scratch === undefined) throw new RangeError(`there is no scratch space ${thread}`);
    const { features, hierarchy } = model.options;
    this.#model = model;
    this.#layout = layout;
    this.#scratch = scratch;
    this.#kernels = instantiate(memory);
    this.#standing = standingFeatures(model);
    const { buffer } = memory;
    this.#normals = new Float32Array(buffer, scratch.normals, GROUP_ROWS * model.rank);
    this.#scores = new Float32Array(buffer, scratch.scores, GROUP_ROWS * layout.standing);
    this.#maxima = new Float32Array(buffer, scratch.maxima, (GROUP_ROWS * layout.standing) / SCORE_BLOCK);
    this.#active = new Uint32Array(buffer, scratch.active, features + 3);
    this.#weights = new Float32Array(buffer, scratch.weights, features + 3);
    this.#row = new Float32Array(buffer, scratch.row, model.options.dIn);
    this.#siblings = new Uint32Array(hierarchy?.branching ?? 0);
  }

  /**
   * Writes rows `firstRow .. firstRow + rows - 1`.
   * @param into receives `[rows, dIn]`; any memory.
   */
  fill(into: Float32Array, firstRow: number, rows: number): void {
    const { dIn } = this.#model.options;
    if (into.length < rows * dIn) {
      throw new RangeError(`${rows} rows of ${dIn} numbers do not fit an array of ${into.length}`);
    }
    for (let i = 0; i < rows; i++) {
      this.#sample(firstRow + i);
      this.#sum();
      into.set(this.#row, i * dIn);
    }
  }

  /** The true features of row `index`. */
  activeFeatures(index: number): ActiveFeaturesOfRow {
    this.#sample(index);
    return {
      features: this.#active.subarray(0, this.#count),
      magnitudes: this.#weights.subarray(0, this.#count),
    };
  }

  #sum(): void {
    const { bias, directions, stride } = this.#layout;
    const { row, active, weights } = this.#scratch;
    this.#kernels.sumDirections(row, bias, directions, active, weights, this.#count, stride);
  }

  /** Leaves the row's active features in the scratch space. */
  #sample(index: number): void {
    const { seed } = this.#model.options;
    const inGroup = index % GROUP_ROWS;
    if (this.#group !== index - inGroup) this.#score(index - inGroup);
    this.#count = 0;
    const magnitude = rowKey(seed, Purpose.magnitude, index);
    this.#findStanding(inGroup, rowKey(seed, Purpose.featureSkip, index), magnitude);
    if (this.#model.parents > 0) this.#findChildren(inGroup, index, magnitude);
    this.#sort();
  }

  /** The group's normal numbers, and the scores of all features without a parent. */
  #score(firstRow: number): void {
    const { rank, options } = this.#model;
    for (let row = 0; row < GROUP_ROWS; row++) {
      const { x, y } = rowKey(options.seed, Purpose.correlation, firstRow + row);
      for (let k = 0; k < rank; k++) this.#normals[row * rank + k] = normalFrom(x, y, k);
    }
    const { scores, maxima, normals } = this.#scratch;
    const { factor, threshold, standing } = this.#layout;
    this.#kernels.scoreRows(scores, maxima, factor, threshold, normals, rank, standing);
    this.#group = firstRow;
  }

  #findStanding(inGroup: number, { x, y }: RowKey, magnitude: RowKey): void {
    const { standing } = this.#layout;
    const blocks = standing / SCORE_BLOCK;
    const table = this.#table;
    for (let block = 0; block < blocks; block++) {
      const bound = table.atLeast(this.#maxima[inGroup * blocks + block]!);
      const base = inGroup * standing + block * SCORE_BLOCK;
      let draw = block * DRAWS_OF_BLOCK;
      if (bound > DENSE) {
        for (let i = 0; i < SCORE_BLOCK; i++) {
          const uniform = toUniform(drawFrom(x, y, draw++));
          if (table.isBelow(uniform, this.#scores[base + i]!)) this.#addStanding(block, i, magnitude);
        }
        continue;
      }
      const logOfMiss = Math.log1p(-bound);
      for (let i = -1; ; ) {
        // A number in (0, 1]: the gap to the next success of trials at the bound is geometric.
        i += 1 + Math.floor(Math.log((drawFrom(x, y, draw++) + 1) / 4294967296) / logOfMiss);
        if (!(i < SCORE_BLOCK)) break;
        const uniform = toUniform(drawFrom(x, y, draw++)) * bound;
        if (table.isBelow(uniform, this.#scores[base + i]!)) this.#addStanding(block, i, magnitude);
      }
    }
  }

  #addStanding(block: number, i: number, key: RowKey): void {
    const feature = this.#standing[block * SCORE_BLOCK + i];
    // Scores that fill up the last block are -Infinity, but a bound may be found there.
    if (feature !== undefined) this.#add(feature, 1, key);
  }

  /** Draws a feature's magnitude and adds it, unless that is 0. Returns whether it was added. */
  #add(feature: number, factor: number, { x, y }: RowKey): boolean {
    const { magnitude, magnitudeSd } = this.#model;
    const sd = magnitudeSd[feature]!;
    const own = magnitude[feature]! + (sd === 0 ? 0 : sd * normalFrom(x, y, feature));
    const value = Math.fround(own * factor);
    if (!(value > 0)) return false;
    this.#active[this.#count] = feature;
    this.#weights[this.#count++] = value;
    return true;
  }

  /** Goes through the active features that have children, those found on the way included. */
  #findChildren(inGroup: number, index: number, magnitudeKey: RowKey): void {
    const { options, parents, inTrees, magnitude } = this.#model;
    const { seed, hierarchy } = options;
    if (hierarchy === undefined) return;
    const { roots, branching, exclusive, scaleByParent } = hierarchy;
    const active = rowKey(seed, Purpose.activeFeature, index);
    const order = rowKey(seed, Purpose.siblingOrder, index);
    const siblings = this.#siblings;
    for (let at = 0; at < this.#count; at++) {
      const parent = this.#active[at]!;
      if (parent >= parents) continue;
      const factor = scaleByParent ? this.#weights[at]! / magnitude[parent]! : 1;
      const first = roots + parent * branching;
      const children = Math.min(branching, inTrees - first);
      for (let i = 0; i < children; i++) siblings[i] = first + i;
      for (let i = 0; i < children; i++) {
        if (exclusive) {
          // In random order the first that is active wins: each of those that would be with the same probability.
          const bits = drawFrom(order.x, order.y, parent * MOST_CHILDREN + i);
          const other = i + Math.floor(toUniform(bits) * (children - i));
          const held = siblings[i]!;
          siblings[i] = siblings[other]!;
          siblings[other] = held;
        }
        const child = siblings[i]!;
        const uniform = toUniform(drawFrom(active.x, active.y, child));
        if (!this.#table.isBelow(uniform, this.#scoreOf(child, inGroup))) continue;
        if (this.#add(child, factor, magnitudeKey) && exclusive) break;
      }
    }
  }

  #scoreOf(feature: number, inGroup: number): number {
    const { rank, factor, threshold } = this.#model;
    let score = -threshold[feature]!;
    const normals = inGroup * rank;
    const base = feature * rank;
    for (let k = 0; k < rank; k++) score += factor[base + k]! * this.#normals[normals + k]!;
    return score;
  }

  /** By insertion: roots, single features and children come in three ascending runs or nearly so. */
  #sort(): void {
    const active = this.#active;
    const weights = this.#weights;
    for (let i = 1; i < this.#count; i++) {
      const feature = active[i]!;
      const weight = weights[i]!;
      let to = i;
      for (; to > 0 && active[to - 1]! > feature; to--) {
        active[to] = active[to - 1]!;
        weights[to] = weights[to - 1]!;
      }
      active[to] = feature;
      weights[to] = weight;
    }
  }
}

/** A standard normal number (Box-Muller) of a row's sequence. */
function normalFrom(x: number, y: number, counter: number): number {
  const angle = 2 * Math.PI * toUniform(drawFrom(x, y, 2 * counter + 1));
  return boxMullerRadius(drawFrom(x, y, 2 * counter)) * Math.cos(angle);
}
