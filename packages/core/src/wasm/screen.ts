/**
 * Encoding rows by screening. Rows and latents are quantised to small integers; their product gives, with a margin of
 * seven standard deviations of the rounding errors, an upper bound of each pre-activation. What may be active by its
 * bound is computed exactly. So the records are those of the exact product, up to the margin's probability: a row whose
 * errors look too large, or that has too many candidates, is encoded by the exact product.
 */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseArena } from "../arena-sparse.ts";
import { SCREENING, SCREENING_FIELDS } from "../fields.ts";
import { CONTROL } from "../control.ts";
import type { ScreeningKernels, StepContext } from "../kernels.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import { CANDIDATE_WORDS, candidateCapacity, quantisedLength, screenedCapacity } from "../plan-sparse.ts";
import type { Plan } from "../plan.ts";
import { mostSelected, usualSelected } from "../selection.ts";
import { PURPOSE, uniform } from "../random.ts";
import { rowDimension, type SparseModelSetup } from "../setup.ts";
import { LATENT_TERMS, PANEL, ROW_TERMS, SCREEN_TILE, TILE } from "../tiles.ts";
import { type ExactEncoder, type RowList, tilesPerGroup } from "./encode.ts";
import { fasterScreen } from "./faster-sums.ts";
import type { KernelExports } from "./instance.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/** Bits above those of any number: a bound that nothing reaches. */
const UNREACHABLE = 0x7f800001;
/** Bits of the smallest positive float32. */
const SMALLEST = 1;
/** A row with an error of as many standard deviations does not follow the error model: it is encoded exactly. */
const SUSPICIOUS_ERROR = 5;

/**
 * Panels that are screened before their rows are settled: their bounds, 32 bytes a latent and panel, are then still in the
 * second-level cache. At L, all eight at once, looking for candidates took 10.6 µs a row; two at a time 8, one 6.
 * With two, the latents are read from memory half as often as with one.
 */
const PANELS_AT_ONCE = 2;

export interface ScreenedEncoder extends ScreeningKernels {
  /** Encodes rows [first, last) into records; false when they do not fit. */
  encodeRows(arena: SparseArena, step: StepContext, first: number, last: number): boolean;
}

