/** The kernels in WebAssembly SIMD as an implementation of the stages. */
import type { WasmMemory } from "../arena.ts";
import type { KernelOptions } from "../kernel-variants.ts";
import type { DeepKernels, Kernels, SparseKernels } from "../kernels.ts";
import type { Plan } from "../plan.ts";
import { wasmDeepKernels } from "./deep.ts";
import { instantiate, type WasmVariant } from "./instance.ts";
import { integerSums } from "./integer-sums.ts";
import { wasmSparseKernels } from "./sparse.ts";
import { wasmUpdates } from "./update.ts";

/** The stages of `plan`'s model over its `memory`, which must be a shared WebAssembly memory. One per thread. */
export function wasmKernels(
  plan: Plan,
  memory: WasmMemory,
  variant: WasmVariant,
  options: KernelOptions = {},
): Kernels {
  if (plan.precision !== "float32") throw new Error("internal: the WebAssembly kernels are for float32");
  const { wideSimd = false, wrapFunctions = (functions) => functions } = options;
  const wasm = wrapFunctions(instantiate(variant, memory, wideSimd));
  const { model } = plan.setup;
  const wide = wideSimd ? 1 : 0;
  const updates = wasmUpdates(plan, wasm, wide);
  const sums = integerSums(wasm, variant, options.wideSums);
  if (plan.encoder === "screened" && variant === "wasm-simd")
    throw new Error("internal: these kernels do not screen, see chooseEncoder");
  const absent = (kind: string) => (): never => {
    throw new Error(`internal: these kernels were made for a plan without a ${kind} model`);
  };
  const sparse: SparseKernels =
    model.kind === "sparse"
      ? wasmSparseKernels(plan, model, wasm, { wide, ...sums }, updates)
      : {
          encodeRows: absent("sparse"),
          decodeRows: absent("sparse"),
          gatherLatents: absent("sparse"),
          gatherAuxiliary: absent("sparse"),
          gatherPreActivations: absent("sparse"),
          completeGradients: absent("sparse"),
          gatherWide: absent("sparse"),
          updateLatents: absent("sparse"),
          gatherDecoderBias: absent("sparse"),
          updateDecoderBias: absent("sparse"),
          gatherSkip: absent("sparse"),
          updateSkip: absent("sparse"),
        };
  const deep: DeepKernels =
    model.kind === "deep"
      ? wasmDeepKernels(plan, model, wasm, wide, updates)
      : { propagateRows: absent("deep"), gatherUnits: absent("deep"), updateUnits: absent("deep") };
  return { variant, sparse, deep, updates };
}
