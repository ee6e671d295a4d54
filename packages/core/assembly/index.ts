/**
 * The kernels in WebAssembly SIMD. Every function takes byte offsets into the imported memory, which is the run's
 * arena; nothing is allocated. src/reference defines what each must compute, to the bit.
 */
export { collectAbove, copyAbove, countAbove, keepAbove } from "./above";
export { keepLargestSigned } from "./auxiliary";
export { addColumnProducts, combine, packPanels, unpackColumns } from "./columns";
export { multiplyAdds } from "./limit";
export { groupCount, packRow, packRows, product } from "./product";
export { chains } from "./chains";
export { replaceBounds } from "./evaluate";
export { quantiseLatent, quantiseRows, usualSquares } from "./quantise";
export { fourProducts, screen, screenGroupCount } from "./screen";
export { copyList } from "./lists";
export { nanRows, selectTopK } from "./select";
export { settleTopK } from "./settle";
export { addRecordsByColumns, gatherByColumns } from "./record-columns";
export { addRecordsByChunk, chainsByChunk, collectRow, decodeRow, rowSquares, scaleRow, subtractRow } from "./decode";
export { gather, gatherSorted, sortRecords } from "./gather";
export { adam, divideRow, project, rowNorm, subtractRows, sumRows } from "./latents";
export { gatherPulls } from "./pulls";
export { addRows, axpy, clear, laneDot, maddScalar } from "./simd";
export { mix, signStep } from "./update";
export { difference, maskByPositive, rectify, transposeColumns, unpackPanels } from "./deep";