/** The encoder over the memory laid out by `plan`, which must be for screening. */
export function screenedEncoder(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  exact: ExactEncoder,
): ScreenedEncoder {
  const { dIn, latents, applyBDecToInput, architecture } = model;
  const { selection } = ARCHITECTURES[architecture];
  const topK = selection === "topk";
  const floorStride = selection === "batch" ? 0 : 1;
  const rowBytes = 4 * dIn;
  const tiles = Math.max(2, tilesPerGroup(latents, SCREEN_TILE, usualSelected(plan.setup), 6));
  const groups = wasm.screenGroupCount(latents, tiles);
  const at = pointersOf(plan);
  const [W_enc, b_enc, b_dec] = ["W_enc", "b_enc", "b_dec"].map(
    (name) => parameterPointers(plan, name).value,
  );
  const slotBytes = plan.setup.training.batchRows * 4 * rowDimension(model);
  const [slots, centred] = [at("slots"), applyBDecToInput ? at("centredInput") : 0];
  const floors = topK ? 0 : at("floors");
  const [recordLatent, recordValue] = [at("recordLatent"), at("recordValue")];
  const [equaliser, quantised, latentTerms] = [at("equaliser"), at("quantisedLatents"), at("latentTerms")];
  const tileBytes = 4 * quantisedLength(dIn);
  const panelBytes = 8 * quantisedLength(dIn);
  const [firstCapacity, capacity] = [
    candidateCapacity(mostSelected(plan.setup)),
    screenedCapacity(plan.setup),
  ];
  const groupUnits = SCREEN_TILE * tiles;
  const screen = fasterScreen(wasm);
  const unscreened = new Int32Array(ROW_BLOCK / PANEL);
  const redo: RowList = { rows: new Int32Array(ROW_BLOCK), count: 0 };
  const audit: RowList = { rows: new Int32Array(ROW_BLOCK), count: 0 };

  /** Where one thread's scratch begins. */
  const scratchOf = (rank: number) => {
    const words = rank * (CANDIDATE_WORDS + 16 * firstCapacity);
    const counts = at("candidates") + 4 * words;
    const lists = at("screenedCandidates") + rank * 18 * capacity * 4;
    const rowTerms = at("rowTerms") + rank * (ROW_BLOCK / PANEL + 1) * ROW_TERMS;
    return {
      /** Index of the counts of eight rows in arena.candidates; the bounds follow. */
      words,
      counts,
      bounds: counts + 4 * PANEL,
      /** The k largest bounds of each row. */
      first: counts + 4 * CANDIDATE_WORDS,
      /** All candidates of each row. */
      lists,
      values: lists + 16 * capacity * 4,
      rowTerms,
      sums: rowTerms + (ROW_BLOCK / PANEL) * ROW_TERMS,
      packed: at("quantisedRows") + rank * ROW_BLOCK * quantisedLength(dIn),
      upperBounds: at("preActivations") + rank * ROW_BLOCK * latents * 4,
      maxima: at("groupMaxima") + rank * ROW_BLOCK * Math.ceil(latents / TILE) * 4,
    };
  };
  type Scratch = ReturnType<typeof scratchOf>;
  const scratches = Array.from({ length: plan.workers }, (_, rank) => scratchOf(rank));

  const report = (arena: SparseArena, row: number, candidates: number, error: number): void => {
    const fields = row * SCREENING_FIELDS;
    arena.rowScreening[fields + SCREENING.candidates] = candidates;
    arena.rowScreening[fields + SCREENING.redone] = 0;
    arena.rowScreening[fields + SCREENING.error] = error;
    arena.rowScreening[fields + SCREENING.missed] = -1;
  };
  const redoExactly = (arena: SparseArena, row: number, error: number): void => {
    report(arena, row, 0, error);
    arena.rowScreening[row * SCREENING_FIELDS + SCREENING.redone] = 1;
    redo.rows[redo.count++] = row;
  };

  /** Bounds of the rows of panels [first, last), and their group maxima. */
  const screenPanels = (scratch: Scratch, first: number, last: number): void =>
    screen(
      scratch.upperBounds,
      scratch.packed + first * panelBytes,
      last - first,
      scratch.rowTerms + first * ROW_TERMS,
      quantised,
      latentTerms,
      latents,
      dIn,
      scratch.maxima,
      tiles,
      scratch.sums,
    );

  const knownCount = new Int32Array(PANEL);
  const errors = new Float32Array(PANEL);

  /**
   * Finds the candidates of a panel's rows: those whose bounds are above their floors, of which `least` is the lowest.
   * With top k, the k largest bounds are evaluated first: the k-th largest of those values bounds the k-th largest of
   * all from below, so that only what reaches it is a candidate.
   */
  const findCandidates = (
    arena: SparseArena,
    k: number,
    scratch: Scratch,
    x: number,
    rows: number,
    panel: number,
    unscreened: number,
    least: number,
  ): void => {
    const { words, counts, bounds, first, lists, values } = scratch;
    const u = scratch.upperBounds + (panel % PANELS_AT_ONCE) * latents * PANEL * 4;
    const maxima = scratch.maxima + (panel % PANELS_AT_ONCE) * groups * PANEL * 4;
    const terms = scratch.rowTerms + panel * ROW_TERMS;
    if (!topK) {
      const inUse = ((1 << rows) - 1) & ~unscreened;
      knownCount.fill(0);
      errors.fill(0);
      wasm.collectAbove(
        u,
        latents,
        maxima,
        groups,
        groupUnits,
        lists,
        capacity,
        counts,
        floors,
        4 * floorStride,
        least,
        inUse,
      );
      return;
    }
    wasm.selectTopK(u, latents, maxima, groups, groupUnits, k, first, firstCapacity, counts, bounds);
    for (let lane = 0; lane < PANEL; lane++) {
      const bound = words + PANEL + lane;
      const screened = lane < rows && (unscreened & (1 << lane)) === 0;
      knownCount[lane] = 0;
      errors[lane] = 0;
      arena.candidates[bound] = screened ? SMALLEST : UNREACHABLE;
      if (!screened) continue;
      const list = first + lane * firstCapacity * 8;
      const row = x + lane * rowBytes;
      const count = arena.candidates[words + lane];
      knownCount[lane] = count;
      errors[lane] = wasm.evaluateList(
        list,
        firstCapacity,
        count,
        values,
        row,
        b_enc,
        W_enc,
        dIn,
        terms + 4 * lane,
        latentTerms,
      );
      arena.candidates[bound] = wasm.kthLargest(list, count, k);
    }
    wasm.collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, counts, bounds);
  };

  /** Evaluates a row's candidates and keeps the active ones in its list. Returns how many, or −1: do it exactly. */
  const settleRow = (
    arena: SparseArena,
    k: number,
    scratch: Scratch,
    x: number,
    row: number,
    panel: number,
    lane: number,
  ): number => {
    const list = scratch.lists + lane * capacity * 8;
    const candidates = arena.candidates[scratch.words + lane];
    const known = scratch.first + lane * firstCapacity * 8;
    // A full list may not hold all of them.
    if (candidates === capacity) {
      redoExactly(arena, row, errors[lane]);
      return -1;
    }
    const error = wasm.evaluateRest(
      list,
      capacity,
      candidates,
      known,
      firstCapacity,
      knownCount[lane],
      scratch.values,
      x + lane * rowBytes,
      b_enc,
      W_enc,
      dIn,
      scratch.rowTerms + panel * ROW_TERMS + 4 * lane,
      latentTerms,
    );
    const worst = Math.max(error, errors[lane]);
    // The negation catches NaN: the exact product reports such a row.
    if (!(worst <= SUSPICIOUS_ERROR)) {
      redoExactly(arena, row, Number.isNaN(worst) ? 0 : worst);
      return -1;
    }
    report(arena, row, candidates, worst);
    if (!topK) return wasm.keepAbove(list, capacity, candidates, floors, 4 * floorStride);
    return candidates > k
      ? wasm.keepLargest(list, capacity, candidates, k, scratch.bounds)
      : wasm.keepPositive(list, capacity, candidates);
  };

  /** Whether every latent that should be active in an exactly computed row is among its records. Returns those missing. */
  const countMissing = (
    arena: SparseArena,
    k: number,
    row: number,
    z: Float32Array,
    lane: number,
  ): number => {
    const begin = arena.rowOffset[row];
    const end = begin + arena.rowCount[row];
    let least = Number.POSITIVE_INFINITY;
    let leastLatent = -1;
    for (let record = begin; record < end; record++) {
      if (arena.recordValue[record] <= least) {
        least = arena.recordValue[record];
        leastLatent = arena.recordLatent[record];
      }
    }
    const full = topK && end - begin === k;
    let missing = 0;
    let record = begin;
    for (let latent = 0; latent < latents; latent++) {
      const value = z[latent * PANEL + lane];
      if (record < end && arena.recordLatent[record] === latent) {
        if (arena.recordValue[record] !== value) missing++;
        record++;
      } else if (
        value > (topK ? 0 : arena.floors[floorStride * latent]) &&
        (!full || value > least || (value === least && latent < leastLatent))
      ) {
        missing++;
      }
    }
    return missing;
  };

  const auditRows = (arena: SparseArena, step: StepContext): void => {
    exact.forPanels(arena, step, audit, (from, rows, z) => {
      const values = new Float32Array(arena.preActivations.buffer as ArrayBuffer, z, latents * PANEL);
      for (let lane = 0; lane < rows; lane++) {
        const row = audit.rows[from + lane];
        arena.rowScreening[row * SCREENING_FIELDS + SCREENING.missed] = countMissing(
          arena,
          step.selected,
          row,
          values,
          lane,
        );
      }
      return true;
    });
  };

  return {
    encodeRows(arena, step, first, last) {
      const scratch = scratches[step.rank] as Scratch;
      const rows = last - first;
      const panels = Math.ceil(rows / PANEL);
      const x = slots + step.slot * slotBytes + first * rowBytes;
      const input = applyBDecToInput ? centred + first * rowBytes : x;
      redo.count = 0;
      audit.count = 0;
      let least = Number.POSITIVE_INFINITY;
      for (const floor of arena.floors) if (floor < least) least = floor;
      for (let panel = 0; panel < panels; panel++) {
        const offset = panel * PANEL * rowBytes;
        unscreened[panel] = wasm.quantiseRows(
          scratch.packed + panel * panelBytes,
          scratch.rowTerms + panel * ROW_TERMS,
          x + offset,
          applyBDecToInput ? b_dec : 0,
          applyBDecToInput ? input + offset : 0,
          equaliser + rowBytes,
          Math.min(PANEL, rows - panel * PANEL),
          dIn,
        );
      }
      for (let panel = 0; panel < panels; panel++) {
        if (panel % PANELS_AT_ONCE === 0)
          screenPanels(scratch, panel, Math.min(panel + PANELS_AT_ONCE, panels));
        const firstOfPanel = first + panel * PANEL;
        const rowsOfPanel = Math.min(PANEL, last - firstOfPanel);
        const inputOfPanel = input + panel * PANEL * rowBytes;
        findCandidates(
          arena,
          step.selected,
          scratch,
          inputOfPanel,
          rowsOfPanel,
          panel,
          unscreened[panel],
          least,
        );
        for (let lane = 0; lane < rowsOfPanel; lane++) {
          const row = firstOfPanel + lane;
          if ((unscreened[panel] & (1 << lane)) !== 0) {
            redoExactly(arena, row, 0);
            continue;
          }
          const count = settleRow(arena, step.selected, scratch, inputOfPanel, row, panel, lane);
          if (count < 0) continue;
          const offset = Atomics.add(arena.control, CONTROL.recordsUsed, count);
          if (offset + count > plan.recordCapacity) return false;
          arena.rowOffset[row] = offset;
          arena.rowCount[row] = count;
          arena.rowActive[row] = count;
          arena.rowSquaredError[row] = 0;
          const list = scratch.lists + lane * capacity * 8;
          wasm.copyList(list, capacity, count, recordLatent + 4 * offset, recordValue + 4 * offset);
          if (plan.auditShare > 0 && uniform(0, PURPOSE.auditedRow, step.step, row) < plan.auditShare) {
            audit.rows[audit.count++] = row;
          }
        }
      }
      if (audit.count > 0) auditRows(arena, step);
      if (redo.count === 0) return true;
      return exact.forPanels(arena, step, redo, (from, count, z, maxima) =>
        exact.selectPanel(arena, step, redo, from, count, z, maxima),
      );
    },

    quantiseLatents(arena, first, last) {
      let count = 0;
      for (let latent = first; latent < last; latent++) {
        count += wasm.quantiseLatent(
          quantised + Math.floor(latent / SCREEN_TILE) * tileBytes + 4 * (latent % SCREEN_TILE),
          latentTerms + latent * LATENT_TERMS,
          W_enc + latent * rowBytes,
          arena.b_enc.value[latent],
          equaliser,
          dIn,
        );
      }
      return count;
    },
  };
}
