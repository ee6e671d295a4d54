/** The types of the kernels' functions, which are untyped where they come out of WebAssembly. */

/** A range of latents and of rows, their dimensions, and pointers to the rows' records. */
export type GatheredFrom = readonly [
  first: number,
  last: number,
  firstRow: number,
  lastRow: number,
  dIn: number,
  dOut: number,
  rowOffset: number,
  rowCount: number,
  recordLatent: number,
  recordValue: number,
  recordGradient: number,
];

/** Pointers to what latents see of the errors and rows, to their gradients, sums and counts, and to scratch; see assembly/gather.ts. */
export type GatheredInto = readonly [
  residual: number,
  input: number,
  encoderGradient: number,
  decoderGradient: number,
  biasGradient: number,
  activationSum: number,
  activeCount: number,
  scratch: number,
];

/** Functions of assembly/index.ts. Pointers are byte offsets into the memory. */
export interface KernelExports {
  packRows(packed: number, x: number, bias: number, centred: number, rows: number, dIn: number): void;
  product(
    z: number,
    packed: number,
    panels: number,
    start: number,
    w: number,
    units: number,
    dIn: number,
    maxima: number,
    tilesPerGroup: number,
    wide: 0 | 1,
  ): void;
  packRow(panel: number, lane: number, x: number, dIn: number): void;
  quantiseLatent(
    out: number,
    terms: number,
    w: number,
    bias: number,
    equaliser: number,
    dIn: number,
    wideSums: 0 | 1,
    latentLevels: number,
  ): number;
  quantiseRows(
    packed: number,
    terms: number,
    x: number,
    bias: number,
    centred: number,
    inverse: number,
    rows: number,
    dIn: number,
    latentSquares: number,
    wideSums: 0 | 1,
    latentLevels: number,
  ): number;
  usualSquares(latentTerms: number, latents: number): number;
  screen(
    u: number,
    packed: number,
    panels: number,
    rowTerms: number,
    quantised: number,
    latentTerms: number,
    units: number,
    dIn: number,
    maxima: number,
    tilesPerGroup: number,
    sums: number,
    wideSums: 0 | 1,
    pairs: 0 | 1,
  ): void;
  screenGroupCount(units: number, tilesPerGroup: number, wideSums: 0 | 1): number;
  fourProducts(factor: number): number;
  replaceBounds(
    list: number,
    capacity: number,
    count: number,
    values: number,
    rowTerms: number,
    latentTerms: number,
  ): number;
  settleTopK(
    u: number,
    latents: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    k: number,
    rows: number,
    unscreened: number,
    settled: number,
    words: number,
    first: number,
    firstCapacity: number,
    lists: number,
    capacity: number,
    evaluated: number,
    x: number,
    start: number,
    w: number,
    dIn: number,
    rowTerms: number,
    latentTerms: number,
  ): void;
  multiplyAdds(rounds: number, factor: number): number;
  groupCount(units: number, tilesPerGroup: number): number;
  nanRows(maxima: number, groups: number): number;
  selectTopK(
    z: number,
    units: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    k: number,
    lists: number,
    capacity: number,
    counts: number,
    bounds: number,
    masks: number,
  ): void;
  copyList(list: number, capacity: number, count: number, latents: number, values: number): void;
  countAbove(z: number, units: number, floors: number, stride: number, counts: number): void;
  copyAbove(
    z: number,
    units: number,
    floors: number,
    stride: number,
    inUse: number,
    cursors: number,
    latents: number,
    values: number,
    masks: number,
  ): void;
  collectAbove(
    u: number,
    units: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    lists: number,
    capacity: number,
    counts: number,
    floors: number,
    stride: number,
    least: number,
    inUse: number,
    masks: number,
  ): void;
  keepLargestSigned(values: number, latents: number, count: number, k: number): number;
  keepAbove(list: number, capacity: number, count: number, floors: number, stride: number): number;
  gatherPulls(
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    rowOffset: number,
    rowCount: number,
    recordLatent: number,
    pulls: number,
    sums: number,
  ): void;
  decodeRow(
    residual: number,
    x: number,
    bias: number,
    W_dec: number,
    dIn: number,
    latents: number,
    values: number,
    count: number,
  ): number;
  addRecordsByChunk(
    out: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    values: number,
    W: number,
    length: number,
    units: number,
    chunk: number,
    cursors: number,
  ): void;
  addRecordsByColumns(
    out: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    values: number,
    W: number,
    length: number,
    units: number,
    scratch: number,
  ): void;
  chainsByChunk(
    values: number,
    x: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    start: number,
    W: number,
    length: number,
    units: number,
    chunk: number,
    cursors: number,
  ): void;
  chains(
    values: number,
    latents: number,
    count: number,
    x: number,
    start: number,
    w: number,
    dIn: number,
  ): void;
  rowSquares(x: number, mean: number, dIn: number): number;
  scaleRow(values: number, scale: number, length: number): void;
  gather(...all: readonly [...GatheredFrom, ...GatheredInto]): void;
  gatherByColumns(...all: readonly [fresh: 0 | 1, ...GatheredFrom, ...GatheredInto]): void;
  gatherSorted(
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    dIn: number,
    dOut: number,
    sorted: number,
    starts: number,
    startsBytes: number,
    block: number,
    ...into: GatheredInto
  ): void;
  sortRecords(
    first: number,
    last: number,
    rowOffset: number,
    rowCount: number,
    recordLatent: number,
    recordValue: number,
    recordGradient: number,
    sorted: number,
    base: number,
    starts: number,
    blocks: number,
    blockLatents: number,
  ): void;
  project(gradient: number, weights: number, dIn: number): void;
  rowNorm(weights: number, dIn: number): number;
  divideRow(weights: number, norm: number, dIn: number): void;
  adam(
    value: number,
    m: number,
    v: number,
    gradient: number,
    length: number,
    beta1: number,
    complement1: number,
    beta2: number,
    complement2: number,
    epsilon: number,
    stepSize: number,
    inverseRootCorrection2: number,
  ): void;
  mix(out: number, a: number, x: number, b: number, y: number, length: number): void;
  signStep(values: number, rate: number, direction: number, length: number): void;
  sumRows(sum: number, values: number, rows: number, dIn: number, first: number, last: number): void;
  subtractRows(sum: number, values: number, rows: number, dIn: number, first: number, last: number): void;
  axpy(out: number, scale: number, a: number, length: number): void;
  addRows(out: number, factors: number, rows: number, count: number, length: number): void;
  clear(pointer: number, bytes: number): void;
  laneDot(a: number, b: number, length: number): number;
  unpackPanels(out: number, z: number, rows: number, units: number): void;
  rectify(values: number, length: number): void;
  difference(out: number, a: number, b: number, length: number): void;
  maskByPositive(values: number, gate: number, length: number): void;
  combine(
    out: number,
    weights: number,
    weightStride: number,
    units: number,
    x: number,
    length: number,
    depth: number,
    scratch: number,
    wide: 0 | 1,
    fresh: 0 | 1,
  ): void;
  addColumnProducts(
    sums: number,
    weights: number,
    weightStride: number,
    units: number,
    x: number,
    panelBytes: number,
    length: number,
    depth: number,
    wide: 0 | 1,
    fresh: 0 | 1,
  ): void;
  packPanels(panels: number, panelBytes: number, from: number, length: number, count: number): void;
  unpackColumns(out: number, sums: number, length: number, units: number): void;
  subtractRow(residual: number, x: number, dIn: number): number;
  collectRow(gradients: number, z: number, lane: number, latents: number, count: number): void;
  transposeColumns(
    out: number,
    outStride: number,
    from: number,
    stride: number,
    rows: number,
    columns: number,
    sums: number,
  ): void;
  maddScalar(a: number, b: number, c: number): number;
}
