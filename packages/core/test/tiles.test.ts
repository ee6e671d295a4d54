/** Sizes of tiles stand in AssemblyScript and in TypeScript: memory is laid out by the one and used by the other. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as tiles from "../src/tiles.ts";

/** The exported sizes of a file of the kernels, by name. */
function sizesOf(file: string): Record<string, number> {
  const source = readFileSync(new URL(`../assembly/${file}`, import.meta.url), "utf8");
  const pattern = /^export const (\w+): usize = ([\d *]+);$/gm;
  const product = (factors: string): number =>
    factors.split("*").reduce((value, factor) => value * Number(factor), 1);
  return Object.fromEntries([...source.matchAll(pattern)].map(([, name, value]) => [name!, product(value!)]));
}

describe("the sizes of tiles", () => {
  it("of the float32 product are those of its kernel", () => {
    const { PANEL, TILE, DEPTH } = tiles;
    expect(sizesOf("product.ts")).toEqual({ PANEL, TILE, DEPTH });
  });

  it("of sums weighted by records are those of their kernel", () => {
    const { COLUMNS, SPAN } = tiles;
    expect(sizesOf("record-columns.ts")).toEqual({ COLUMNS, SPAN });
  });

  it("of masks are those of their kernel", () => {
    expect(sizesOf("masks.ts")).toMatchObject({ MASKS: tiles.MASKS });
  });

  it("of chains that wait are those of their kernel", () => {
    expect(sizesOf("chains.ts")).toEqual({ CHAIN_WORDS: tiles.CHAIN_WORDS });
  });

  it("of the screening product are those of its kernel", () => {
    const { NARROW_TILE, WIDE_TILE, SCREEN_LATENTS, SCREEN_DEPTH, SCREEN_PART, LATENT_TERMS, ROW_TERMS } =
      tiles;
    expect(sizesOf("quantise.ts")).toMatchObject({
      NARROW_TILE,
      WIDE_TILE,
      DEPTH: SCREEN_DEPTH,
      DOTS: SCREEN_PART / 4,
      LATENT_TERMS,
      ROW_TERMS,
    });
    expect([SCREEN_LATENTS % NARROW_TILE, SCREEN_LATENTS % WIDE_TILE]).toEqual([0, 0]);
  });
});
