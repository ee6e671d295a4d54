/**
 * The kernels in WebAssembly SIMD. Every function takes byte offsets into the imported memory, which is the run's
 * arena; nothing is allocated. src/reference defines what each must compute, to the bit.
 */
export { combine } from "./columns";
export { multiplyAdds } from "./limit";
export { groupCount, packRows, product } from "./product";
export { copyList, copyPositive, countPositive, nanRows, selectTopK } from "./select";
export { collectRow, decodeRow, latentGradients, rowSquares, scaleRow, spreadRow, subtractRow } from "./decode";
export { adam, divideRow, gather, gatherColumns, project, rowNorm, subtractRows, sumRows } from "./latents";
export { axpy, clear, laneDot, maddScalar } from "./simd";
export { difference, maskByPositive, sumInOrder, transposeColumns, unpackPanels } from "./deep";
