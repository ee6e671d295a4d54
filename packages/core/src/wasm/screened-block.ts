/** What the ways of settling screened rows share: a thread's scratch, a block of rows, and what becomes of a row. */
import type { SparseArena } from "../arena-sparse.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import type { StepContext } from "../kernels.ts";
import { CANDIDATE_WORDS, candidateCapacity, SCREENED_LIST_WORDS, screenedCapacity } from "../plan-sparse.ts";
import type { Plan } from "../plan.ts";
import { mostSelected, usualSelected } from "../selection.ts";
import type { SparseModelSetup } from "../setup.ts";
import { PANEL, quantisedPanelBytes, ROW_TERMS, screenTile, TILE, WIDE_TILE } from "../tiles.ts";
import { tilesPerGroup } from "./encode.ts";
import type { Tiling } from "./instance.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { pointersOf } from "./pointers.ts";

/**
 * Panels that are screened before their rows are settled: their bounds, 32 bytes a latent and panel, are then still in the
 * second-level cache. At L, all eight at once, looking for candidates took 10.6 µs a row; two at a time 8, one 6.
 * With two, the latents are read from memory half as often as with one.
 */
const PANELS_AT_ONCE = 2;

/** Where the scratch of one thread begins; pointers, unless said otherwise. */
export interface ScreeningScratch {
  /** Index of the counts of eight rows in arena.candidates, and pointer to them. */
  readonly words: number;
  readonly counts: number;
  /** Lists of the k largest bounds of eight rows. */
  readonly first: number;
  /** Lists of all candidates of eight rows, and as many of those that are evaluated. */
  readonly lists: number;
  readonly evaluated: number;
  /** Terms of the block's panels. */
  readonly rowTerms: number;
  /** Scratch for a tile's sums. */
  readonly sums: number;
  /** The block's quantised rows. */
  readonly packed: number;
  /** Bounds of {@link PANELS_AT_ONCE} panels, and their group maxima. */
  readonly upperBounds: number;
  readonly maxima: number;
  /** What is left of the scratch behind the bounds, and its bytes. */
  readonly rest: number;
  readonly restBytes: number;
}

/** A block of rows [first, last) that are quantised, with a bit for each row of a panel that is not to be screened. */
export interface ScreenedBlock {
  readonly arena: SparseArena;
  readonly step: StepContext;
  readonly scratch: ScreeningScratch;
  readonly first: number;
  readonly last: number;
  /** Pointer to the first row's input, centred where the model does. */
  readonly input: number;
  readonly unscreened: Int32Array;
}

/** What becomes of a screened row. */
export interface Outcome {
  /** Its records are the first `count` of a list (see assembly/lists.ts). False when they do not fit. */
  keep(
    block: ScreenedBlock,
    row: number,
    list: number,
    capacity: number,
    count: number,
    candidates: number,
    error: number,
  ): boolean;
  /** It is encoded by the exact product. */
  redo(block: ScreenedBlock, row: number, error: number): void;
}

/** A way of selection. */
export interface SettleRows {
  /** Rows of a block at most. */
  readonly rowsAtOnce: number;
  /** Finds the records of a block's rows. False when they do not fit. */
  readonly settle: (block: ScreenedBlock, outcome: Outcome) => boolean;
}

/** An error, in standard deviations, that does not follow the error model: its row is encoded exactly. */
const SUSPICIOUS_ERROR = 5;

/** Whether a row with this error is not to be trusted; of NaN, too, so that the exact product reports such a row. */
export function suspicious(error: number): boolean {
  return !(error <= SUSPICIOUS_ERROR);
}

/** The integer product of panels, and where its results lie. */
export interface Screening {
  readonly scratches: readonly ScreeningScratch[];
  /** Groups of latents whose maximum is kept, and latents of one. */
  readonly groups: number;
  readonly groupUnits: number;
  /** Room in the lists of candidates. */
  readonly firstCapacity: number;
  readonly capacity: number;
  /**
   * Calls `settle` for each panel of the block in turn, when its bounds are at `bounds` and their maxima at `maxima`;
   * ends when it returns false, and returns that.
   */
  forPanels(
    block: ScreenedBlock,
    settle: (panel: number, rows: number, bounds: number, maxima: number) => boolean,
  ): boolean;
}

/** The integer product over the memory laid out by `plan`. */
export function screeningOf(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  tiling: Tiling,
): Screening {
  const { dIn, latents } = model;
  const at = pointersOf(plan);
  const [quantised, latentTerms] = [at("quantisedLatents"), at("latentTerms")];
  const firstCapacity = candidateCapacity(mostSelected(plan.setup));
  const capacity = screenedCapacity(plan.setup);
  const { wide, wideSums } = tiling;
  const tile = screenTile(wideSums);
  const tiles = Math.max(2, tilesPerGroup(latents, tile, usualSelected(plan.setup), 24 / tile));
  const groups = wasm.screenGroupCount(latents, tiles, wideSums);
  const panelBytes = quantisedPanelBytes(dIn, wideSums);
  const boundsBytes = 4 * PANEL * latents;
  const maximaBytes = 4 * PANEL * groups;

  const scratchOf = (rank: number): ScreeningScratch => {
    const words = rank * (CANDIDATE_WORDS + 16 * firstCapacity);
    const counts = at("candidates") + 4 * words;
    const lists = at("screenedCandidates") + rank * SCREENED_LIST_WORDS * capacity * 4;
    const rowTerms = at("rowTerms") + rank * (ROW_BLOCK / PANEL) * ROW_TERMS;
    const upperBounds = at("preActivations") + rank * ROW_BLOCK * latents * 4;
    return {
      words,
      counts,
      first: counts + 4 * CANDIDATE_WORDS,
      lists,
      evaluated: lists + (SCREENED_LIST_WORDS / 2) * capacity * 4,
      rowTerms,
      sums: at("screenSums") + rank * 2 * WIDE_TILE * PANEL * 4,
      packed: at("quantisedRows") + (rank * ROW_BLOCK * quantisedPanelBytes(dIn, 0)) / PANEL,
      upperBounds,
      maxima: at("groupMaxima") + rank * ROW_BLOCK * Math.ceil(latents / TILE) * 4,
      rest: upperBounds + PANELS_AT_ONCE * boundsBytes,
      restBytes: (ROW_BLOCK / PANEL - PANELS_AT_ONCE) * boundsBytes,
    };
  };

  return {
    scratches: Array.from({ length: plan.workers }, (_, rank) => scratchOf(rank)),
    groups,
    groupUnits: tile * tiles,
    firstCapacity,
    capacity,
    forPanels({ scratch, first, last }, settle) {
      const panels = Math.ceil((last - first) / PANEL);
      for (let panel = 0; panel < panels; panel++) {
        const inPlace = panel % PANELS_AT_ONCE;
        if (inPlace === 0) {
          wasm.screen(
            scratch.upperBounds,
            scratch.packed + panel * panelBytes,
            Math.min(PANELS_AT_ONCE, panels - panel),
            scratch.rowTerms + panel * ROW_TERMS,
            quantised,
            latentTerms,
            latents,
            dIn,
            scratch.maxima,
            tiles,
            scratch.sums,
            wideSums,
            wide,
          );
        }
        const rows = Math.min(PANEL, last - first - panel * PANEL);
        const [bounds, maxima] = [
          scratch.upperBounds + inPlace * boundsBytes,
          scratch.maxima + inPlace * maximaBytes,
        ];
        if (!settle(panel, rows, bounds, maxima)) return false;
      }
      return true;
    },
  };
}
