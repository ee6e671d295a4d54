/** How much of what one block of work of each stage is. */

/**
 * Rows of one block of work of the row stages, at most: sixteen panels of 8 rows, so that the encoder's weights are read
 * from memory once for 128 rows. With 64 the exact product at L took 3 to 6 % longer and a step of dense ReLU rows 12 %,
 * with 32 the product took another 15 to 20 %.
 */
export const ROW_BLOCK = 128;

/**
 * Latents of one block of work of the parameter stage: eight tiles of six, and few enough that their gradients stay in
 * the second-level cache. Part of the canonical value of b_dec's gradient, which sums one partial per block: changing it
 * changes the last bits of every run.
 */
export const LATENT_BLOCK = 48;

/**
 * Blocks of latents that are gathered together, at most, where rows may have many records and gradients are stored: the
 * mini-batch's rows are then read once for 576 latents. See decision 007.
 */
export const GATHERED_BLOCKS = 12;

/**
 * Rows of one block of a deep autoencoder's row stage, at most: twelve panels of 8 going forward, sixteen tiles of 6 going
 * back. With 48, for which weights come from memory twice as often, a step at M took 1 to 3 % longer.
 */
export const DEEP_ROW_BLOCK = 96;

/**
 * Output units of one block of work of a deep autoencoder's parameter stage: sixteen tiles of six, so that a layer's input
 * is read once for 96 units.
 */
export const UNIT_BLOCK = 96;

/** Dimensions of one block of work of the decoder-bias stage. */
export const DIMENSION_BLOCK = 64;

/** Rows of one block of work of Muon's stages: eight tiles of six. */
export const MATRIX_BLOCK = 48;
