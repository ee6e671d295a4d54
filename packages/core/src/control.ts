/** Words of the arena's `control` region: the step's own shared state, written between stages. */
export const CONTROL = {
  /** Stage to run next, one of PHASE. */
  phase: 0,
  /** First row of the chunk being worked on. */
  chunkFirst: 1,
  /** Row after the last of the chunk. */
  chunkEnd: 2,
  /** Rows that the next chunk may have at most; 0: the whole mini-batch. */
  chunkRows: 3,
  /** Sparse records handed out in this chunk, possibly more than there is room for. */
  recordsUsed: 4,
  /** 1 when a block's records did not fit. */
  overflow: 5,
  /** Records of the mini-batch so far. */
  active: 6,
  /** Steps since the blocks of latents were last put in order. */
  sinceReorder: 7,
  /** 1 while rows are screened. */
  screening: 8,
  /** Step from which on the equaliser is to be made anew, and all latents quantised by it. */
  equaliseAt: 9,
  /** Latents, so far in this stage, that cannot be screened. */
  unscreened: 10,
  /** Active latents per row of the last step, rounded up; 0 before the first. */
  density: 11,
  /** Bits of the highest floor under which this mini-batch's records did not fit, −1: none yet (BatchTopK). */
  floorTooLow: 12,
  /** Bits of the lowest floor above which there were too few records, or of infinity. */
  floorTooHigh: 13,
  /** Floors tried in vain in this step. */
  floorTries: 14,
  /** Latents that the step's auxiliary loss calls dead. */
  deadLatents: 15,
  /** Which of Muon's stages comes next. */
  matrixStage: 16,
  /** Records of this chunk that have a place among the sorted ones. */
  recordsSorted: 17,
} as const;
