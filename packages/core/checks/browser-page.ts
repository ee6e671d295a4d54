/** What browser.ts has both Node and a browser do. */
import { bestKernelVariant, LocalTrainer, parametersOf } from "../src/index.ts";

/** The kernels that a page or process took and the digest of its parameters, or what went wrong. */
export interface Said {
  readonly kernels: string;
  readonly digest: string;
  readonly error?: string;
}

/** Trains some steps and digests the parameters. */
export function trainedBytes(encoder: "exact" | "screened"): Said {
  const kernels = bestKernelVariant();
  const [dIn, latents, batchRows, totalSteps] = [160, 1024, 256, 12];
  const trainer = new LocalTrainer({
    model: {
      kind: "sparse",
      architecture: "topk",
      dIn,
      latents,
      k: 16,
      decoder: "unit",
      applyBDecToInput: true,
    },
    batchRows,
    totalSteps,
    learningRate: 1e-3,
    seed: 1,
    kernels,
    encoder: kernels === "reference" ? "exact" : encoder,
  });
  let state = 1;
  for (let step = 0; step < totalSteps; step++) {
    const rows = new Float32Array(batchRows * dIn);
    for (let i = 0; i < rows.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      rows[i] = state / 2 ** 31 - 1;
    }
    trainer.step(rows);
  }
  // FNV-1a: crypto.subtle is not in every page.
  let hash = 0xcbf29ce484222325n;
  for (const { value } of parametersOf(trainer.arena)) {
    const bits = new Uint32Array(value.buffer, value.byteOffset, value.length);
    for (const word of bits) hash = BigInt.asUintN(64, (hash ^ BigInt(word)) * 0x100000001b3n);
  }
  return { kernels, digest: hash.toString(16) };
}

/** Tells the server that served the page. */
export async function report(encoder: "exact" | "screened"): Promise<void> {
  let said: Said;
  try {
    said = trainedBytes(encoder);
  } catch (error) {
    said = { kernels: "none", digest: "", error: String(error) };
  }
  await fetch("/said", { method: "POST", body: JSON.stringify(said) });
}
