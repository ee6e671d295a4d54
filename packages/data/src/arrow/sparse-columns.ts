/** What the columns of a file of sparse rows are called. */

/** Names of the columns that are written before labels. */
export const SPARSE_COLUMNS = ["row", "latents", "values"] as const;
