/**
 * Sizes of the WebAssembly kernels' tiles, for whoever lays out memory for them or calls them: the same numbers as in
 * assembly/product.ts, record-columns.ts, masks.ts, chains.ts and quantise.ts, which a test compares.
 */

/** Rows of a panel: one of their dimensions fills two vectors. */
export const PANEL = 8;
/** Latents, or output units, of a tile of the float32 product. */
export const TILE = 6;
/** Dimensions of a chain that are worked off before it is spilled. */
export const DEPTH = 384;

/** Columns of a tile of sums weighted by records, and rows of the matrix in a chunk: assembly/record-columns.ts. */
export const COLUMNS = 48;
export const SPAN = 128;

/** Masks of what is selected of a panel that are noted together, of two words each: assembly/masks.ts. */
export const MASKS = 128;

/** Words of chains that wait for others, to be computed with them: assembly/chains.ts. */
export const CHAIN_WORDS = 16;

/** Latents of a tile of the screening product: by sums of 16 bits, and of 32. */
export const NARROW_TILE = 5;
export const WIDE_TILE = 6;
/** Latents of a tile of the screening product, whose integers are stored together; by sums of 32 bits or not. */
export function screenTile(wideSums: 0 | 1): number {
  return wideSums ? WIDE_TILE : NARROW_TILE;
}
/** Latents are filled up to multiples of this for the screening product: whole tiles of either kind. */
export const SCREEN_LATENTS = 30;
/** Dimensions are filled up to multiples of this for the screening product. */
export const SCREEN_DEPTH = 32;
/** Dimensions of a part, whose products sums of 16 bits add up. */
export const SCREEN_PART = 128;

/** Dimensions of quantised rows and latents: filled up. */
export function quantisedLength(dIn: number): number {
  return SCREEN_DEPTH * Math.ceil(dIn / SCREEN_DEPTH);
}

/** Bytes of a quantised panel; for sums of 16 bits, with what those of each part start at. */
export function quantisedPanelBytes(dIn: number, wideSums: 0 | 1): number {
  return PANEL * (quantisedLength(dIn) + (wideSums ? 0 : 4 * Math.ceil(dIn / SCREEN_PART)));
}

/** Bytes of what screening keeps of each latent beside its integers. */
export const LATENT_TERMS = 12;
/** Bytes of what screening keeps of each panel of rows beside its integers. */
export const ROW_TERMS = 192;
