/**
 * Which number is what in the small tables that a step shares with whoever feeds and follows it, and in the state that
 * some recipes keep. A plan's regions have as many columns as there are fields here: a new field goes to the end.
 */

/** Fields of a mini-batch's description (region `batches`, one row per slot), written by whoever feeds the ring. */
export const BATCH = {
  /** 0-based step; schedules and Adam's bias correction are functions of it. */
  step: 0,
  /** Rows in this mini-batch. */
  rows: 1,
  /** Examples trained on before this step. */
  examplesBefore: 2,
  /** 1: train; 0: only encode, decode and measure. */
  train: 3,
  /** 1: BatchTopK selects by its moving threshold, as a finished model does, and not over the mini-batch. */
  byThreshold: 4,
} as const;

/** Number of fields of a mini-batch's description. */
export const BATCH_FIELDS: number = Object.keys(BATCH).length;

/** Fields of the auxiliary loss's state (region `auxiliary`). */
export const AUXILIARY = {
  /** What mean‖e − ê‖² is multiplied by in this step; 0: no term. */
  factor: 0,
} as const;

/** Number of fields of the auxiliary loss's state. */
export const AUXILIARY_FIELDS: number = Object.keys(AUXILIARY).length;

/** Fields of the state of BatchTopK's threshold (region `batchThreshold`). */
export const BATCH_THRESHOLD = {
  /** The moving threshold: what a finished model selects by. NaN is never there; 0 before the first step counted. */
  moving: 0,
  /** Steps that the moving threshold has seen. */
  steps: 1,
  /** The last mini-batch's k·B-th largest value; records below it are dropped. 0: all positive ones are kept. */
  value: 2,
  /** Records of that very value are kept in rows before this one … */
  tieRow: 3,
  /** … and in it, those of latents before this one. */
  tieLatent: 4,
  /** The value of the mini-batch before. */
  previous: 5,
} as const;

/** Number of fields of the state of BatchTopK's threshold. */
export const BATCH_THRESHOLD_FIELDS: number = Object.keys(BATCH_THRESHOLD).length;

/** Fields of a step's summary (region `summaries`, one row per slot), written when the step is complete. */
export const SUMMARY = {
  /** Mean over rows of squared error plus penalty. */
  loss: 0,
  /** Sum over rows of ‖x − x̂‖². */
  squaredError: 1,
  /** Sum over rows of ‖x − x̄‖², x̄ the corpus's mean. */
  squares: 2,
  /** Active latents, summed over rows. */
  active: 3,
  /** Latents without activation in the dead window. */
  dead: 4,
  learningRate: 5,
  rows: 6,
  /** Pre-activations that the screened encoder computed exactly, summed over rows. 0, like the fields up to `missed`, when the step was not screened. */
  candidates: 7,
  /** Rows of a screened step that were encoded by the exact product. */
  redone: 8,
  /** Largest error of a screened pre-activation, in standard deviations of the error model. */
  screeningError: 9,
  /** Rows whose screening was checked against all exact pre-activations. */
  audited: 10,
  /** Active latents that the check found missing. */
  missed: 11,
  /** ‖gradients of all parameters‖ before they were clipped; 0 where they are not. */
  gradientNorm: 12,
  /** λ of the sparsity penalty, warmed up, and adapted where its power is annealed; 0 where there is none. */
  penalty: 13,
  /** The power p of the L1 penalty; 1 where it is not annealed. */
  power: 14,
  /** Latents selected per row, as annealed; 0 where the architecture has no k. */
  k: 15,
  /** Rows that were screened: all but those that were redone; 0 when the step was not screened. */
  screened: 16,
} as const;

/** Number of fields of a step's summary. */
export const SUMMARY_FIELDS: number = Object.keys(SUMMARY).length;

/** Fields of a row's report on its screening (region `rowScreening`). */
export const SCREENING = {
  candidates: 0,
  /** 1: encoded by the exact product. */
  redone: 1,
  error: 2,
  /** −1: not audited; else active latents that were missing. */
  missed: 3,
} as const;

/** Number of fields of a row's report on its screening. */
export const SCREENING_FIELDS: number = Object.keys(SCREENING).length;

/** Fields of the gradients' norm (region `gradientNorm`). */
export const GRADIENT_NORM = {
  /** ‖gradients of all parameters‖ before they were clipped. */
  norm: 0,
  /** What they are multiplied by. */
  factor: 1,
} as const;

/** Number of fields of the gradients' norm. */
export const GRADIENT_NORM_FIELDS: number = Object.keys(GRADIENT_NORM).length;

/** Fields of the state of p-annealing (region `pAnnealing`), all of it part of a checkpoint. */
export const P_ANNEALING = {
  /** What the scheduled λ is multiplied by. */
  factor: 0,
  /** Means over the rows of L_p, summed over the steps since the window before the next update began … */
  current: 1,
  /** … and of L_p with the next p. */
  next: 2,
} as const;

/** Number of fields of the state of p-annealing. */
export const P_ANNEALING_FIELDS: number = Object.keys(P_ANNEALING).length;
