/**
 * The one-to-one matching with the largest sum of cosines among given pairs. The assignment problem falls apart into
 * the connected parts of the pairs, each of which is solved exactly; a part that is too large is cut by leaving out
 * pairs of smaller cosine, which is reported.
 */
import type { Assign } from "@sparseloom/core";
import type { NearPairs } from "./near-directions.ts";

/** A latent of each model. */
export interface MatchedPair {
  readonly a: number;
  readonly b: number;
  readonly cosine: number;
}

export interface OneToOne {
  /** By a. */
  readonly pairs: readonly MatchedPair[];
  /** Pairs at or below this cosine were not looked at in at least one part; 0: none were left out. */
  readonly floor: number;
}

/** Cells of an assignment problem at most, 2,048 × 2,048: memory of 16 MB, and some seconds. */
export const MOST_CELLS: number = 2 ** 22;

/** Cosines at which parts that are too large are cut. */
const FLOORS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99];

/**
 * Matches. What is left after the last cut and still too large (thousands of copies of one direction) is matched
 * greedily, largest cosine first.
 *
 * @param floor the cosine above which the pairs lie
 */
export function matchOneToOne(
  near: NearPairs,
  floor: number,
  assign: Assign,
  mostCells = MOST_CELLS,
): OneToOne {
  const all = Int32Array.from({ length: near.count }, (_, pair) => pair);
  const pairs: MatchedPair[] = [];
  const used = solve(near, all, floor, assign, mostCells, pairs);
  return { pairs: pairs.sort((one, other) => one.a - other.a), floor: used };
}

function solve(
  near: NearPairs,
  pairs: Int32Array,
  floor: number,
  assign: Assign,
  mostCells: number,
  into: MatchedPair[],
): number {
  let highest = floor;
  for (const part of connectedParts(near, pairs)) {
    const rows = numbered(part, near.a);
    const columns = numbered(part, near.b);
    if (rows.size * columns.size <= mostCells) {
      solveWhole(near, part, rows, columns, assign, into);
      continue;
    }
    const next = FLOORS.find((candidate) => candidate > floor);
    if (next === undefined) matchGreedily(near, part, into);
    else {
      const nearer = part.filter((pair) => near.cosine[pair] > next);
      highest = Math.max(highest, next, solve(near, nearer, next, assign, mostCells, into));
    }
  }
  return highest;
}

/** Pairs by the connected part that they belong to, in the order of each part's first pair. */
function connectedParts({ a, b }: NearPairs, pairs: Int32Array): Int32Array[] {
  // Union-find over both models' latents: those of a at even numbers, those of b at odd ones.
  const nodes = 2 + 2 * pairs.reduce((most, pair) => Math.max(most, a[pair], b[pair]), 0);
  const parent = Int32Array.from({ length: nodes }, (_, node) => node);
  const rootOf = (node: number): number => {
    let root = node;
    while (parent[root] !== root) root = parent[root] = parent[parent[root]];
    return root;
  };
  for (const pair of pairs) parent[rootOf(2 * a[pair])] = rootOf(2 * b[pair] + 1);
  const sizes = new Map<number, number>();
  for (const pair of pairs) {
    const root = rootOf(2 * a[pair]);
    sizes.set(root, (sizes.get(root) ?? 0) + 1);
  }
  const parts = new Map<number, { readonly list: Int32Array; length: number }>();
  for (const pair of pairs) {
    const root = rootOf(2 * a[pair]);
    let part = parts.get(root);
    if (part === undefined)
      parts.set(root, (part = { list: new Int32Array(sizes.get(root) ?? 0), length: 0 }));
    part.list[part.length++] = pair;
  }
  return [...parts.values()].map(({ list }) => list);
}

/** The latents of a part on one side, each with a number of its own. */
function numbered(part: Int32Array, latents: Int32Array): Map<number, number> {
  const numbers = new Map<number, number>();
  for (const pair of part) {
    const latent = latents[pair];
    if (!numbers.has(latent)) numbers.set(latent, numbers.size);
  }
  return numbers;
}

function solveWhole(
  near: NearPairs,
  part: Int32Array,
  rows: ReadonlyMap<number, number>,
  columns: ReadonlyMap<number, number>,
  assign: Assign,
  into: MatchedPair[],
): void {
  const costs = Array.from({ length: rows.size }, () => new Float32Array(columns.size));
  for (const pair of part) {
    const row = rows.get(near.a[pair]) ?? 0;
    const column = columns.get(near.b[pair]) ?? 0;
    costs[row][column] = -near.cosine[pair];
  }
  const [a, b] = [[...rows.keys()], [...columns.keys()]];
  for (const [row, column] of assign(costs)) {
    const cosine = -costs[row][column];
    // What is no pair costs nothing and counts for nothing: the two stay alone.
    if (cosine > 0) into.push({ a: a[row], b: b[column], cosine });
  }
}

function matchGreedily({ a, b, cosine }: NearPairs, part: Int32Array, into: MatchedPair[]): void {
  const [takenA, takenB] = [new Set<number>(), new Set<number>()];
  for (const pair of part.toSorted((one, other) => cosine[other] - cosine[one] || one - other)) {
    if (takenA.has(a[pair]) || takenB.has(b[pair])) continue;
    takenA.add(a[pair]);
    takenB.add(b[pair]);
    into.push({ a: a[pair], b: b[pair], cosine: cosine[pair] });
  }
}
